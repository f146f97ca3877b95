"""A generative model without training, in seconds.

A kernelised interpolant solves one linear system per time; a network of the same task takes minutes. More features
follow finer structure.
"""

import torch

from gallery.common import HUES, draws, figure, main, plain_axes
from interpolants.methods import KernelInterpolant
from interpolants.problems import Moons, Rings

METHOD = "docs/methods/kernel_interpolant.md"


def draw(quick: bool) -> object:
    """Rows on the left, next to samples with 10, 50 and 300 features."""
    picture = figure(760, 400)
    panels = picture.subplots(2, 4)
    for row, problem in zip(panels, (Moons(scale=2.2, noise=0.15), Rings()), strict=True):
        points = draws(problem, 300 if quick else 3000)
        edge = 1.25 * float(points.abs().max())
        plain_axes(row[0], edge, "rows")
        row[0].scatter(*points.T, s=1, color=HUES[0], linewidths=0)
        for axes, count in zip(row[1:], (10, 50, 300), strict=True):
            model = KernelInterpolant(n_features=count, draws=400 if quick else None, seed=0)
            samples = (
                model.set_params(times=10 if quick else 50)
                .fit(x1=points)
                .sample(300 if quick else 3000, seed=1)
            )
            plain_axes(axes, edge, f"{count} features")
            axes.scatter(*torch.as_tensor(samples).T, s=1, color=HUES[1], linewidths=0)
    return picture


if __name__ == "__main__":
    main(draw)
