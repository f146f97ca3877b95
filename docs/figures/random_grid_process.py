"""Draw ``docs/images/random_grid_process.png``: ``python docs/figures/random_grid_process.py RUN``.

RUN is the folder of ``interpolants run --config random_grid_process --out RUN``; its model is asked again.
"""

import sys
from pathlib import Path

from interpolants import load
from interpolants.framework.figures import Figure
from interpolants.framework.questions import ask
from interpolants.framework.task import Task
from interpolants.reports.draw import save
from interpolants.sciml import FamilySolutions
from interpolants.sciml.pinn.pde.nonlinear_poisson import NonlinearPoisson

IMAGES = Path(__file__).parents[1] / "images"


def figure(run: Path) -> Figure:
    """The best, the median and the worst of 50 problems."""
    method = load(run)
    task = Task.of(method.roles(), {"problem": NonlinearPoisson()})
    (found,) = ask(FamilySolutions(), method, task, ["mean_field"]).figures
    return Figure(name="random_grid_process", panels=found.panels, columns=3, width=900, height=280)


if __name__ == "__main__":
    save([figure(Path(sys.argv[1]))], IMAGES, dpi=80)
