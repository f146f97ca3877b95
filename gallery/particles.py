"""Particles on their way from a spiral to eight clouds.

The flow of a learnt bridge, frame by frame. The colour of a particle marks its starting point on the
spiral.
"""

from collections.abc import Iterator

import torch
from matplotlib import colormaps

import interpolants as itp
from gallery.common import draws, figure, frame, main, plain_axes
from interpolants.problems import EightGaussians, SwissRoll

METHOD = "docs/howto.md"


def draw(quick: bool) -> Iterator[object]:
    """Train a bridge, follow its flow and back again."""
    x0, x1 = draws(SwissRoll(), 20_000), draws(EightGaussians(radius=3.0, noise=0.3), 20_000, seed=1)
    bridge = itp.Bridge(
        path={"kind": "linear", "envelope": {"kind": "zero"}},  # no latent noise: the flow is all we want
        net={"kind": "mlp", "width": 128, "depth": 4},
        seed=0,
    )
    bridge.fit(x0, x1, steps=40 if quick else 4000, batch_size=256, progress=False)

    n_frames = 4 if quick else 26
    start = draws(SwissRoll(), 100 if quick else 900, seed=2)
    path = bridge.transport(start, n_steps=4 * n_frames, details=True, return_path=True).path[::4]
    colours = colormaps["plasma"]((0.92 * start.norm(dim=1) / start.norm(dim=1).max()).numpy())
    ease = torch.sin(torch.linspace(0, torch.pi / 2, n_frames)) ** 2  # slow at both ends
    there = [round(float(share) * (len(path) - 1)) for share in ease]
    for k in [*there, *there[-2:0:-1]]:
        made = figure(330, 350)
        axes = made.add_subplot()
        axes.scatter(*path[k].T, s=7, c=colours, linewidths=0)
        plain_axes(axes, 4.2, f"t = {k / (len(path) - 1):.2f}")
        yield frame(made)


if __name__ == "__main__":
    main(draw)
