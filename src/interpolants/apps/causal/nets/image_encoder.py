"""Encoder of images to a vector: convolutions that halve the image, without statistics of the batch."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.remembered import Remembered
from interpolants.nets.net import materialise


class ImageEncoder(Remembered, id="image_encoder"):
    """``(B, C, H, W) -> (B, outputs)``: convolutions of stride 2 with SiLU, then two dense layers.

    Nothing is normalised over the batch: a row's answer does not depend on the rows beside it.

    Args:
        shape: (C, H, W).
        outputs: Length of what comes out.
        channels: Channels after each convolution.
        width: Units of the hidden dense layer.
        seed: Seed of the initial weights.

    Raises:
        InvalidInputError: For a setting outside its range, or an image that is too small to be halved so often.
    """

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        *,
        channels: Sequence[int] = (16, 32, 32),
        width: int = 128,
        seed: int = 0,
    ) -> None:
        super().__init__()
        who = "ImageEncoder"
        if len(shape) != 3 or not channels:
            raise invalid(
                who, "shape must be (C, H, W), and channels not empty", f"{tuple(shape)}, {channels}"
            )
        if min(shape[1:]) < 2 ** len(channels):
            rule = f"images must have 2^{len(channels)} pixels to a side at least"
            raise invalid(who, rule, tuple(shape), "Use fewer channels.")
        for name, value in (("outputs", outputs), ("width", width), *(("channels", c) for c in channels)):
            whole(who, name, value, at_least=1)
        height, across = shape[1:]
        for _ in channels:
            height, across = (height + 1) // 2, (across + 1) // 2
        with torch.device("meta"):
            pairs = pairwise([shape[0], *channels])
            self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs)
            self.hidden = nn.Linear(channels[-1] * height * across, width)
            self.output = nn.Linear(width, outputs)
        gain = 1.6765  # of SiLU, which keeps the size of the signal
        materialise(self, seed, gains={**dict.fromkeys([*self.convolutions][1:], gain), self.hidden: gain})

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate."""
        h = x
        for convolution in self.convolutions:
            h = functional.silu(convolution(h))
        found: Tensor = self.output(functional.silu(self.hidden(h.flatten(1))))
        return found
