"""Draw the figure of ``docs/methods/light_sb.md``: ``python docs/figures/light_sb.py``."""

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the drawing of the studies lies beside the package


def main() -> None:
    """Write ``docs/images/light_sb.png``."""
    from gallery.drawing import HUES, figure, label, legend, save

    from interpolants.generative.schrodinger.light_sb import LightSB
    from interpolants.problems import EightGaussians, Moons

    g = torch.Generator().manual_seed(0)
    x0, x1 = (distribution.sample(3000, generator=g).float() for distribution in (EightGaussians(), Moons()))
    bridge = LightSB(eps=0.3, n_components=15).fit(x0, x1)
    made = figure(760, 480)

    axes = made.add_subplot(1, 2, 1)
    axes.scatter(*x0[:800].T, s=3, color=HUES[0], linewidths=0, label="x0")
    axes.scatter(*x1[:800].T, s=3, color=HUES[1], linewidths=0, label="x1")
    paths = bridge.sample_marginals(x0[:40], torch.linspace(0, 1, 60).tolist(), seed=1)
    axes.plot(paths[..., 0], paths[..., 1], color="#777777", linewidth=0.6, alpha=0.8)
    label(axes, title="40 paths, without simulation", x="first coordinate", y="second coordinate")
    axes.set_aspect("equal")
    legend(axes, loc="upper left", markerscale=3)

    axes = made.add_subplot(1, 2, 2)
    axes.scatter(*x1[:800].T, s=3, color="#cccccc", linewidths=0)
    a, b = torch.meshgrid(torch.linspace(-5, 5, 200), torch.linspace(-5, 5, 200), indexing="xy")
    grid = torch.stack([a.flatten(), b.flatten()], 1)
    corners = torch.tensor([[-4.0, 0.0], [2.8, 2.8], [0.0, -4.0]])
    starts = x0[torch.cdist(corners, x0).argmin(1)]
    for start, hue in zip(starts, HUES[2:5], strict=True):
        density = bridge.log_prob(grid, start=start.expand_as(grid)).exp().reshape(a.shape)
        levels = [float(density.max()) * share for share in (0.05, 0.2, 0.5, 0.8)]
        axes.contour(a, b, density, levels=levels, colors=hue, linewidths=0.9)
        axes.plot(*start, "o", color=hue, markersize=6)
    label(axes, title="Density of x1 given three x0 (dots)", x="first coordinate")
    axes.set_aspect("equal")
    axes.set_xlim(-5.5, 5.5)
    axes.set_ylim(-5.5, 5.5)
    save(made, ROOT / "docs" / "images" / "light_sb.png", dpi=110)


if __name__ == "__main__":
    main()
