"""Ornstein-Uhlenbeck path with exploding noise: data that decay exponentially while noise grows geometrically.

Letters: ``s = 1 - t`` the paper's time, 0 at the data; ``L = log(smax/smin)``; ``sigma(s)^2`` variance of the noise.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Remedy
from interpolants.paths.ends import Ends
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath, Unmix


@dataclass(frozen=True)
class OUVE(SpatiallyLinearPath):
    """``x_t = exp(-stiffness s) x1 + sigma(s) z``: the SDE ``dx = -stiffness x ds + g dW`` with growing noise g.

    ``g = smin (smax/smin)^s sqrt(2 L)`` and
    ``sigma^2 = smin^2 L / (stiffness + L) ((smax/smin)^(2 s) - exp(-2 stiffness s))``. For restoration x1 is the
    difference of a clean and a degraded signal y: ``x_t + y`` then drifts from the clean to the degraded one (OUVE).

    Neither the data nor the noise of the base are alone at t = 0: a share ``exp(-stiffness)`` of the data is left
    (0.22 by default), which samples that begin in the base leave out; ``start_kl`` says what that costs.

    Raises:
        InvalidInputError: If a number is out of range.

    Source: Richter et al. (2023), arXiv:2208.05830, equations 7 to 10; as a one-sided path of the difference, ours.
    """

    formula: ClassVar[str] = "x_t = e^(-stiffness s) x1 + σ(s) z; s = 1 - t"

    stiffness: Annotated[float, Gt(0), Remedy("The paper takes 1.5.")] = 1.5
    """Rate of the decay, per unit of time."""
    smin: Annotated[float, Gt(0), Remedy("The paper takes 0.05.")] = 0.05
    """Noise level of the SDE at the data, in data units."""
    smax: Annotated[float, Gt(0), Remedy("The paper takes 0.5.")] = 0.5
    """Noise level of the SDE at the base, above ``smin``."""
    channels: Literal[1, 2] = 1
    """Real channels of one coefficient: 1, or 2 for real and imaginary part, which share the variance: each has
    ``sigma^2 / 2``."""
    base: Gaussian = field(init=False)
    envelope: Envelope = field(default_factory=ZeroEnvelope, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        largest = math.sqrt(float(self._variance(torch.ones((), dtype=torch.float64))) / self.channels)
        object.__setattr__(self, "base", Gaussian(scale=largest))

    def check_settings(self) -> None:
        """Check that the noise level increases."""
        super().check_settings()
        if not self.smax > self.smin:
            raise invalid(f"smax must be > smin = {self.smin:g}", self.smax, "The paper takes 0.5.")

    @property
    def ends(self) -> Ends:
        """Noise with a share ``exp(-stiffness)`` of the data at t = 0, the clean data at t = 1."""
        return Ends(x1_at_0=math.exp(-self.stiffness))

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, ``sigma(s) / sigma(1)``."""
        return torch.sqrt(self._variance(1 - t) / self._largest)

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, ``exp(-stiffness s)``."""
        return torch.exp(-self.stiffness * (1 - t))

    def alpha_dot(self, t: Tensor) -> Tensor:
        """``alpha alpha' / alpha``; minus infinity at t = 1."""
        return self.alpha_alpha_dot(t) / self.alpha(t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta, ``stiffness beta``."""
        return self.stiffness * self.beta(t)

    def alpha_alpha_dot(self, t: Tensor) -> Tensor:
        """``-(sigma^2)' / (2 sigma(1)^2)`` with the slope in s, finite everywhere."""
        s, log_ratio = 1 - t, self._log_ratio
        slope = 2 * log_ratio * torch.exp(2 * log_ratio * s) + 2 * self.stiffness * torch.exp(
            -2 * self.stiffness * s
        )
        return -self._factor * slope / (2 * self._largest)

    def signal_rate(self, t: Tensor) -> Tensor:
        """Rate of the log signal, ``stiffness``."""
        return torch.full_like(t, self.stiffness)

    def unmix(self, t: Tensor) -> Unmix:
        """Written with ``alpha alpha'``, which is finite where ``alpha'`` is not."""
        alpha, beta, slope = self.alpha(t), self.beta(t), self.alpha_alpha_dot(t)
        det = beta * (alpha.square() * self.stiffness - slope)  # alpha times that of the matrix
        return Unmix(alpha * self.beta_dot(t) / det, -alpha * beta / det, -slope / det, alpha.square() / det)

    @property
    def _log_ratio(self) -> float:
        return math.log(self.smax / self.smin)

    @property
    def _factor(self) -> float:
        return self.smin**2 * self._log_ratio / (self.stiffness + self._log_ratio)

    @property
    def _largest(self) -> float:
        """``sigma(1)^2``."""
        return float(self._variance(torch.ones((), dtype=torch.float64)))

    def _variance(self, s: Tensor) -> Tensor:
        """``sigma^2``; the difference of the exponentials written with expm1, which keeps its digits near the data."""
        decayed = torch.exp(-2 * self.stiffness * s)
        return self._factor * decayed * torch.expm1(2 * (self._log_ratio + self.stiffness) * s)
