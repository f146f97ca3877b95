"""The linear path, ``x_t = (1 - t) x0 + t x1 + gamma(t) z``."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths.envelopes import BrownianEnvelope, Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath


class _LinearSchedule(SpatiallyLinearPath):
    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, ``1 - t``."""
        return 1 - t

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, ``t``."""
        return t

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha, -1."""
        return torch.full_like(t, -1.0)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta, 1."""
        return torch.ones_like(t)

    def interpolate_dot(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """``x1 - x0``, the same bits as with the rates of both coefficients."""
        return x1 - x0


@dataclass(frozen=True)
class Linear(_LinearSchedule):
    """Two-sided linear path between any two distributions.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, table 4.
    """

    formula: ClassVar[str] = "x_t = (1 - t) x0 + t x1"

    envelope: Envelope = field(default_factory=BrownianEnvelope)
    """The latent term; ``ZeroEnvelope()`` gives the path of flow matching (velocity only)."""


@dataclass(frozen=True)
class OneSidedLinear(_LinearSchedule):
    """One-sided linear path from a known base, Gaussian as a rule: ``x_t = (1 - t) x0 + t x1``, ``x0 = mean + L z``.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 3.2.
    """

    formula: ClassVar[str] = "x_t = (1 - t) x0 + t x1"

    base: BaseDistribution = field(default_factory=Gaussian)
    """The distribution of x0; standard normal by default."""
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def time_at_log_snr(self, value: Tensor) -> Tensor:
        """Closed form: ``noise / signal = scale (1 - t) / t``."""
        ratio = torch.exp(-0.5 * value.double())
        return self._base_scale("time_at_log_snr") / (self._base_scale("time_at_log_snr") + ratio)
