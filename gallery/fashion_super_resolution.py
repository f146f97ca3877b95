"""Sixteen times as many pixels.

Clothes of 7 x 7 pixels are drawn at 28 x 28. The bridge starts at the coarse image with a little noise and
adds detail, which differs in each draw.
"""

from gallery.common import figure, label, main, show_images
from interpolants.data import load
from interpolants.methods import Restoration
from interpolants.operators import Downsample

METHOD = "docs/methods/couplings_from_data.md"


def draw(quick: bool) -> object:
    """Coarse pictures of the test set, two draws of the bridge, and the truth."""
    bridge = Restoration(
        coupling={"kind": "super_resolution", "factor": 4, "noise": 0.3},
        net={"kind": "unet", "channels": 16, "blocks": 1, "attention": []},
        steps=4 if quick else 500,
        batch_size=24,
        lr=3e-3,
    ).fit(load("fashion_mnist").x[: 500 if quick else 20_000])

    truth = load("fashion_mnist", "test").x[20:28]
    coarse = Downsample(4)
    draws = bridge.restore(coarse(truth), draws=2, n_steps=2 if quick else 20).x
    rows = {"7 x 7": coarse.pinv(coarse(truth)), "draw 1": draws[:, 0], "draw 2": draws[:, 1], "truth": truth}
    made = figure(760, 400)
    for axes, (name, row) in zip(made.subplots(4, 1), rows.items(), strict=True):
        show_images(axes, row, columns=8, gap=3)
        label(axes, title="")
        axes.text(-4, 14, name, ha="right", va="center", fontsize=9)
    return made


if __name__ == "__main__":
    main(draw)
