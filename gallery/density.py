"""Density of an interpolant: two moons become eight clouds.

If both ends are mixtures of Gaussians, the distribution of the interpolant at every time is known in closed
form; nothing is trained. Each frame is shaded up to its own maximum.
"""

from collections.abc import Iterator

import numpy as np
import torch

from gallery.common import figure, frame, main, plain_axes
from interpolants.paths import BrownianEnvelope, Linear
from interpolants.problems import EightGaussians, GaussianMixture, GaussianMixtureBridge, Moons

METHOD = "docs/methods/likelihood.md"


def draw(quick: bool) -> Iterator[object]:
    """The exact distribution of x_t on a grid of the plane."""
    moons = Moons(scale=1.7, noise=0.22).mixture
    bridge = GaussianMixtureBridge(thin(moons), EightGaussians(radius=3.0, noise=0.28))
    path = Linear(envelope=BrownianEnvelope(scale=0.3))

    side = 60 if quick else 150
    line = torch.linspace(-4.2, 4.2, side, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    times = torch.linspace(0, 1, 3 if quick else 26).tolist()
    densities = [bridge.marginal(path, t).log_prob(grid).exp().reshape(side, side) for t in times]
    for k in [*range(len(times)), *range(len(times) - 2, 0, -1)]:
        made = figure(330, 350)
        axes = made.add_subplot()
        heights = densities[k].T.sqrt().numpy()
        axes.contourf(line, line, heights, levels=np.linspace(0, heights.max(), 13), cmap="magma")
        plain_axes(axes, 4.2, f"t = {times[k]:.2f}, density of x_t")
        yield frame(made)


def thin(distribution: GaussianMixture) -> GaussianMixture:
    """Every eighth component: 0.22 wide, they still overlap."""
    weights = distribution.weights[::8] / distribution.weights[::8].sum()
    return GaussianMixture(weights, distribution.means[::8], distribution.variances[::8])


if __name__ == "__main__":
    main(draw)
