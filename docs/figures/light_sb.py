"""Draw the figure of ``docs/methods/light_sb.md``: ``python docs/figures/light_sb.py``."""

from pathlib import Path

import torch

from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud, trails
from interpolants.generative.schrodinger.light_sb import LightSB
from interpolants.problems import EightGaussians, Moons
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
EDGE = 5.0  # of the densities


def figure() -> Figure:
    """Paths of the bridge, and what it says of the ends of three starts."""
    g = torch.Generator().manual_seed(0)
    x0, x1 = (distribution.sample(3000, generator=g).float() for distribution in (EightGaussians(), Moons()))
    bridge = LightSB(eps=0.3, n_components=15).fit(x0, x1)
    x, y = (Axis(label=f"{name} coordinate", low=-5.5, high=5.5) for name in ("first", "second"))
    paths = bridge.sample_marginals(x0[:40], torch.linspace(0, 1, 60).tolist(), seed=1)
    ways = (cloud(x0[:800], "x0"), cloud(x1[:800], "x1", 1), trails(paths))
    title = "40 paths, without simulation"
    left = Panel(series=ways, title=title, x=x, y=y, equal=True, legend="upper left")

    side = torch.linspace(-EDGE, EDGE, 200)
    grid = torch.cartesian_prod(side, side)
    corners = torch.tensor([[-4.0, 0.0], [2.8, 2.8], [0.0, -4.0]])
    series = [cloud(x1[:800], hue="muted", alpha=0.3)]
    for hue, start in enumerate(x0[torch.cdist(corners, x0).argmin(1)], 2):
        density = bridge.log_prob(grid, start=start.expand_as(grid)).exp().reshape(200, 200).T
        levels = density.max() * torch.tensor([0.05, 0.2, 0.5, 0.8])
        lines = {"values": density, "levels": levels, "extent": (-EDGE, EDGE, -EDGE, EDGE)}
        series += [Series(mark="contour", arrays=lines, hue=hue), cloud(start[None], hue=hue, size=36)]
    title = "Density of x1 given three x0 (dots)"
    right = Panel(series=tuple(series), title=title, x=x, y=y, equal=True)
    return Figure(name="light_sb", panels=(left, right), width=760, height=400)


if __name__ == "__main__":
    save([figure()], IMAGES, dpi=110)
