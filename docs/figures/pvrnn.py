"""Draw ``docs/images/pvrnn.png``: ``python docs/figures/pvrnn.py RUNS``.

RUNS is a folder with the run of the recipe ``pvrnn``, whose first model is read; a minute.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

import interpolants
from interpolants.framework.figures import Axis, Figure, Panel, Series, across, curve
from interpolants.reports.draw import save
from interpolants.sciml.processes.problems.symbol_skeletons import hidden_regime

IMAGES, RUNS = Path(__file__).parents[1] / "images", Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
KNOWN, STEPS, EFFORTS = 12, 6, (0, 2, 5, 10, 15, 25, 50, 100)


def line(y: Tensor, name: str, hue: int, x: Tensor | None = None) -> Series:
    """A line with symbols, over 1, 2, ... or x."""
    x = torch.arange(1.0, len(y) + 1) if x is None else x
    return curve(x, y, name, hue, symbol="o")


if __name__ == "__main__":
    model = interpolants.load(RUNS / "pvrnn" / "work" / "main_seed0" / "model")
    problem = hidden_regime()
    x = problem.sample(200, generator=torch.Generator().manual_seed(1))
    past, truth, variance = x[:, :KNOWN], x[:, KNOWN : KNOWN + STEPS], x.var(correction=0)

    def errors(mean: Tensor) -> Tensor:
        """By step ahead."""
        return (mean - truth).square().mean((0, 2)) / variance

    tried = [errors(model.forecast(past, members=50, steps=STEPS, iterations=k).mean) for k in EFFORTS]
    exact = errors(problem.forecast(past, STEPS))
    horizon = Panel(
        series=(
            line(tried[0], "prior alone", 1),
            line(tried[EFFORTS.index(50)], "50 iterations", 0),
            curve(torch.arange(1.0, STEPS + 1), exact, "exact forecast", "muted", dash="--"),
        ),
        title="next symbols",
        x=Axis(label="steps ahead"),
        y=Axis(label="squared error / variance", low=0),
        legend="below",
    )
    effort = Panel(
        series=(
            line(
                torch.stack([one.mean() for one in tried]),
                "error regression",
                0,
                torch.tensor(EFFORTS).double(),
            ),
            across(float(exact.mean()), "exact forecast"),
        ),
        title="effort",
        x=Axis(label="iterations"),
        y=Axis(low=0),
        legend="below",
    )
    session, one = model.follow(members=50, steps=STEPS), x[int((problem.found(x) < 2).nonzero()[0])]
    told = [session.feed(frame) for frame in one]
    chance = torch.stack([step.expected[0] for step in told])
    steps = torch.arange(1.0, len(chance) + 1)
    live = Panel(
        series=(
            curve(steps, one[:, 0], "seen", "muted", dash="", symbol="o"),
            line(chance, "predicted chance of a one", 0),
        ),
        title="a live session",
        x=Axis(label="step"),
        y=Axis(low=-0.05, high=1.05),
        legend="below",
    )
    figure = Figure(name="pvrnn", panels=(horizon, effort, live), width=1100, height=340)
    save([figure], IMAGES, dpi=80)
