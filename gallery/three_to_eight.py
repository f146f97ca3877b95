"""Threes become eights.

A bridge between two sets of digits, without pairs: the flow maps every three to one eight, and the SDE
draws a different eight each time.
"""

import torch

import interpolants as itp
from gallery.common import HUES, figure, main, show_images
from interpolants.data import load

METHOD = "docs/choose.md"


def draw(quick: bool) -> object:
    """Rows: digits on their way, and three other arrivals of each start."""
    digits = load("digits", dequantise=True)
    threes, eights = (digits.x[digits.labels == digit] for digit in (3, 8))
    bridge = itp.Bridge(
        path={"kind": "linear", "envelope": {"kind": "brownian", "scale": 0.3}},
        coupling="minibatch_ot",
        heads=["velocity", "noise"],
        net={"kind": "mlp", "width": 256, "depth": 4, "residual": True, "layer_norm": True},
        seed=0,
    )
    bridge.fit(threes, eights, steps=40 if quick else 1500, batch_size=64, progress=False)

    held = load("digits", "test", dequantise=True)
    start = held.x[held.labels == 3][:7]
    path = bridge.transport(start, n_steps=100, details=True, return_path=True).path[::20]  # (6, 7, 1, 8, 8)
    others = torch.stack([bridge.transport(start, eps=0.5, seed=seed, n_steps=100) for seed in range(3)])

    made = figure(760, 560)
    way, ends = made.subplots(1, 2, width_ratios=(6, 3))
    show_images(way, path.transpose(0, 1).flatten(0, 1), columns=6, gap=2)
    show_images(ends, others.transpose(0, 1).flatten(0, 1), columns=3, gap=2)
    way.set_title("a three of the test set, and where the flow takes it", fontsize=9, loc="left")
    ends.set_title("three draws of the SDE, eps = 0.5", fontsize=9, loc="left", color=HUES[0])
    for k in range(6):
        way.text(10 * k + 3.5, 70.5, f"t = {k / 5}", ha="center", fontsize=8)
    return made


if __name__ == "__main__":
    main(draw)
