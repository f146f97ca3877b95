"""The variance-preserving diffusions of score-based models, with linear rate: VP and sub-VP.

Letters: ``s = 1 - t`` the papers' time, 0 at the data; ``rate(s) = bmin + s (bmax - bmin)`` (their beta(s)) and
``B(s)`` its integral, by which the signal has decayed: ``beta = exp(-B/2)`` is the weight of the data. One minus an
exponential is always written with expm1, so that the noise near the data keeps its digits.

Source: Song et al. (2021), arXiv:2011.13456, section 3.4 and appendices B and C; rates derived anew.
"""

import math
from abc import abstractmethod
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
from interpolants.paths.path import SpatiallyLinearPath, Unmix


class DecayingPath(SpatiallyLinearPath):
    """One-sided paths whose data decay as ``exp(-B/2)`` while Gaussian noise comes in; abstract."""

    @abstractmethod
    def decay(self, t: Tensor) -> Tensor:
        """``B``: 0 at the data, growing as t falls."""

    @abstractmethod
    def decay_rate(self, t: Tensor) -> Tensor:
        """Rate of the decay, ``-dB/dt``, positive."""

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, ``exp(-B/2)``."""
        return torch.exp(-0.5 * self.decay(t))

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta, ``rate exp(-B/2) / 2``."""
        return self.beta(t) * self.signal_rate(t)

    def signal_rate(self, t: Tensor) -> Tensor:
        """Rate of the log signal, ``rate / 2``."""
        return 0.5 * self.decay_rate(t)

    @property
    def ends(self) -> Ends:
        """Noise with a trace ``exp(-B(1)/2)`` of the data at t = 0, the clean data at t = 1."""
        start = torch.zeros((), dtype=torch.float64)
        return Ends(x0_at_0=float(self.alpha(start)), x1_at_0=float(self.beta(start)))


class VariancePreservingDecay(DecayingPath):
    """``alpha = sqrt(1 - exp(-B))``, so that ``alpha^2 + beta^2 = 1`` and ``g^2`` is the rate itself; abstract."""

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, ``sqrt(1 - exp(-B))``."""
        return torch.sqrt(-torch.expm1(-self.decay(t)))

    def alpha_dot(self, t: Tensor) -> Tensor:
        """``-rate exp(-B) / (2 alpha)``; minus infinity at t = 1."""
        return self.alpha_alpha_dot(t) / self.alpha(t)

    def alpha_alpha_dot(self, t: Tensor) -> Tensor:
        """Half the rate of ``alpha^2``, ``-rate exp(-B) / 2``."""
        return -self.signal_rate(t) * torch.exp(-self.decay(t))

    def unmix(self, t: Tensor) -> Unmix:
        """Closed form: ``alpha beta' - alpha' beta = rate beta / (2 alpha)``."""
        alpha, beta, rate = self.alpha(t), self.beta(t), self.signal_rate(t)
        return Unmix(alpha, -alpha / rate, beta, alpha.square() / (beta * rate))


def _check_rates(bmin: float, bmax: float) -> None:
    if not bmax > bmin:
        raise invalid(f"bmax must be > bmin = {bmin:g}", bmax, "The papers take bmax=20.")


@dataclass(frozen=True)
class VP(VariancePreservingDecay):
    """``x_t = sqrt(1 - exp(-B)) x0 + exp(-B/2) x1``: the SDE ``dx = -rate x/2 ds + sqrt(rate) dW``, in the limit DDPM.

    At t = 0 a share ``exp(-(bmin + bmax)/4)`` of the data is left (0.0066 by default): ``ends`` declares it and
    ``start_kl`` says what starting from the base costs. ``alpha`` has an infinite rate at t = 1, where velocity and
    score stay finite for data with a density.

    Raises:
        InvalidInputError: If a rate is out of range.

    Source: Song et al. (2021), arXiv:2011.13456, equations 11 and 33.
    """

    formula: ClassVar[str] = "x_t = √(1 - e^(-B)) x0 + e^(-B/2) x1"

    bmin: Annotated[float, Gt(0), Remedy("The papers take bmin=0.1.")] = 0.1
    """Rate at the data, per unit of time."""
    bmax: Annotated[float, Gt(0), Remedy("The papers take bmax=20.")] = 20.0
    """Rate at the noise, above ``bmin``."""
    base: Gaussian = field(default_factory=Gaussian)
    """The Gaussian distribution of x0; standard normal by default."""
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def check_settings(self) -> None:
        """Check that the rate does not decrease."""
        super().check_settings()
        _check_rates(self.bmin, self.bmax)

    def time_at_log_snr(self, value: Tensor) -> Tensor:
        """Closed form: ``B = log(1 + exp(-value) / scale^2)``, a quadratic in ``s``; within [0, 1]."""
        shifted = -value.double() - 2 * math.log(self._base_scale("time_at_log_snr"))
        decay = torch.nn.functional.softplus(shifted, threshold=700.0)
        slope = self.bmax - self.bmin
        s = 2 * decay / (self.bmin + torch.sqrt(self.bmin**2 + 2 * slope * decay))
        return 1 - s.nan_to_num(1.0).clamp(0, 1)

    def decay(self, t: Tensor) -> Tensor:
        """``bmin s + (bmax - bmin) s^2 / 2``."""
        return _linear_decay(1 - t, self.bmin, self.bmax)

    def decay_rate(self, t: Tensor) -> Tensor:
        """``bmin + s (bmax - bmin)``."""
        return self.bmin + (1 - t) * (self.bmax - self.bmin)


@dataclass(frozen=True)
class SubVP(DecayingPath):
    """``x_t = (1 - exp(-B)) x0 + exp(-B/2) x1``: the drift of VP with less noise, ``g^2 = rate (1 - exp(-2 B))``.

    Its noise vanishes linearly at the data, where the velocity therefore carries no score.

    Raises:
        InvalidInputError: If a rate is out of range.

    Source: Song et al. (2021), arXiv:2011.13456, equation 12 and appendix C.
    """

    formula: ClassVar[str] = "x_t = (1 - e^(-B)) x0 + e^(-B/2) x1"

    bmin: Annotated[float, Gt(0), Remedy("The papers take bmin=0.1.")] = 0.1
    """Rate at the data, per unit of time."""
    bmax: Annotated[float, Gt(0), Remedy("The papers take bmax=20.")] = 20.0
    """Rate at the noise, above ``bmin``."""
    base: Gaussian = field(default_factory=Gaussian)
    """The Gaussian distribution of x0; standard normal by default."""
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def check_settings(self) -> None:
        """Check that the rate does not decrease."""
        super().check_settings()
        _check_rates(self.bmin, self.bmax)

    def decay(self, t: Tensor) -> Tensor:
        """``bmin s + (bmax - bmin) s^2 / 2``."""
        return _linear_decay(1 - t, self.bmin, self.bmax)

    def decay_rate(self, t: Tensor) -> Tensor:
        """``bmin + s (bmax - bmin)``."""
        return self.bmin + (1 - t) * (self.bmax - self.bmin)

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, ``1 - exp(-B)``."""
        return -torch.expm1(-self.decay(t))

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha, ``-rate exp(-B)``."""
        return -self.decay_rate(t) * torch.exp(-self.decay(t))


def _linear_decay(s: Tensor, bmin: float, bmax: float) -> Tensor:
    return s * (bmin + 0.5 * (bmax - bmin) * s)
