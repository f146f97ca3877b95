"""Draw ``docs/images/pfgmpp.png``: ``python docs/figures/pfgmpp.py``.

Poisson flows in D extra dimensions: the distribution of the noise, and the exact flow to a set of points. Nothing is
trained.
"""

import math
from pathlib import Path

import torch
from matplotlib.figure import Figure

from interpolants.dynamics import sample
from interpolants.paths import EDM
from interpolants.problems import EmpiricalBridge, GaussianMixture

IMAGES = Path(__file__).parents[1] / "images"
HUES = {1: "#d55e00", 4: "#cc79a7", 16: "#007d5c", "inf": "#0072b2"}
MEANS = torch.tensor([[-1.0, -0.6], [1.2, -0.4], [0.0, 1.2]], dtype=torch.float64)


def points() -> torch.Tensor:
    """Three clusters of 100 points each."""
    distribution = GaussianMixture(torch.full((3,), 1 / 3).double(), MEANS, torch.full((3,), 0.02).double())
    return distribution.sample(300, generator=torch.Generator().manual_seed(0))


def figure() -> Figure:
    """Tails of the noise, and paths of the flow for three D."""
    made = Figure(figsize=(13, 3.4), layout="constrained")
    first, *others = made.subplots(1, 4)
    radius = torch.logspace(-1, 2.3, 200, dtype=torch.float64)
    for df, hue in HUES.items():
        log_p = EDM(df=df, smax=1.0).base.log_prob(torch.stack([radius, 0 * radius], 1)) / math.log(10)
        first.plot(radius, log_p, color=hue, label=f"D = {df if df != 'inf' else '∞'}")
    first.set(title="Density of the noise in the plane", xlabel="|x - y| / sigma", ylabel="log10 density")
    first.set(xscale="log", ylim=(-12, 0))
    first.legend(frameon=False, fontsize=8, loc="lower left")
    data = points()
    for axes, df in zip(others, (1, 16, "inf"), strict=True):
        path = EDM(df=df, smax=5.0, smin=0.02)
        noise = path.base.noise((60, 2), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        fields = EmpiricalBridge(data).fields(path)
        run = sample(fields, path.base.color(noise), n_steps=60, finish="denoise", return_path=True)
        assert run.path is not None
        axes.plot(run.path[..., 0], run.path[..., 1], color=HUES[df], linewidth=0.6, alpha=0.7)
        axes.scatter(*data.T, s=4, color="#777777", linewidths=0, zorder=3, label="data")
        axes.scatter(*run.x.T, s=14, color="black", linewidths=0, zorder=4, label="arrived")
        axes.set(title=f"Flow for D = {df if df != 'inf' else '∞'}", xlim=(-9, 9), ylim=(-9, 9), xlabel="x")
        axes.set_aspect("equal")
    others[0].set_ylabel("y")
    others[-1].legend(frameon=False, fontsize=8, loc="upper right")
    return made


if __name__ == "__main__":
    figure().savefig(IMAGES / "pfgmpp.png", dpi=80)
