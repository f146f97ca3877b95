"""Draw ``docs/images/mirror.png``: ``python docs/figures/mirror.py``. Closed form; nothing is trained."""

import math
from pathlib import Path

import torch

from interpolants.dynamics import sample
from interpolants.framework.figures import Axis, Figure, Panel, cloud, curve
from interpolants.paths import BrownianEnvelope, Mirror
from interpolants.problems import GaussianMixture, GaussianMixtureBridge
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"


def mirror() -> Figure:
    """Where one point goes at three noise levels, and how much of a Gaussian start is remembered."""
    angle = torch.arange(5, dtype=torch.float64) * 2 * torch.pi / 5
    centres = 3 * torch.stack([angle.cos(), angle.sin()], 1)
    distribution = GaussianMixture(torch.full((5,), 0.2).double(), centres, torch.full((5,), 0.2).double())
    path = Mirror(envelope=BrownianEnvelope(scale=10.0))
    fields = GaussianMixtureBridge(distribution, distribution).fields(path)
    start = centres[:1] + torch.tensor([[0.3, 0.2]], dtype=torch.float64)
    backdrop = distribution.sample(2000, generator=torch.Generator().manual_seed(0))
    x, y = (Axis(label=name, low=-4.6, high=4.6) for name in "xy")
    panels = []
    for eps in (0.0, 0.3, 3.0):
        found = sample(fields, start.expand(400, 2), eps=eps, n_steps=100, seed=1).x
        series = (
            cloud(backdrop, "the distribution", "muted", size=2, alpha=0.25),
            cloud(found, "resampled", 1, size=6, alpha=0.8),
            curve(*start.T, "start", 2, dash="", symbol="*", size=11),
        )
        panels.append(Panel(series=series, title=f"eps = {eps:g}", x=x, y=y, equal=True))
    eps, memory = torch.linspace(0, 6, 100), []
    for hue, (scale, dash) in enumerate({1.0: "-", 10.0: "--"}.items()):
        h = math.sqrt(scale) / 2
        k = math.sqrt(1 + h * h)
        kept = torch.exp(-eps * math.log((k + h) / (k - h)) / (2 * k * h))
        memory.append(curve(eps, kept, f"gamma² = {scale:g} t (1 − t)", hue, dash=dash))
    x, y = Axis(label="eps"), Axis(label="correlation r", low=0, high=1)
    title = "Memory of the start, N(0, 1)"
    panels.append(Panel(series=tuple(memory), title=title, x=x, y=y))
    return Figure(name="mirror", panels=tuple(panels), width=1125, height=310, legend_columns=5)


if __name__ == "__main__":
    save([mirror()], IMAGES, dpi=100)
