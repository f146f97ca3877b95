"""Trigonometric paths: the coefficients of x0 and x1 keep ``alpha^2 + beta^2`` constant."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths.envelopes import BrownianEnvelope, Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath

_QUARTER = math.pi / 2


class _TrigonometricSchedule(SpatiallyLinearPath):
    # cos(pi/2) is not zero in floating point: alpha is written as a sine, exact at both ends.
    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, ``cos(pi t / 2)``."""
        return torch.sin(_QUARTER * (1 - t))

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, ``sin(pi t / 2)``."""
        return torch.sin(_QUARTER * t)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha, ``-pi/2 sin(pi t / 2)``."""
        return -_QUARTER * torch.sin(_QUARTER * t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta, ``pi/2 cos(pi t / 2)``."""
        return _QUARTER * torch.sin(_QUARTER * (1 - t))


@dataclass(frozen=True)
class Trigonometric(_TrigonometricSchedule):
    """``x_t = cos(pi t/2) x0 + sin(pi t/2) x1 + gamma(t) z``.

    Raises:
        InvalidInputError: If ``variance_preserving`` and gamma reaches 1.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, table 4.
    """

    formula: ClassVar[str] = "x_t = cos(πt/2) x0 + sin(πt/2) x1"

    envelope: Envelope = field(default_factory=BrownianEnvelope)
    """The latent term."""
    variance_preserving: bool = False
    """Multiply alpha and beta by ``sqrt(1 - gamma^2)``, so that white ends of unit variance keep unit variance at all
    times; needs ``gamma < 1``."""

    def check_settings(self) -> None:
        """Refuse a gamma that leaves no room for the ends."""
        super().check_settings()
        if self.variance_preserving:
            top = float(self.envelope.gamma(torch.linspace(0, 1, 257, dtype=torch.float64)).max())
            if top >= 1:
                remedy = "Lower the envelope's scale, or set variance_preserving=False."
                raise invalid("gamma must stay below 1 to preserve variance", top, remedy)

    def alpha(self, t: Tensor) -> Tensor:
        """``cos(pi t / 2)``, times ``sqrt(1 - gamma^2)`` when variance is preserved."""
        return super().alpha(t) * self._shrink(t)

    def beta(self, t: Tensor) -> Tensor:
        """``sin(pi t / 2)``, times ``sqrt(1 - gamma^2)`` when variance is preserved."""
        return super().beta(t) * self._shrink(t)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha."""
        return super().alpha_dot(t) * self._shrink(t) + super().alpha(t) * self._shrink_dot(t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta."""
        return super().beta_dot(t) * self._shrink(t) + super().beta(t) * self._shrink_dot(t)

    def _shrink(self, t: Tensor) -> Tensor:
        if not self.variance_preserving:
            return torch.ones_like(t)
        return torch.sqrt(1 - self.envelope.gamma(t).square())

    def _shrink_dot(self, t: Tensor) -> Tensor:
        if not self.variance_preserving:
            return torch.zeros_like(t)
        return -self.envelope.gamma_gamma_dot(t) / self._shrink(t)


@dataclass(frozen=True)
class OneSidedTrigonometric(_TrigonometricSchedule):
    """One-sided trigonometric path from a known base: ``x_t = cos(pi t/2) x0 + sin(pi t/2) x1``.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 3.2.
    """

    formula: ClassVar[str] = "x_t = cos(πt/2) x0 + sin(πt/2) x1"

    base: BaseDistribution = field(default_factory=Gaussian)
    """The distribution of x0; standard normal by default."""
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def time_at_log_snr(self, value: Tensor) -> Tensor:
        """Closed form: ``2/pi`` times the angle whose tangent is ``scale exp(value/2)``."""
        ratio = self._base_scale("time_at_log_snr") * torch.exp(0.5 * value.double())
        return torch.atan(ratio) / _QUARTER
