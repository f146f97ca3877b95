"""Variance-preserving diffusion as a one-sided path on a finite time interval."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath, Unmix


@dataclass(frozen=True)
class VariancePreserving(SpatiallyLinearPath):
    """``x_t = sqrt(1 - t^2) x0 + t x1`` with a Gaussian base: the Ornstein-Uhlenbeck diffusion in finite time.

    ``alpha`` has an infinite rate at t = 1, yet velocity and score stay finite there: ``b = t s + E[x1|x]`` for a
    standard base, and both directions of that conversion are written without ``alpha_dot``.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 5.1.
    """

    formula: ClassVar[str] = "x_t = √(1 - t²) x0 + t x1"

    base: BaseDistribution = field(default_factory=Gaussian)
    """The distribution of x0; standard normal by default."""
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, ``sqrt(1 - t^2)``."""
        return torch.sqrt((1 - t) * (1 + t))

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, ``t``."""
        return t

    def alpha_dot(self, t: Tensor) -> Tensor:
        """``-t / sqrt(1 - t^2)``; minus infinity at t = 1."""
        return -t / self.alpha(t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta, 1."""
        return torch.ones_like(t)

    def alpha_alpha_dot(self, t: Tensor) -> Tensor:
        """Half the rate of ``alpha^2``, ``-t``."""
        return -t

    def unmix(self, t: Tensor) -> Unmix:
        """Closed form: ``alpha beta' - alpha' beta = 1/alpha``."""
        alpha = self.alpha(t)
        return Unmix(alpha, -t * alpha, t, alpha.square())
