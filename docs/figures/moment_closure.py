"""Draw ``docs/images/moment_closure.png``: ``python docs/figures/moment_closure.py``, three minutes on one core.

The learnt function F beside known ones and the kinetic theory, and averages of fluids with these closures.
"""

from dataclasses import replace
from pathlib import Path

import torch

from interpolants.framework.figures import Figure
from interpolants.framework.questions import ask
from interpolants.framework.task import Split, Task
from interpolants.reports.draw import save
from interpolants.sciml import MomentClosure
from interpolants.sciml.closures.closure_terms import ClosureTerms
from interpolants.sciml.closures.long_run_averages import LongRunAverages
from interpolants.sciml.closures.problems.active_fluid_runs import ActiveFluidRuns

IMAGES = Path(__file__).parents[1] / "images"


def panels() -> Figure:
    """F, order and square velocity."""
    runs = ActiveFluidRuns(end=40.0, frames=101).sample(10, generator=torch.Generator().manual_seed(0))
    method = MomentClosure(by="snapshots", steps=1000)
    task = Task.of(method.roles(), runs, Split(test=5))
    rivals = [{"name": name, "twin": {"closure": name}} for name in ("bingham", "quadratic")]
    task.fit(method)
    factor = ask(ClosureTerms(), method, task, rivals).figures[0].panels[0]
    averages = ask(LongRunAverages(), method, task, rivals).figures[0].panels
    shown = (replace(factor, legend=""), *averages[:2])
    return Figure(name="moment_closure", panels=shown, width=1080, height=340, legend_columns=5)


if __name__ == "__main__":
    save([panels()], IMAGES, dpi=80)
