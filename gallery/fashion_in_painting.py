"""Clothes with a hole, and several ways to fill it.

The bridge starts at the image with the hole, not at noise. The observed pixels are kept, and every draw
fills the hole differently.
"""

import torch

from gallery.common import figure, label, main, show_images
from interpolants.data import load
from interpolants.methods import Restoration
from interpolants.operators import Downsample

METHOD = "docs/methods/couplings_from_data.md"


def draw(quick: bool) -> object:
    """Test pictures at half size with a square hole, three draws of the bridge, and the truth."""
    half = Downsample(2)
    images = half(load("fashion_mnist").x[: 500 if quick else 10_000])  # 14 x 14 pixels: quick on one core
    bridge = Restoration(
        coupling={"kind": "in_painting", "mask": "rectangle", "share": 0.3},
        net={"kind": "unet", "channels": 16, "blocks": 1, "attention": []},
        steps=10 if quick else 500,
        batch_size=32,
        lr=4e-3,
    ).fit(images)

    truth = half(load("fashion_mnist", "test").x[:12])
    known = torch.ones(12, 1, 14, 14, dtype=torch.bool)
    known[:, :, 3:10, 4:11] = False
    draws = bridge.restore(truth, known=known, draws=3, n_steps=5 if quick else 15).x

    made = figure(760, 330)
    rows = {
        "seen": torch.where(known, truth, -0.4),
        **{f"draw {k + 1}": x for k, x in enumerate(draws.unbind(1))},
        "truth": truth,
    }
    for axes, (name, row) in zip(made.subplots(5, 1), rows.items(), strict=True):
        show_images(axes, row, columns=12, gap=2)
        label(axes, title="")
        axes.text(-3, 7, name, ha="right", va="center", fontsize=9)
    return made


if __name__ == "__main__":
    main(draw)
