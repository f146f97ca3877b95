"""Draw ``docs/images/directed_chain.png``: ``python docs/figures/directed_chain.py RUNS``.

RUNS is a folder with the run of the recipe ``directed_chain_pedestrians``, whose fitted model is read; seconds.
"""

import math
import sys
from pathlib import Path

import torch
from torch import Tensor

import interpolants
from interpolants.data import load
from interpolants.framework.figures import Axis, Figure, Panel, curve
from interpolants.reports.draw import save
from interpolants.sciml.processes.metrics.path_scores import path_dependence

IMAGES, RUNS = Path(__file__).parents[1] / "images", Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
SENSORS, TEST, LINKS, CHAINS = ["261 Queen Street", "Te Ara Tahuhu Walkway"], 4344, 8, 8


def days() -> Tensor:
    """Days of the test without gaps, ``(n, 24, 2)``."""
    rows = load("pedestrian_counts", "all", sensors=SENSORS).x[-TEST:].double().reshape(-1, 24, 2)
    return rows[~rows.isnan().flatten(1).any(1)]


def bundle(paths: Tensor, title: str, hue: int) -> Panel:
    """Forty days of the first sensor; they begin at six in the morning."""
    hours = torch.arange(25.0).expand(40, -1)
    values = torch.nn.functional.pad(paths[:40, :, 0], (0, 1), value=math.nan)
    line = curve(hours.flatten() + 6, values.flatten(), hue=hue, size=0.7, alpha=0.7)
    x, y = Axis(label="hour"), Axis(label="pedestrians", low=-200, high=2600)
    return Panel(series=(line,), title=title, x=x, y=y)


if __name__ == "__main__":
    model, real = interpolants.load(RUNS / "directed_chain_pedestrians"), days()
    ancestors = real.repeat_interleave(CHAINS, 0)
    walks = model.walk(ancestors, LINKS, seed=2)
    own = torch.stack([path_dependence(ancestors, walk).max() for walk in walks])
    chance = torch.stack([path_dependence(ancestors, w.roll(len(w) // 2, 0)).max() for w in walks])
    links = torch.arange(1.0, LINKS + 1)
    curves = Panel(
        series=(
            curve(links, own, "the day it began at", symbol="o"),
            curve(links, chance, "other days", "muted", symbol="o"),
        ),
        title="dependence on real days",
        x=Axis(label="links"),
        y=Axis(label="largest correlation", low=0),
        legend="below",
    )
    panels = (
        bundle(real, "real days of the test", 1),
        bundle(model.sample(40, seed=1), "synthetic days, five links", 0),
        curves,
    )
    save([Figure(name="directed_chain", panels=panels, width=1050, height=320)], IMAGES, dpi=80)
