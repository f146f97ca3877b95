"""Draw ``docs/images/nowcaster.png`` from a run of its recipe.

::

    interpolants run --config nowcaster --out runs/nowcasts
    python docs/figures/nowcaster.py runs/nowcasts
"""

import sys
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

import interpolants
from interpolants.apps.weather import MotionExtrapolation
from interpolants.apps.weather.problems.advected_blobs import AdvectedBlobs
from interpolants.runs.models import find_model

IMAGES = Path(__file__).parents[1] / "images"
PAST, AHEAD = 6, 4
EDGES = ["periodic", "periodic"]


def nowcaster(run: str) -> Figure:
    """One new sequence three frames ahead, and logarithms of variances four frames ahead, over 40 sequences."""
    model: Any = interpolants.load(find_model(Path(run)))
    problem = AdvectedBlobs(life=6, births=1.3, frames=PAST + AHEAD)
    x = problem.sample(40, generator=torch.Generator().manual_seed(7))
    flow = MotionExtrapolation(past=PAST, edges=EDGES).fit(x).forecast(x[:1, :PAST]).x[0, 0, :, 0]
    drawn = model.forecast(x[:, :PAST], members=8, seed=7).x[:, :, :, 0]
    u = model.uncertainty(x[:, :PAST], members=2, seed=7).x[:, :, :, 0].mean((0, 1))
    cases = {
        "last frame seen": x[0, PAST - 1], "three frames later": x[0, PAST + 2], "one member": drawn[0, 0, 2],
        "mean of eight": drawn[0, :, 2].mean(0), "optical flow": flow[2],
    }  # fmt: skip
    maps = {
        "true variance": problem.birth_variance(AHEAD),
        "of members": drawn.var(1).mean(0),
        "uncertainty U": u,
    }
    figure = Figure(figsize=(11.5, 5.0), layout="constrained")
    above, below = figure.subfigures(2, 1)
    row(above, cases, "RdYlBu_r", -2.0, 2.0)
    logs = {f"{name}, {k + 1} ahead": scaled(one, k) for name, one in maps.items() for k in (0, AHEAD - 1)}
    row(below, logs, "viridis", -2.5, 0.0)
    return figure


def scaled(variance: Tensor, k: int) -> Tensor:
    """Logarithm to base 10 of one frame over the largest value of all."""
    return (variance[k] / variance.max()).clamp_min(1e-3).log10()


def row(figure: Any, panels: dict[str, Tensor], colours: str, low: float, high: float) -> None:
    """Maps side by side on one scale."""
    for axes, (name, values) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        shown = axes.imshow(values.numpy(), origin="lower", cmap=colours, vmin=low, vmax=high)
        axes.set_title(name, fontsize=9)
        axes.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, shrink=0.8)


if __name__ == "__main__":
    nowcaster(sys.argv[1]).savefig(IMAGES / "nowcaster.png", dpi=110)
