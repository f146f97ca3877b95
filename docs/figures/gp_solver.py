"""Draw ``docs/images/gp_solver.png``: ``python docs/figures/gp_solver.py``.

A fast wave by three solvers, as ``gp_solver.toml`` has them, the learnt spectrum, and fast waves on a square; a
minute on one core.
"""

import math
from dataclasses import replace
from pathlib import Path

import torch

from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.questions import ask
from interpolants.framework.task import Task
from interpolants.methods.questions.box_solution import SolutionInBox
from interpolants.methods.questions.spectral_lines import SpectralLines
from interpolants.pde import Manufactured
from interpolants.reports.draw import save
from interpolants.sciml import GPSolver

IMAGES = Path(__file__).parents[1] / "images"
PLAIN = {"envelope": "gaussian", "components": 1, "top_frequency": 0.0, "lengthscale": 0.02}
RIVALS = (
    {"name": "squared exponential", "twin": PLAIN},
    {"kind": "collocation", "name": "finite differences", "points": 400},
)


def line() -> tuple[Panel, ...]:
    """The wave on an interval, the errors, and the spectrum."""
    problem = Manufactured(high=2 * math.pi)
    method = GPSolver(points=400, top_frequency=20.0).fit(problem)
    task = Task.of(method.roles(), {"problem": problem})
    solved = ask(SolutionInBox(shown=0.03), method, task, RIVALS)
    found = ask(SpectralLines(top=30.0, known=(100 / (2 * math.pi),)), method, task)
    return *solved.figures[0].panels, found.figures[0].panels[0]


def square() -> Panel:
    """A hundred radians a unit along both sides of a square, from 100 x 100 points."""
    problem = Manufactured(frequency=100.0, dimension=2)
    method = GPSolver().fit(problem)
    one = torch.linspace(0.0, 0.4, 160, dtype=torch.float64)
    values = method.solve(torch.cartesian_prod(one, one)).reshape(160, 160).T
    heat = Series(mark="heat", arrays={"values": values, "extent": (0.0, 0.4, 0.0, 0.4)}, low=-1.0, high=1.0)
    return Panel(series=(heat,), title="sin 100x sin 100y", x=Axis(label="x"), y=Axis(label="y"), equal=True)


if __name__ == "__main__":
    left, error, spectrum = line()
    bare = {"legend": ""}  # that of the errors holds for all
    panels = (replace(left, **bare), replace(error, legend_columns=1), replace(spectrum, **bare), square())
    save([Figure(name="gp_solver", panels=panels, width=1150, height=330)], IMAGES, dpi=80)
