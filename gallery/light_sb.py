"""A bridge without a network, at three temperatures.

The light Schrödinger bridge fits a mixture in seconds. The more noise, the wider the distribution of
endpoints from one start (dot). Contours are the exact density of the endpoint given the start.
"""

import torch

from gallery.common import HUES, draws, figure, main, plain_axes
from interpolants.generative.schrodinger import LightSB
from interpolants.problems import EightGaussians, Moons

METHOD = "docs/methods/light_sb.md"


def draw(quick: bool) -> object:
    """Paths above, conditional densities of three starts below."""
    x0 = draws(Moons(scale=2.2, noise=0.15), 4000)
    x1 = draws(EightGaussians(radius=3.2, noise=0.3), 4000, seed=1)
    corners = torch.tensor([[-3.3, -0.5], [0.0, 0.3], [3.3, 0.5]])
    starts = x0[torch.cdist(corners, x0).argmin(1)]
    line = torch.linspace(-4.4, 4.4, 40 if quick else 150)
    grid = torch.cartesian_prod(line, line)

    made = figure(760, 530)
    top, bottom = made.subplots(2, 3)
    for above, below, eps in zip(top, bottom, (0.1, 0.5, 2.5), strict=True):
        bridge = LightSB(eps=eps, n_components=8 if quick else 16, seed=0).fit(x0, x1)
        plain_axes(above, 4.4, f"eps = {eps}")
        above.scatter(*bridge.transport(x0[:1500], seed=1).T, s=1, color=HUES[0], linewidths=0)
        times = torch.linspace(0, 1, 10 if quick else 60).tolist()
        paths = bridge.sample_marginals(x0[:30], times, seed=2)
        above.plot(paths[..., 0], paths[..., 1], color="#5b6472", linewidth=0.5)
        above.scatter(*x0[:30].T, s=8, color=HUES[1], linewidths=0, zorder=3)

        plain_axes(below, 4.4)
        below.scatter(*x1[:800].T, s=1, color="#c9ced6", linewidths=0)
        for start, hue in zip(starts, (HUES[1], HUES[2], HUES[3]), strict=True):
            density = (
                bridge.log_prob(grid, start=start.expand_as(grid))
                .exp()
                .reshape(len(line), len(line))
                .T.numpy()
            )
            levels = [density.max() * share for share in (0.05, 0.3, 0.7)]
            below.contour(line, line, density, levels=levels, colors=hue, linewidths=1)
            below.plot(*start, "o", color=hue, markersize=6)
    top[0].set_ylabel("30 journeys", fontsize=9)
    bottom[0].set_ylabel("where three starts may end", fontsize=9)
    return made


if __name__ == "__main__":
    main(draw)
