"""Fewer evaluations, after training.

A model trained on a curved path is sampled on a straight one, and by a solver that was fitted to it. Each
panel shows its evaluations of the network and the root mean square distance from the exact flow.
"""

import torch

import interpolants as itp
from gallery.common import HUES, draws, figure, main, plain_axes
from interpolants.problems import Checkerboard

METHOD = "docs/methods/fitted_solver.md"


def draw(quick: bool) -> object:
    """Samples of one model from the same starts: the exact flow, and three ways with few evaluations."""
    points = draws(Checkerboard(), 300 if quick else 20000)
    net = {"kind": "mlp", "width": 128, "depth": 4}
    bridge = itp.Bridge("vp", net=net, seed=0)
    bridge.fit(x1=points, steps=40 if quick else 3000, batch_size=512, progress=False)
    straight = bridge.on("one_sided_linear")
    fitted = straight.fit_solver(6, pairs=500 if quick else 2000, steps=10 if quick else 300)

    n, edge = 200 if quick else 3000, 1.15 * float(points.abs().max())
    exact = straight.sample(n, method="rk4", n_steps=10 if quick else 100, seed=1)
    panels = {
        "exact flow, 400": exact,
        "trained path, 6": bridge.sample(n, method="midpoint", n_steps=3, seed=1),
        "straight path, 6": straight.sample(n, method="midpoint", n_steps=3, seed=1),
        "fitted solver, 6": straight.sample(n, method=fitted, seed=1),
    }
    picture = figure(760, 230)
    for k, (axes, (name, x)) in enumerate(zip(picture.subplots(1, 4), panels.items(), strict=True)):
        error = float((torch.as_tensor(x) - exact).square().sum(1).mean().sqrt())
        plain_axes(axes, edge, name if x is exact else f"{name}: {error:.2f}")
        axes.scatter(*x.T, s=1, color=HUES[min(k, 1)], linewidths=0)
    return picture


if __name__ == "__main__":
    main(draw)
