"""Encoder-decoder path: x0 is mapped to pure noise, and x1 is decoded from it."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.paths.envelopes import Envelope, SineSquaredEnvelope
from interpolants.paths.path import SpatiallyLinearPath


@dataclass(frozen=True)
class EncoderDecoder(SpatiallyLinearPath):
    """``alpha = cos^2(pi t)`` before t = 1/2 and 0 after, ``beta`` its mirror image, ``gamma = sin^2(pi t)``.

    At t = 1/2 the state is standard normal whatever the ends: each half can be learnt alone. Position and rate do
    not determine both end points (one of them is absent at every time), so the mean end points do not follow
    from the velocity.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, table 4.
    """

    formula: ClassVar[str] = "x_t = α(t) x0 + β(t) x1; α = cos²(πt) before ½, β = cos²(πt) after"

    envelope: Envelope = field(default_factory=SineSquaredEnvelope, init=False)

    @property
    def is_mixing(self) -> bool:
        """Never: one end is absent at every time."""
        return False

    def alpha(self, t: Tensor) -> Tensor:
        """``cos^2(pi t)`` on [0, 1/2), then 0."""
        return torch.sin(math.pi * (0.5 - t).clamp_min(0)).square()

    def beta(self, t: Tensor) -> Tensor:
        """0 up to 1/2, then ``cos^2(pi t)``."""
        return torch.sin(math.pi * (t - 0.5).clamp_min(0)).square()

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha, continuous at 1/2."""
        return -math.pi * torch.sin(2 * math.pi * (0.5 - t).clamp_min(0))

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta, continuous at 1/2."""
        return math.pi * torch.sin(2 * math.pi * (t - 0.5).clamp_min(0))
