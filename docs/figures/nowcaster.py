"""Draw ``docs/images/nowcaster.png`` from a run of its recipe.

::

    interpolants run --config nowcaster --out runs/nowcasts
    python docs/figures/nowcaster.py runs/nowcasts
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import interpolants
from interpolants.apps.weather import MotionExtrapolation
from interpolants.apps.weather.problems.advected_blobs import AdvectedBlobs
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.reports.draw import save
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
        "mean of eight": drawn[0, :, 2].mean(0), "optical flow": flow[2]
    }  # fmt: skip
    maps = {
        "true variance": problem.birth_variance(AHEAD),
        "of members": drawn.var(1).mean(0),
        "uncertainty U": u,
    }
    logs = {f"{name}, {k + 1} ahead": scaled(one, k) for name, one in maps.items() for k in (0, AHEAD - 1)}
    panels = (*row(cases, -0.5, 2.0, "value"), *row(logs, -2.5, 0.0, "log10 of share"))
    return Figure(name="nowcaster", panels=panels, columns=7, width=1050, height=360, photo=True)


def scaled(variance: Tensor, k: int) -> Tensor:
    """Logarithm to base 10 of one frame over the largest value of all."""
    return (variance[k] / variance.max()).clamp_min(1e-3).log10()


def row(maps: dict[str, Tensor], low: float, high: float, label: str) -> list[Panel]:
    """Six places for maps on one scale, and the scale."""
    panels = []
    for name, values in maps.items():
        heat = Series(mark="heat", arrays={"values": values}, low=low, high=high)
        panels.append(Panel(series=(heat,), title=name, bare=True, equal=True))
    panels += [Panel(series=(), bare=True)] * (6 - len(panels))
    colours = {"values": torch.linspace(low, high, 256)[:, None], "extent": (0.0, 1.0, low, high)}
    scale = Series(mark="heat", arrays=colours, low=low, high=high)
    return [*panels, Panel(series=(scale,), x=Axis(ticks=()), y=Axis(label=label), width=0.1)]


if __name__ == "__main__":
    save([nowcaster(sys.argv[1])], IMAGES, dpi=120)
