"""Draw ``docs/images/ensemble_emulator.png`` from a run of its recipe.

::

    interpolants run --config ensemble_emulator --out runs/ensembles
    python docs/figures/ensemble_emulator.py runs/ensembles
"""

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import interpolants
from interpolants.apps.weather import DressedSeeds
from interpolants.data import load
from interpolants.metrics.ensemble import rank_counts
from interpolants.runs.models import find_model

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#5a6470"
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
    figure = Figure(figsize=(11.5, 3.4), layout="constrained")
    left, *ranks = figure.subplots(1, 3, width_ratios=(2.4, 1, 1))
    case(left, seeds[3], found["emulated"][3], truth[3])
    for axes, (name, members) in zip(ranks, found.items(), strict=True):
        histogram(axes, rank_counts(members.double(), truth.double()).sum(0), name)
    return figure


def case(axes: Axes, seeds: Tensor, members: Tensor, truth: Tensor) -> None:
    """Seeds, quantiles of the emulated members, and what came."""
    x = torch.arange(len(truth)).numpy()
    low, lower, middle, upper, high = members.quantile(torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]), 0).numpy()
    axes.fill_between(x, low, high, color=BLUE, alpha=0.18, linewidth=0, label="90 %")
    axes.fill_between(x, lower, upper, color=BLUE, alpha=0.35, linewidth=0, label="50 %")
    axes.plot(x, middle, color=BLUE, linewidth=1.2, label="median of 31")
    for k, one in enumerate(seeds.numpy()):
        axes.plot(x, one, color=GREY, linewidth=0.9, linestyle="--", label="two seeds" if not k else None)
    axes.plot(x, truth.numpy(), ".", color=ORANGE, markersize=6, label="what came")
    axes.set(title="One forecast of Lorenz-96", xlabel="place around the circle", ylabel="state")
    axes.legend(frameon=False, fontsize=8, ncols=5, loc="upper center")
    axes.set_ylim(-10, 18)
    axes.spines[["top", "right"]].set_visible(False)


def histogram(axes: Axes, counts: Tensor, name: str) -> None:
    """Ranks of what came, beside even ones."""
    share = counts.double() / counts.sum()
    axes.bar(range(len(share)), share.numpy(), width=1.0, color=BLUE, alpha=0.6)
    axes.axhline(1 / len(share), color=GREY, linestyle="--", linewidth=0.9)
    axes.set(title=name, xlabel="rank of what came", ylim=(0, 0.06))
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    ensemble_emulator(sys.argv[1]).savefig(IMAGES / "ensemble_emulator.png", dpi=110)
