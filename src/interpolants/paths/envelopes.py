"""Latent envelopes gamma(t) of x_t = I(t, x0, x1) + gamma(t) z.

Every envelope vanishes at t = 0 and t = 1, exactly, in every precision. The drift ``b = v - gamma gamma' s``
needs the product ``gamma gamma'``, half the rate of gamma squared; it is finite where ``gamma'`` is not, so it is
given in closed form and never computed as a product.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, table 8 and section 3.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.formula import with_values
from interpolants.foundations.kinds import Positive


class Envelope(Checked, ABC):
    """A standard deviation gamma(t) of the latent term; ``t`` (B,) or 0-d -> the same shape, in data units.

    ``formula`` is what readers see of it, in plain text; settings are called by their names.
    """

    formula: ClassVar[str] = ""

    @abstractmethod
    def gamma(self, t: Tensor) -> Tensor:
        """Standard deviation of the latent term."""

    @abstractmethod
    def gamma_gamma_dot(self, t: Tensor) -> Tensor:
        """Half the rate of gamma squared, in data units squared; finite on [0, 1]."""

    def gamma_dot(self, t: Tensor) -> Tensor:
        """Time derivative of gamma; infinite at the ends where gamma is not differentiable there."""
        return self.gamma_gamma_dot(t) / self.gamma(t)

    @property
    def is_zero(self) -> bool:
        """Whether the latent term is absent at all times."""
        return False

    @property
    def told(self) -> str:
        """The formula, with the values of the settings in it: ``γ(t) = scale t(1 - t), scale = 2``."""
        return with_values(self.formula, self)


@dataclass(frozen=True, kw_only=True)
class BrownianEnvelope(Envelope):
    """Brownian-bridge envelope, ``gamma(t) = sqrt(scale t (1 - t))``.

    The only shipped envelope whose velocity carries the scores of the two ends: ``gamma gamma'`` tends to
    ``+scale/2`` at t = 0 and ``-scale/2`` at t = 1. Its own rate is infinite there.

    """

    formula: ClassVar[str] = "γ(t) = √(scale t(1 - t))"

    scale: Positive = 1.0
    """Variance scale, in data units squared."""

    def gamma(self, t: Tensor) -> Tensor:
        """Standard deviation of the latent term."""
        return torch.sqrt(self.scale * t * (1 - t))

    def gamma_gamma_dot(self, t: Tensor) -> Tensor:
        """Half the rate of gamma squared."""
        return 0.5 * self.scale * (1 - 2 * t)


@dataclass(frozen=True, kw_only=True)
class QuadraticEnvelope(Envelope):
    """``gamma(t) = scale t (1 - t)``: smooth at the ends, so the velocity there is that of the data."""

    formula: ClassVar[str] = "γ(t) = scale t(1 - t)"

    scale: Positive = 1.0
    """Factor, in data units."""

    def gamma(self, t: Tensor) -> Tensor:
        """Standard deviation of the latent term."""
        return self.scale * t * (1 - t)

    def gamma_dot(self, t: Tensor) -> Tensor:
        """Time derivative of gamma."""
        return self.scale * (1 - 2 * t)

    def gamma_gamma_dot(self, t: Tensor) -> Tensor:
        """Half the rate of gamma squared."""
        return self.gamma(t) * self.gamma_dot(t)


@dataclass(frozen=True, kw_only=True)
class SineSquaredEnvelope(Envelope):
    """``gamma(t) = scale sin^2(pi t)``, the latent term of the encoder-decoder path."""

    formula: ClassVar[str] = "γ(t) = scale sin²(πt)"

    scale: Positive = 1.0
    """Factor, in data units."""

    def gamma(self, t: Tensor) -> Tensor:
        """Standard deviation of the latent term."""
        # sin(pi) is not zero in floating point; the symmetric argument is exactly zero at both ends.
        return self.scale * torch.sin(math.pi * torch.minimum(t, 1 - t)).square()

    def gamma_dot(self, t: Tensor) -> Tensor:
        """Time derivative of gamma."""
        return self.scale * math.pi * torch.sin(2 * math.pi * t)

    def gamma_gamma_dot(self, t: Tensor) -> Tensor:
        """Half the rate of gamma squared."""
        return self.gamma(t) * self.gamma_dot(t)


@dataclass(frozen=True, kw_only=True)
class SigmoidEnvelope(Envelope):
    """A plateau between two sigmoids.

    ``gamma(t) = scale [σ(f(t-1/2)+1) - σ(f(t-1/2)-1) - σ(-f/2+1) + σ(-f/2-1)]``.
    """

    formula: ClassVar[str] = (
        "γ(t) = scale [σ(u + 1) - σ(u - 1) - γ0]; u = sharpness (t - ½), so that γ(0) = γ(1) = 0"
    )

    sharpness: Positive = 10.0
    """``f``, how fast the plateau rises, without unit."""
    scale: Positive = 1.0
    """Factor, in data units."""

    def gamma(self, t: Tensor) -> Tensor:
        """Standard deviation of the latent term."""
        # Even about t = 1/2: written in |t - 1/2| it cancels to exactly zero at both ends.
        u = -self.sharpness * (t - 0.5).abs()
        end = torch.full_like(u, -self.sharpness / 2)
        return self.scale * (self._bump(u) - self._bump(end))

    def gamma_dot(self, t: Tensor) -> Tensor:
        """Time derivative of gamma."""
        u = self.sharpness * (t - 0.5)
        up, down = torch.sigmoid(u + 1), torch.sigmoid(u - 1)
        return self.scale * self.sharpness * (up * (1 - up) - down * (1 - down))

    def gamma_gamma_dot(self, t: Tensor) -> Tensor:
        """Half the rate of gamma squared."""
        return self.gamma(t) * self.gamma_dot(t)

    @staticmethod
    def _bump(u: Tensor) -> Tensor:
        return torch.sigmoid(u + 1) - torch.sigmoid(u - 1)


@dataclass(frozen=True)
class ZeroEnvelope(Envelope):
    """No latent term: ``gamma = 0``. Only the velocity can be learnt; ODE sampling only."""

    formula: ClassVar[str] = "γ(t) = 0"

    def gamma(self, t: Tensor) -> Tensor:
        """Standard deviation of the latent term, zero."""
        return torch.zeros_like(t)

    def gamma_dot(self, t: Tensor) -> Tensor:
        """Time derivative of gamma, zero."""
        return torch.zeros_like(t)

    def gamma_gamma_dot(self, t: Tensor) -> Tensor:
        """Half the rate of ``gamma^2``, zero."""
        return torch.zeros_like(t)

    @property
    def is_zero(self) -> bool:
        """Always true."""
        return True


@dataclass(frozen=True)
class CustomEnvelope(Envelope):
    """A user's own gamma; its square is differentiated by forward mode, so a square root at the ends is fine.

    Raises:
        InvalidInputError: If gamma is not zero at an end, or is not positive and finite inside.
    """

    formula: ClassVar[str] = "γ(t) as given"

    function: Callable[[Tensor], Tensor]
    """``t (B,) -> gamma (B,)``, zero at t = 0 and t = 1, positive between, differentiable inside."""
    rate: Callable[[Tensor], Tensor] | None = None
    """Optional closed form of ``gamma gamma'``."""

    def check_settings(self) -> None:
        """Refuse a function that is no standard deviation, or does not vanish at the ends."""
        t = torch.linspace(0, 1, 33, dtype=torch.float64)
        gamma = self.function(t)
        for end, at in ((gamma[0], 0), (gamma[-1], 1)):
            if not abs(float(end)) <= 1e-6:
                raise invalid(
                    f"gamma must be 0 at t={at}",
                    float(end),
                    "Multiply it by t(1-t), or use one of the shipped envelopes.",
                )
        inside = gamma[1:-1]
        if not bool((torch.isfinite(inside) & (inside > 0)).all()):
            worst = int(torch.where(torch.isfinite(inside) & (inside > 0), 1.0, 0.0).argmin())
            value = float(inside[worst])
            raise invalid(
                f"gamma must be finite and > 0 inside (0, 1); at t={float(t[worst + 1]):.3g}",
                value,
            )

    def gamma(self, t: Tensor) -> Tensor:
        """Standard deviation of the latent term; exactly zero at the ends."""
        return torch.where((t <= 0) | (t >= 1), torch.zeros_like(t), self.function(t))

    def gamma_gamma_dot(self, t: Tensor) -> Tensor:
        """Half the rate of gamma squared; at the ends the limit is taken a hair inside."""
        if self.rate is not None:
            return self.rate(t)
        # Forward mode refuses expanded times, and half precision has no number just below 1.
        time = t.contiguous() if t.dtype in (torch.float32, torch.float64) else t.float()
        hair = 1e-6 if time.dtype == torch.float64 else 1e-4
        inside = time.clamp(hair, 1 - hair)
        ones = torch.ones_like(inside)
        slope: Tensor = torch.func.jvp(lambda s: self.function(s).square(), (inside,), (ones,))[1]
        return 0.5 * slope.to(t.dtype)
