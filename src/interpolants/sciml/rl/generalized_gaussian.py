"""Generalised Gaussian distribution: a power of the distance in the exponent, from heavy tails to a box.

Letters: ``b`` the power, ``a`` the scale, ``G`` the gamma function. Functions take tensors that broadcast.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.checks import finite, floating, number, positive
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import sum_event

# Powers between which a fit looks, and steps of its golden section, which then is exact to 1e-9.
_POWERS, _SECTIONS = (0.2, 20.0), 50
_GOLDEN = (math.sqrt(5) - 1) / 2


def log_density(x: Tensor, power: Tensor, scale: Tensor) -> Tensor:
    """``ln b - ln(2 a) - ln G(1/b) - (|x| / a)^b`` in nats, for a centre of 0; 2 is Gaussian, 1 is Laplace.

    Args:
        x: Deviations, in data units.
        power: b, > 0.
        scale: a, in data units, > 0; for a power of 2 the root of two times the standard deviation.
    """
    return (power / (2 * scale)).log() - torch.lgamma(1 / power) - (x.abs() / scale) ** power


def variance(power: Tensor, scale: Tensor) -> Tensor:
    """``a^2 G(3/b) / G(1/b)``, in data units squared."""
    return scale.square() * (torch.lgamma(3 / power) - torch.lgamma(1 / power)).exp()


def excess_kurtosis(power: Tensor) -> Tensor:
    """``G(5/b) G(1/b) / G(3/b)^2 - 3``: 0 for a Gaussian, 3 for a Laplace distribution, -1.2 for a box."""
    logs = torch.lgamma(5 / power) + torch.lgamma(1 / power) - 2 * torch.lgamma(3 / power)
    return logs.exp() - 3


def entropy(power: Tensor, scale: Tensor) -> Tensor:
    """``1/b + ln(2 a G(1/b) / b)`` in nats."""
    return 1 / power + (2 * scale / power).log() + torch.lgamma(1 / power)


def kl_divergence(power: Tensor, scale: Tensor, other_power: Tensor, other_scale: Tensor) -> Tensor:
    """``KL(p || q)`` in nats of two with one centre; ``E_p |x|^c = a^c G((c + 1)/b) / G(1/b)``."""
    moment = (torch.lgamma((other_power + 1) / power) - torch.lgamma(1 / power)).exp()
    cross = (2 * other_scale / other_power).log() + torch.lgamma(1 / other_power)
    return cross + (scale / other_scale) ** other_power * moment - entropy(power, scale)


def fit_generalized_gaussian(x: Tensor) -> tuple[float, float]:
    """Power and scale of largest likelihood for deviations from a known centre.

    For a given power the scale is ``(b mean |x|^b)^(1/b)``; what is left is searched by golden section over the
    logarithm of powers between 0.2 and 20.

    Args:
        x: Deviations, any shape, at least two that are not 0.

    Raises:
        InvalidInputError: If there are NaNs, infinities, or fewer than two numbers that are not 0.
    """
    who = "fit_generalized_gaussian"
    size = finite(who, "x", floating(who, "x", x)).double().abs().flatten()
    if int((size > 0).sum()) < 2:
        raise invalid(who, "x must have at least two nonzero entries", int((size > 0).sum()))
    unit = float(size.mean())

    def scale_of(power: float) -> float:
        return float((power * ((size / unit) ** power).mean()) ** (1 / power))

    def loss(log_power: float) -> float:
        power = math.exp(log_power)
        return math.log(2 * scale_of(power) / power) + math.lgamma(1 / power) + 1 / power

    power = math.exp(_least(loss, math.log(_POWERS[0]), math.log(_POWERS[1])))
    return power, scale_of(power) * unit


def _least(loss: Any, low: float, high: float) -> float:
    """Place of the minimum of a function with one, by golden section."""
    for _ in range(_SECTIONS):
        inner = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        low, high = (low, inner[1]) if loss(inner[0]) < loss(inner[1]) else (inner[0], high)
    return (low + high) / 2


class GeneralizedGaussian(BaseDistribution):
    """Independent entries with the density ``b / (2 a G(1/b)) exp(-(|x| / a)^b)``: tails that are tuned by one number.

    Args:
        power: b, > 1/2: 2 is Gaussian, 1 is Laplace; for 1/2 and less the score has no variance.
        event_shape: Shape of one sample; ``None`` takes the shape of whatever it is compared with.
        scale: a, in data units, > 0. Not the standard deviation.

    Raises:
        InvalidInputError: If a number is out of range, or a state has another shape.

    Source: Subbotin (1923); as a law of temporal-difference errors Kim et al. (2024), arXiv:2408.02295.
    """

    kind: ClassVar[str] = "generalized_gaussian"

    def __init__(
        self, power: float = 2.0, event_shape: Sequence[int] | None = None, *, scale: float = 1.0
    ) -> None:
        who = "GeneralizedGaussian"
        self.power = number(who, "power", power, above=0.5)
        self.scale = positive(who, "scale", scale)
        self._shape = None if event_shape is None else tuple(event_shape)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        if self._shape is None:
            raise invalid(
                "GeneralizedGaussian", "event_shape is needed to sample", "None", "Pass event_shape=..."
            )
        return self._shape

    @property
    def title(self) -> str:
        """``"generalised Gaussian (power = 1.5)"``."""
        return f"generalised Gaussian (power = {self.power:g})"

    def noise(
        self,
        shape: Sequence[int],
        *,
        generator: Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Tensor:
        """Draw ``(B, *D)``: ``a g^(1/b)`` with a random sign, ``g ~ Gamma(1/b)``, drawn in float64."""
        normal = torch.randn(
            *shape, generator=generator, dtype=dtype, device=device
        )  # its sign, and its type
        rate = torch.full(tuple(shape), 1 / self.power, dtype=torch.float64, device=normal.device)
        size = self.scale * torch._standard_gamma(rate, generator=generator) ** (1 / self.power)
        return (size * normal.double().sign()).to(normal.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density in nats; ``(B, *D)`` -> ``(B,)``."""
        self._check(x)
        return sum_event(log_density(x, x.new_tensor(self.power), x.new_tensor(self.scale)))

    def score(self, x: Tensor) -> Tensor:
        """``-sign(x) b |x|^(b - 1) / a^b`` in 1/data; infinite at 0 for powers below 1."""
        self._check(x)
        return -x.sign() * self.power * (x.abs() / self.scale) ** (self.power - 1) / self.scale

    def steepness(self, size: int) -> float:
        """Mean slope of the score, ``b^2 G(2 - 1/b) / (a^2 G(1/b))``: the largest has no bound but for b = 2."""
        b = self.power
        return b * b * math.exp(math.lgamma(2 - 1 / b) - math.lgamma(1 / b)) / self.scale**2

    def describe(self) -> dict[str, Any]:
        """The JSON-able arguments that make an equal distribution."""
        shape = None if self._shape is None else list(self._shape)
        return {"kind": self.kind, "power": self.power, "event_shape": shape, "scale": self.scale}

    def _check(self, x: Tensor) -> None:
        floating("GeneralizedGaussian", "x", x)
        if self._shape is not None and tuple(x.shape[1:]) != self._shape:
            rule = f"states must have the event shape {self._shape}"
            raise invalid("GeneralizedGaussian", rule, tuple(x.shape[1:]), "Leave event_shape out.")

    def __repr__(self) -> str:
        return f"GeneralizedGaussian(power={self.power:g}, event_shape={self._shape}, scale={self.scale:g})"
