"""Draw ``docs/images/pfgmpp.png``: ``python docs/figures/pfgmpp.py``.

Poisson flows in D extra dimensions: the distribution of the noise, and the exact flow to a set of points. Nothing is
trained.
"""

import math
from pathlib import Path

import torch

from interpolants.dynamics import sample
from interpolants.framework.figures import Axis, Figure, Panel, cloud, curve, trails
from interpolants.paths import EDM
from interpolants.problems import EmpiricalBridge, GaussianMixture
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
HUES = {1: 1, 4: 3, 16: 2, "inf": 0}
MEANS = torch.tensor([[-1.0, -0.6], [1.2, -0.4], [0.0, 1.2]], dtype=torch.float64)


def points() -> torch.Tensor:
    """Three clusters of 100 points each."""
    distribution = GaussianMixture(torch.full((3,), 1 / 3).double(), MEANS, torch.full((3,), 0.02).double())
    return distribution.sample(300, generator=torch.Generator().manual_seed(0))


def figure() -> Figure:
    """Tails of the noise, and paths of the flow for three D."""
    radius = torch.logspace(-1, 2.3, 200, dtype=torch.float64)
    names = {df: f"D = {df}".replace("inf", "∞") for df in HUES}
    tails = []
    for df, hue in HUES.items():
        log_p = EDM(df=df, smax=1.0).base.log_prob(torch.stack([radius, 0 * radius], 1)) / math.log(10)
        tails.append(curve(radius, log_p, names[df], hue))
    x, y = Axis(label="|x - y| / sigma", scale="log"), Axis(label="log10 density", low=-12, high=0)
    title = "Density of the noise in the plane"
    panels = [Panel(series=tuple(tails), title=title, x=x, y=y, legend="lower left", width=1.3)]
    x, y = (Axis(label=name, low=-9, high=9) for name in "xy")
    data = points()
    for df in (1, 16, "inf"):
        path = EDM(df=df, smax=5.0, smin=0.02)
        noise = path.base.noise((60, 2), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        fields = EmpiricalBridge(data).fields(path)
        run = sample(fields, path.base.color(noise), n_steps=60, finish="denoise", return_path=True)
        ways = trails(run.path, hue=HUES[df])
        series = (ways, cloud(data, "data", "muted", size=4), cloud(run.x, "arrived", 4, size=14))
        place = "upper right" if df == "inf" else ""
        panels.append(Panel(series=series, title=f"Flow for {names[df]}", x=x, y=y, equal=True, legend=place))
    return Figure(name="pfgmpp", panels=tuple(panels), width=1040, height=280)


if __name__ == "__main__":
    save([figure()], IMAGES, dpi=100)
