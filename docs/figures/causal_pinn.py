"""Draw ``docs/images/causal_pinn.png``: ``python docs/figures/causal_pinn.py``.

Trains two networks on the Lotka-Volterra equations, causally and plainly, as ``causal_pinn.toml`` does with
seed 0; half a minute on one core.
"""

from pathlib import Path

from interpolants.framework.figures import Figure
from interpolants.framework.questions import ask
from interpolants.framework.task import Task
from interpolants.methods.questions.solution import SolutionAndResidual
from interpolants.reports.draw import save
from interpolants.sciml import CausalPINN
from interpolants.sciml.pinn.pde.lotka_volterra import LotkaVolterra

IMAGES = Path(__file__).parents[1] / "images"
RIVALS = (
    {"name": "plain", "twin": {"steepness": 0.0}},
    {"kind": "numerical_solver", "name": "runge_kutta", "steps": 100},
)


def figure() -> Figure:
    """Both components with the truth, and error and causal weights over time."""
    problem = LotkaVolterra()
    method = CausalPINN(steps=6000).fit(problem)
    task = Task.of(method.roles(), {"problem": problem})
    found = ask(SolutionAndResidual(steepness=128.0), method, task, RIVALS)
    panels = tuple(panel for one in found.figures for panel in one.panels)
    return Figure(name="causal_pinn", panels=panels, columns=2, width=900, height=560)


if __name__ == "__main__":
    save([figure()], IMAGES, dpi=80)
