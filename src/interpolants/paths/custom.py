"""Paths from user-defined schedules or a user-defined interpolant."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.checks import finite
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.paths.ends import EXACT, Ends
from interpolants.paths.envelopes import CustomEnvelope, Envelope, ZeroEnvelope
from interpolants.paths.path import Path, SpatiallyLinearPath

Schedule = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SpatiallyLinear(SpatiallyLinearPath):
    """``x_t = alpha(t) x0 + beta(t) x1 + gamma(t) z`` from schedules of your own.

    Args:
        alpha: ``t (B,) -> (B,)`` with alpha(0) = 1 and alpha(1) = 0.
        beta: ``t (B,) -> (B,)`` with beta(0) = 0 and beta(1) = 1.
        envelope: An ``Envelope``, or a function ``t -> gamma`` that vanishes at both ends.
        alpha_dot: Rate of alpha; by forward-mode differentiation when left out.
        beta_dot: Rate of beta; likewise.
        base: A distribution of x0 makes the path one-sided; then no envelope may be given.
        exact_ends: Whether alpha and beta have the end values above; otherwise ``ends`` declares what they are.

    Raises:
        InvalidInputError: If a schedule has wrong end values or is not finite, or base and envelope are both given.
    """

    formula: ClassVar[str] = "x_t = α(t) x0 + β(t) x1"

    alpha_schedule: Schedule
    beta_schedule: Schedule
    envelope: Envelope = field(default_factory=ZeroEnvelope)
    alpha_rate: Schedule | None = None
    beta_rate: Schedule | None = None
    base: BaseDistribution | None = None
    exact_ends: bool = True

    def __init__(
        self,
        alpha: Schedule,
        beta: Schedule,
        envelope: Envelope | Schedule | None = None,
        *,
        alpha_dot: Schedule | None = None,
        beta_dot: Schedule | None = None,
        base: BaseDistribution | None = None,
        exact_ends: bool = True,
    ) -> None:
        shaped = (
            envelope
            if isinstance(envelope, Envelope)
            else CustomEnvelope(envelope)
            if envelope
            else ZeroEnvelope()
        )
        if base is not None and not shaped.is_zero:
            raise invalid(
                "SpatiallyLinear", "a one-sided path has no envelope: its base is the noise", shaped
            )
        settings = {
            "alpha_schedule": alpha,
            "beta_schedule": beta,
            "envelope": shaped,
            "alpha_rate": alpha_dot,
            "beta_rate": beta_dot,
            "base": base,
            "exact_ends": exact_ends,
        }
        for name, value in settings.items():
            object.__setattr__(self, name, value)
        self.__post_init__()
        _check_schedule("alpha", alpha, (1.0, 0.0) if exact_ends else None)
        _check_schedule("beta", beta, (0.0, 1.0) if exact_ends else None)

    @property
    def ends(self) -> Ends:
        """The end points, or the shares that the schedules leave of them."""
        if self.exact_ends:
            return EXACT
        times = torch.tensor([0.0, 1.0], dtype=torch.float64)
        (x0_at_0, x0_at_1), (x1_at_0, x1_at_1) = self.alpha(times).tolist(), self.beta(times).tolist()
        return Ends(x0_at_0, x1_at_0, x0_at_1, x1_at_1)

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficient of x0, exact at both ends where the ends are."""
        return _pinned(self.alpha_schedule, t, 1.0, 0.0) if self.exact_ends else self.alpha_schedule(t)

    def beta(self, t: Tensor) -> Tensor:
        """Coefficient of x1, exact at both ends where the ends are."""
        return _pinned(self.beta_schedule, t, 0.0, 1.0) if self.exact_ends else self.beta_schedule(t)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha."""
        return _rate(self.alpha_schedule, t) if self.alpha_rate is None else self.alpha_rate(t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta."""
        return _rate(self.beta_schedule, t) if self.beta_rate is None else self.beta_rate(t)


@dataclass(frozen=True)
class General(Path):
    """``x_t = I(t, x0, x1) + gamma(t) z`` for an interpolant of any form, a function or a network.

    The relations that need a spatially linear path (mean end points) are refused for it.
    """

    formula: ClassVar[str] = "x_t = I(t, x0, x1)"

    interpolant: Callable[[Tensor, Tensor, Tensor], Tensor]
    """``I(t, x0, x1)`` with ``t`` of shape ``(B, 1, ..., 1)``; must return x0 at t = 0 and x1 at t = 1 (checked by
    :meth:`check_ends`) and be differentiable in t. Its rate is taken in forward mode."""
    envelope: Envelope = field(default_factory=ZeroEnvelope)
    """The latent term."""

    def interpolate(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """``I(t, x0, x1)``."""
        return self.interpolant(_column(t, x0), x0, x1)

    def interpolate_dot(self, t: Tensor, x0: Tensor, x1: Tensor) -> Tensor:
        """``dI/dt`` by forward-mode differentiation in time."""
        time = _column(t, x0).contiguous()
        ones = torch.ones_like(time)
        rate: Tensor = torch.func.jvp(lambda s: self.interpolant(s, x0, x1), (time,), (ones,))[1]
        return rate

    def check_ends(self, x0: Tensor, x1: Tensor, tolerance: float = 1e-4) -> None:
        """Compare I(0) with x0 and I(1) with x1.

        Raises:
            InvalidInputError: If an end is missed by more than ``tolerance`` relative to the data's spread.
        """
        for at, wanted in ((0.0, x0), (1.0, x1)):
            error = (self.interpolate(x0.new_full((x0.shape[0],), at), x0, x1) - wanted).abs().max()
            if not float(error) <= tolerance * max(1.0, float(wanted.abs().max())):
                name = "x0" if at == 0.0 else "x1"
                remedy = (
                    "Write it as (1-t) x0 + t x1 + t (1-t) h(t, x0, x1): the ends then hold by construction."
                )
                raise invalid(
                    "General",
                    f"the interpolant must return {name} at t={at:g}",
                    f"an error of {float(error):.3g}",
                    remedy,
                )


def _column(t: Tensor, x: Tensor) -> Tensor:
    return expand_like(t.expand(x.shape[0]) if t.ndim == 0 else t, x).to(x.dtype)


def _check_schedule(name: str, schedule: Schedule, ends: tuple[float, float] | None) -> None:
    values = schedule(torch.linspace(0, 1, 33, dtype=torch.float64))
    for at, wanted in enumerate(ends or ()):
        value = float(values[-at])
        if not abs(value - wanted) <= 1e-6:
            remedy = "With exact_ends=False the path declares what its ends are."
            raise invalid("SpatiallyLinear", f"{name} must be {wanted:g} at t={at}", value, remedy)
    finite("SpatiallyLinear", f"{name} on [0, 1]", values)


def _pinned(schedule: Schedule, t: Tensor, at_0: float, at_1: float) -> Tensor:
    # A user's cos(pi t / 2) misses zero by rounding; the ends are what the constructor verified.
    value = schedule(t)
    value = torch.where(t <= 0, torch.full_like(value, at_0), value)
    return torch.where(t >= 1, torch.full_like(value, at_1), value)


def _rate(schedule: Schedule, t: Tensor) -> Tensor:
    time = t.contiguous()  # an expanded time has rows that share memory, which forward mode refuses
    rate: Tensor = torch.func.jvp(schedule, (time,), (torch.ones_like(time),))[1]
    return rate
