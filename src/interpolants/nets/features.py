"""Features of small images by two convolutions."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.remembered import Remembered
from interpolants.nets.net import materialise


class ConvFeatures(Remembered, id="conv_features"):
    """``(B, C, H, W) -> (B, outputs)``: two convolutions, each averaged over squares of 2 x 2, and a linear layer.

    Args:
        shape: ``(C, H, W)``, H and W at least 4.
        outputs: Number of features.
        width: Channels of the first convolution; the second has twice as many.
        seed: Seed of the initial weights, >= 0.

    Raises:
        InvalidInputError: For a setting out of range.
    """

    def __init__(self, shape: Sequence[int], outputs: int, *, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        who = "ConvFeatures"
        if len(shape) != 3 or min(shape[1:]) < 4:
            raise invalid(who, "shape must be (C, H, W) with H and W at least 4", tuple(shape))
        whole(who, "outputs", outputs, at_least=1)
        whole(who, "width", width, at_least=1)
        channels, height, breadth = shape
        with torch.device("meta"):
            self.first = nn.Conv2d(channels, width, 3, padding=1)
            self.second = nn.Conv2d(width, 2 * width, 3, padding=1)
            self.last = nn.Linear(2 * width * (height // 4) * (breadth // 4), outputs)
        materialise(self, seed)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate."""
        x = functional.avg_pool2d(functional.silu(self.first(x)), 2)
        x = functional.avg_pool2d(functional.silu(self.second(x)), 2)
        found: Tensor = self.last(x.flatten(1))
        return found
