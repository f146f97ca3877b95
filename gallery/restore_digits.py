"""One model of digits, three degradations.

RED-diff restores digits from a missing part, from a blur and from coarse pixels with the same unconditional
model, which was trained on clean digits only.
"""

import torch

import interpolants as itp
from gallery.common import figure, label, main, show_images
from interpolants.data import load
from interpolants.guidance import REDDiff
from interpolants.operators import Blur, Downsample, Mask

METHOD = "docs/methods/inverse_problems.md"


def draw(quick: bool) -> object:
    """Columns: what was measured, what was made of it, and the truth."""
    net = {"kind": "mlp", "width": 256, "depth": 4, "residual": True}
    bridge = itp.Bridge(
        "one_sided_linear", heads=["noise"], precondition=True, net=net, standardize=False, seed=0
    )
    bridge.fit(
        x1=load("digits", dequantise=True).x, steps=60 if quick else 2000, batch_size=128, progress=False
    )

    truth = load("digits", "test", dequantise=True).x[:12]
    upper = torch.zeros(1, 8, 8, dtype=torch.bool)
    upper[:, :5] = True
    operators = {
        "lower three rows missing": Mask(upper),
        "blurred": Blur.gaussian(1.1),
        "every 2 x 2 pixels averaged": Downsample(2),
    }
    made = figure(720, 600)
    for row, (name, operator) in zip(made.subplots(3, 3), operators.items(), strict=True):
        measured = operator(truth)
        solver = REDDiff(bridge.fields, operator, strength=0.25, n_steps=20 if quick else 250, lr=0.05)
        restored = solver.restore(measured, seed=0).x
        shown = {name: visible(operator, measured), "restored": restored, "truth": truth}
        for axes, (title, images) in zip(row, shown.items(), strict=True):
            show_images(axes, images, columns=4, gap=2)
            label(axes, title=title)
    return made


def visible(operator: object, measured: torch.Tensor) -> torch.Tensor:
    """A measurement as an image of the size of the truth."""
    if isinstance(operator, Mask):
        return torch.where(operator.known, operator.pinv(measured), -0.4)
    return measured if isinstance(operator, Blur) else operator.pinv(measured)


if __name__ == "__main__":
    main(draw)
