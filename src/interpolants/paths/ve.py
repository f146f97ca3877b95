"""Variance-exploding (VE) diffusion path."""

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Remedy
from interpolants.paths.ends import Ends
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath


@dataclass(frozen=True)
class VE(SpatiallyLinearPath):
    """``x_t = x1 + sigma z``, ``sigma = smin (smax/smin)^(1-t)``: data that never decay in noise that grows.

    As a path: ``alpha = sigma / smax``, ``beta = 1`` and the base ``N(0, smax^2 Id)``, so that ``noise_std`` is sigma.
    Neither end is exact. At t = 0 the data are still there, below the noise: ``start_kl`` says what leaving them out
    costs. At t = 1 noise of standard deviation ``smin`` is left, which ``finish="denoise"`` takes away; the exact
    kernel of the SDE, of variance ``sigma^2 - smin^2``, has none there, but the papers' models and code use sigma.

    Raises:
        InvalidInputError: If a noise level is out of range.

    Source: Song et al. (2021), arXiv:2011.13456, equations 9 and 31.
    """

    formula: ClassVar[str] = "x_t = x1 + σ(t) z; σ = smin (smax/smin)^(1 - t)"

    smin: Annotated[float, Gt(0), Remedy("The papers take smin=0.01.")] = 0.01
    """Noise left on the data, in data units."""
    smax: Annotated[float, Gt(0), Remedy("Use about the largest distance between two data points.")] = 50.0
    """Noise of the base, in data units; about the largest distance between two data points."""
    base: Gaussian = field(init=False)
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "base", Gaussian(scale=self.smax))

    def check_settings(self) -> None:
        """Check that the noise level increases."""
        super().check_settings()
        if not self.smax > self.smin:
            remedy = "Use about the largest distance between two data points."
            raise invalid(f"smax must be > smin = {self.smin:g}", self.smax, remedy)

    @property
    def ends(self) -> Ends:
        """The data in the noise of the base at t = 0, and with noise ``smin`` at t = 1."""
        return Ends(x0_at_0=1.0, x1_at_0=1.0, x0_at_1=self.smin / self.smax, x1_at_1=1.0)

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, ``(smin/smax)^t``."""
        return torch.exp(-self._log_ratio * t)

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, 1."""
        return torch.ones_like(t)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha, ``-log(smax/smin) alpha``."""
        return -self._log_ratio * self.alpha(t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta, 0."""
        return torch.zeros_like(t)

    @property
    def _log_ratio(self) -> float:
        return math.log(self.smax / self.smin)
