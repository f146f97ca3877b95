"""Draw ``docs/images/mirror.png``: ``python docs/figures/mirror.py``. Closed form; nothing is trained."""

import math
from pathlib import Path

import torch
from matplotlib.figure import Figure

from interpolants.dynamics import sample
from interpolants.paths import BrownianEnvelope, Mirror
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

IMAGES = Path(__file__).parents[1] / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#9aa3ad"


def mirror() -> Figure:
    """Where one point goes at three noise levels, and how much of a Gaussian start is remembered."""
    angle = torch.arange(5, dtype=torch.float64) * 2 * torch.pi / 5
    centres = 3 * torch.stack([angle.cos(), angle.sin()], 1)
    distribution = GaussianMixture(torch.full((5,), 0.2).double(), centres, torch.full((5,), 0.2).double())
    path = Mirror(envelope=BrownianEnvelope(scale=10.0))
    fields = GaussianMixtureBridge(distribution, distribution).fields(path)
    start = centres[:1] + torch.tensor([[0.3, 0.2]], dtype=torch.float64)
    figure = Figure(figsize=(12.5, 3.9), layout="constrained")
    panels = figure.subplots(1, 4)
    backdrop = distribution.sample(2000, generator=torch.Generator().manual_seed(0))
    for axes, eps in zip(panels, (0.0, 0.3, 3.0), strict=False):
        found = sample(fields, start.expand(400, 2), eps=eps, n_steps=100, seed=1).x
        axes.scatter(*backdrop.T, s=2, color=GREY, alpha=0.4, linewidths=0, label="the distribution")
        axes.scatter(*found.T, s=6, color=ORANGE, alpha=0.8, linewidths=0, label="resampled")
        axes.plot(*start[0], marker="*", markersize=11, color="black", linestyle="none", label="start")
        axes.set(title=f"eps = {eps:g}", aspect="equal", xlabel="x", xlim=(-4.6, 4.6), ylim=(-4.6, 4.6))
    panels[0].set_ylabel("y")
    panels[0].legend(loc="lower left", frameon=False, fontsize=8)
    eps = torch.linspace(0, 6, 100)
    for scale, colour, style in ((1.0, BLUE, "-"), (10.0, ORANGE, "--")):
        h = math.sqrt(scale) / 2
        k = math.sqrt(1 + h * h)
        kept = torch.exp(-eps * math.log((k + h) / (k - h)) / (2 * k * h))
        panels[3].plot(eps, kept, color=colour, linestyle=style, label=f"gamma² = {scale:g} t (1 − t)")
    panels[3].set(title="Memory of the start, N(0, 1)", xlabel="eps", ylabel="correlation r", ylim=(0, 1))
    panels[3].legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    mirror().savefig(IMAGES / "mirror.png", dpi=90)
