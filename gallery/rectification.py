"""Rectification: the same map with straight lines.

A flow is trained again on its own pairs of start and endpoint. Afterwards one network evaluation maps a
point to its endpoint.
"""

import torch

from gallery.common import HUES, draws, figure, main, plain_axes
from interpolants.dynamics import sample
from interpolants.methods import Rectification, one_step, straightness
from interpolants.problems import EightGaussians

METHOD = "docs/methods/rectification.md"


def draw(quick: bool) -> object:
    """Trajectories before and after, and what one evaluation gives."""
    target = EightGaussians(radius=3.0, noise=0.25)
    x0 = 0.8 * torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0))
    bridge = Rectification(
        rounds=1,
        n_steps=4 if quick else 40,
        net={"kind": "mlp", "width": 128, "depth": 3},
        steps=40 if quick else 2500,
        batch_size=256,
    ).fit(x0, draws(target, 20_000, seed=1))

    made = figure(620, 620)
    top, bottom = made.subplots(2, 2)
    names = ("first flow", "after one round")
    for above, below, flow, name in zip(top, bottom, bridge.flows, names, strict=True):
        path = sample(flow, x0[:60], n_steps=100, return_path=True).path
        bend = straightness(flow, x0[:1000], n_steps=30).relative
        plain_axes(above, 4.0, f"{name}: curvature {100 * bend:.0f} % of the energy")
        above.plot(path[..., 0], path[..., 1], color="#8a93a0", linewidth=0.7)
        above.scatter(*path[0].T, s=10, color=HUES[1], linewidths=0, zorder=3)
        above.scatter(*path[-1].T, s=10, color=HUES[0], linewidths=0, zorder=3)

        plain_axes(below, 4.0, f"{name}: ends read off one evaluation")
        below.scatter(*one_step(flow, x0[:2500]).T, s=1.5, color=HUES[0], linewidths=0)
    return made


if __name__ == "__main__":
    main(draw)
