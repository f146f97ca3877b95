"""Schedules kappa(t): the probability that a token has been revealed at time t.

Letters: ``kappa`` (called ``keep``) rises from 0 at t = 0 (base) to 1 at t = 1 (data); ``1 - kappa`` (``hidden``) is
what is still noise. The literature on masked diffusion runs its time s = 1 - t the other way and writes
``alpha_s = kappa(1 - s)``. Only one distribution depends on the schedule, that of the times; what is drawn when does
not.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Positive, Remedy

_CHECKED_TIMES, _END_TOLERANCE, _BISECTIONS = 1025, 1e-6, 60


class KeepSchedule(ABC):
    """A rising function kappa on [0, 1] with ``kappa(0) = 0`` and ``kappa(1) = 1``; elementwise on tensors of times."""

    @abstractmethod
    def hidden(self, t: Tensor) -> Tensor:
        """``1 - kappa(t)``, exact near t = 1."""

    @abstractmethod
    def keep_dot(self, t: Tensor) -> Tensor:
        """Rate of kappa."""

    @abstractmethod
    def time_of_hidden(self, hidden: Tensor) -> Tensor:
        """The time at which ``1 - kappa`` has a given value in [0, 1]."""

    def keep(self, t: Tensor) -> Tensor:
        """``kappa(t)``, exact near t = 0."""
        return 1 - self.hidden(t)


@dataclass(frozen=True)
class LinearKeep(KeepSchedule):
    """``kappa(t) = t``: tokens are revealed at an even rate."""

    def hidden(self, t: Tensor) -> Tensor:
        """``1 - t``."""
        return 1 - t

    def keep(self, t: Tensor) -> Tensor:
        """``t``."""
        return t

    def keep_dot(self, t: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(t)

    def time_of_hidden(self, hidden: Tensor) -> Tensor:
        """``1 - hidden``."""
        return 1 - hidden


@dataclass(frozen=True)
class CosineKeep(KeepSchedule):
    """``kappa(t) = 1 - cos(pi t / 2)``: slow at first, when a token is decided with little context.

    Source: Chang, Zhang, Jiang, Liu & Freeman (2022), arXiv:2202.04200, section 3.2 (as the mask ratio).
    """

    def hidden(self, t: Tensor) -> Tensor:
        """``cos(pi t / 2)``."""
        # As a sine of what is left, which is exactly 0 at t = 1.
        return torch.sin(0.5 * math.pi * (1 - t))

    def keep(self, t: Tensor) -> Tensor:
        """``2 sin^2(pi t / 4)``, and from 1/2 on one less what is hidden: exact at both ends."""
        return torch.where(t < 0.5, 2 * torch.sin(0.25 * math.pi * t).square(), 1 - self.hidden(t))

    def keep_dot(self, t: Tensor) -> Tensor:
        """``pi / 2 sin(pi t / 2)``."""
        return 0.5 * math.pi * torch.sin(0.5 * math.pi * t)

    def time_of_hidden(self, hidden: Tensor) -> Tensor:
        """``1 - 2 / pi arcsin(hidden)``."""
        return 1 - 2 / math.pi * torch.arcsin(hidden)


@dataclass(frozen=True)
class PolynomialKeep(Checked, KeepSchedule):
    """``kappa(t) = 1 - (1 - t)^power``: above 1 most tokens are revealed early, below 1 late.

    Raises:
        InvalidInputError: If ``power`` is not finite and positive.
    """

    power: Annotated[Positive, Remedy("1.0 is linear.")] = 2.0
    """1 is linear."""

    def hidden(self, t: Tensor) -> Tensor:
        """``(1 - t)^power``."""
        return (1 - t).pow(self.power)

    def keep(self, t: Tensor) -> Tensor:
        """``1 - (1 - t)^power``."""
        return -torch.expm1(self.power * torch.log1p(-t))

    def keep_dot(self, t: Tensor) -> Tensor:
        """``power (1 - t)^(power - 1)``; infinite at t = 1 for powers below 1."""
        return self.power * (1 - t).pow(self.power - 1)

    def time_of_hidden(self, hidden: Tensor) -> Tensor:
        """``1 - hidden^(1 / power)``."""
        return 1 - hidden.pow(1 / self.power)


@dataclass(frozen=True)
class CustomKeep(KeepSchedule):
    """A schedule of one's own.

    Args:
        function: ``kappa(t)``, elementwise on tensors; rises from 0 at t = 0 to 1 at t = 1.
        rate: Its derivative; by automatic differentiation when None.

    Raises:
        InvalidInputError: If the function falls somewhere, or misses 0 or 1 at the ends by more than 1e-6.
    """

    function: Callable[[Tensor], Tensor]
    rate: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        t = torch.linspace(0, 1, _CHECKED_TIMES, dtype=torch.float64)
        value = self.function(t).detach()
        for end, wanted in ((0, 0.0), (-1, 1.0)):
            if not abs(float(value[end]) - wanted) <= _END_TOLERANCE:
                rule = f"kappa must be {wanted:g} at t = {abs(end)}"
                remedy = "In the time s = 1 - t of diffusion papers: alpha_0 = 1 and alpha_1 = 0."
                raise invalid("CustomKeep", rule, float(value[end]), remedy)
        falls = (value.diff() < 0).nonzero().flatten()
        if len(falls):
            rule = "kappa must not fall as t grows"
            raise invalid(
                "CustomKeep", rule, f"a fall at t = {float(t[falls[0]]):.4g}", "alpha_s falls in s."
            )

    def hidden(self, t: Tensor) -> Tensor:
        """``1 - kappa(t)``."""
        return (1 - self.function(t)).clamp(0, 1)

    def keep(self, t: Tensor) -> Tensor:
        """``kappa(t)``."""
        return self.function(t).clamp(0, 1)

    def keep_dot(self, t: Tensor) -> Tensor:
        """The rate that was given, or the derivative."""
        if self.rate is not None:
            return self.rate(t)
        with torch.enable_grad():
            at = t.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.function(at).sum(), at)
        return slope

    def time_of_hidden(self, hidden: Tensor) -> Tensor:
        """By bisection, to the last bit of float64."""
        wanted = hidden.double()
        low, high = torch.zeros_like(wanted), torch.ones_like(wanted)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            early = self.hidden(middle) > wanted
            low, high = torch.where(early, middle, low), torch.where(early, high, middle)
        return (0.5 * (low + high)).to(hidden.dtype)
