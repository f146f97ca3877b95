"""Draw ``docs/images/ensemble_emulator.png`` from a run of its recipe.

::

    interpolants run --config ensemble_emulator --out runs/ensembles
    python docs/figures/ensemble_emulator.py runs/ensembles
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

import interpolants
from interpolants.apps.weather import DressedSeeds
from interpolants.data import load
from interpolants.framework.figures import Axis, Figure, Panel, Series, across, curve
from interpolants.metrics.ensemble import rank_counts
from interpolants.reports.draw import save
from interpolants.runs.models import find_model

IMAGES = Path(__file__).parents[1] / "images"
MEMBERS = 31


def ensemble_emulator(run: str) -> Figure:
    """One test case around the circle, and the ranks of what came among emulated members and among dressed seeds."""
    model = interpolants.load(find_model(Path(run), "emulation"))
    train, test = (load("lorenz96_ensemble", part).x for part in ("train", "test"))
    truth = load("lorenz96_ensemble", "test", part="truth").x[:, 0]
    seeds = test[:, :2]
    found = {
        "emulated": model.emulate(seeds, members=MEMBERS, seed=1).x[:, :, 0],
        "dressed seeds": DressedSeeds().fit(train).emulate(seeds, members=MEMBERS, seed=1).x[:, :, 0],
    }
    ranks = [
        histogram(rank_counts(members.double(), truth.double()).sum(0), name)
        for name, members in found.items()
    ]
    panels = (case(seeds[3], found["emulated"][3], truth[3]), *ranks)
    return Figure(name="ensemble_emulator", panels=panels, width=1050, height=340, legend_columns=5)


def case(seeds: Tensor, members: Tensor, truth: Tensor) -> Panel:
    """Seeds, quantiles of the emulated members, and what came."""
    x = torch.arange(len(truth))
    low, lower, middle, upper, high = members.quantile(torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]), 0)
    series = (
        Series(mark="band", arrays={"x": x, "low": low, "high": high}, name="90 %"),
        Series(mark="band", arrays={"x": x, "low": lower, "high": upper}, name="50 %", alpha=1.75),
        curve(x, middle, "median of 31"),
        *(curve(x, one, "two seeds", "muted", dash="--", size=0.9) for one in seeds),
        curve(x, truth, "what came", 1, dash="", symbol=".", size=6),
    )
    axes = {"x": Axis(label="place around the circle"), "y": Axis(label="state", low=-10, high=18)}
    return Panel(series=series, title="One forecast of Lorenz-96", **axes, width=2.4)


def histogram(counts: Tensor, name: str) -> Panel:
    """Ranks of what came, beside even ones."""
    share = counts.double() / counts.sum()
    bars = Series(mark="bars", arrays={"height": share}, size=1.0, alpha=0.6)
    axes = {"x": Axis(label="rank of what came"), "y": Axis(label="share", low=0, high=0.06)}
    return Panel(series=(bars, across(1 / len(share), "")), title=name, **axes)


if __name__ == "__main__":
    save([ensemble_emulator(sys.argv[1])], IMAGES, dpi=120)
