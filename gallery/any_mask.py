"""One model of digits, any mask.

Each pixel has its own time. Observed pixels stay at the data from the start, and the flow draws the others:
a half, single pixels, or the detail coefficients of a Haar transform. The mask is chosen after training.
"""

import torch

import interpolants as itp
from gallery.common import figure, label, main, show_images
from interpolants.data import load

METHOD = "docs/methods/completion.md"


def draw(quick: bool) -> object:
    """Rows of a mask: the known entries, two draws, and the truth."""
    pixels = fitted(load("digits", dequantise=True).x, quick)
    haar = fitted(to_haar(load("digits", dequantise=True).x), quick)
    truth = load("digits", "test", dequantise=True).x[:12]
    half = (torch.arange(8) >= 4).expand(12, 1, 8, 8)
    scattered = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.7
    details = half | half.mT

    rows = {
        "right half hidden": (truth.masked_fill(half, -0.4), draws(pixels, truth, half)),
        "7 of 10 pixels hidden": (truth.masked_fill(scattered, -0.4), draws(pixels, truth, scattered)),
        "details hidden (Haar)": (
            to_haar(to_haar(truth).masked_fill(details, 0.0), inverse=True),
            [to_haar(x, inverse=True) for x in draws(haar, to_haar(truth), details)],
        ),
    }
    picture = figure(960, 620)
    for row, (name, (image, filled)) in zip(picture.subplots(3, 4), rows.items(), strict=True):
        columns = {name: image, "a draw": filled[0], "another draw": filled[1], "truth": truth}
        for axes, (title, images) in zip(row, columns.items(), strict=True):
            show_images(axes, images, columns=4, gap=2)
            label(axes, title=title)
    return picture


def fitted(x: torch.Tensor, quick: bool) -> itp.Bridge:
    """A bridge of images with one time per pixel."""
    net = {"kind": "mlp", "width": 384, "depth": 4, "residual": True}
    bridge = itp.Bridge("one_sided_linear", masks=True, net=net, seed=0)
    return bridge.fit(x1=x, steps=60 if quick else 4000, batch_size=256, progress=False)


def draws(bridge: itp.Bridge, x: torch.Tensor, hidden: torch.Tensor) -> list[torch.Tensor]:
    """Two draws of the hidden entries given the others."""
    return [bridge.complete(x.masked_fill(hidden, torch.nan), seed=k) for k in range(2)]


def to_haar(x: torch.Tensor, *, inverse: bool = False) -> torch.Tensor:
    """Means and differences of neighbours, along both axes, in an orthonormal basis: coarse pixels come first."""
    first, second = torch.eye(8)[::2], torch.eye(8)[1::2]
    basis = torch.cat([first + second, first - second]) / 2**0.5
    return basis.T @ x @ basis if inverse else basis @ x @ basis.T


if __name__ == "__main__":
    main(draw)
