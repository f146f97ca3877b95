"""Draw the figure of ``docs/methods/kernel_interpolant.md``: ``python docs/figures/kernel_interpolant.py``."""

from pathlib import Path

import torch

from interpolants.framework.figures import Axis, Figure, Panel, cloud, curve
from interpolants.methods.kernelised.kernel_interpolant import KernelInterpolant
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.problems import EightGaussians
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"


def figure() -> Figure:
    """Samples next to those of the Gaussian fit, and the effective number of features over time."""
    rows = EightGaussians(radius=3.0, noise=0.3).sample(2000, generator=torch.Generator().manual_seed(0))
    model = KernelInterpolant().fit(x1=rows)
    x, y = (Axis(label=f"{name} coordinate", low=-5.5, high=5.5) for name in ("first", "second"))
    samples = {
        "2,000 rows": rows,
        "Gaussian fit": GaussianFit().fit(x1=rows).sample(2000, seed=1),
        "Kernelised interpolant": model.sample(2000, seed=1),
    }
    panels = [
        Panel(series=(cloud(points, hue=hue, alpha=0.4),), title=title, x=x, y=y, equal=True)
        for hue, (title, points) in enumerate(samples.items())
    ]
    history = model.about["history"]["systems"]
    effective = curve([row["t"] for row in history], [row["effective_features"] for row in history])
    axes = {"x": Axis(label="time t"), "y": Axis(label="effective features of 300", low=0)}
    panels.append(Panel(series=(effective,), title="Effective number of features", **axes))
    return Figure(name="kernel_interpolant", panels=tuple(panels), width=1120, height=300)


if __name__ == "__main__":
    save([figure()], IMAGES, dpi=110)
