"""Spectral paths: one schedule per direction of an orthogonal basis.

``x_t = F^T [a(t) * F x0 + b(t) * F x1]`` with standard normal ``x0``, F an orthogonal basis, and a, b one schedule per
coordinate. In the coordinates ``u = F x`` this is an ordinary one-sided path whose coefficients are tensors instead of
numbers, so every relation between fields holds there entry by entry.

Letters: ``u`` coordinates; ``D`` power of each coordinate of the data, ``l = log D``; ``a, b`` coefficients of x0, x1.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.checks import finite
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths.bases import Basis
from interpolants.paths.envelopes import Envelope, ZeroEnvelope
from interpolants.paths.path import SpatiallyLinearPath


class SpectralPath(SpatiallyLinearPath):
    """A one-sided path with one schedule per coordinate of a basis; abstract.

    ``alpha``, ``beta`` and their rates map ``t ()`` or ``(B,)`` to ``(*D)`` or ``(B, *D)``, in coordinates.
    """

    base: Gaussian = Gaussian()
    envelope: Envelope = ZeroEnvelope()
    basis: Basis
    event_shape: tuple[int, ...]

    def widen(self, coefficient: Tensor, x: Tensor) -> Tensor:
        """Coefficients broadcast against coordinates as they are."""
        return coefficient.to(x.dtype) if coefficient.ndim else coefficient

    def _mix(self, a: Tensor, x0: Tensor, b: Tensor, x1: Tensor) -> Tensor:
        u0, u1 = self.basis.forward(x0), self.basis.forward(x1)
        return self.basis.inverse(self.widen(a, u0) * u0 + self.widen(b, u1) * u1).to(x1.dtype)

    def _check(self, x0: Tensor | None, x1: Tensor, t: Tensor | float) -> None:
        super()._check(x0, x1, t)
        if tuple(x1.shape[1:]) != self.event_shape:
            rule = f"states must have shape {self.event_shape}, like the path's schedules"
            remedy = "Fit the path on data of this shape."
            raise invalid(f"{type(self).__name__}.sample", rule, tuple(x1.shape[1:]), remedy)


Schedule = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Spectral(SpectralPath):
    """``x_t = F^T [alpha(t) * F x0 + beta(t) * F x1]`` from schedules of your own.

    The rates are taken in forward mode.

    Raises:
        InvalidInputError: If a schedule has another shape or wrong end values, or is not finite.
    """

    formula: ClassVar[str] = "x_t = α(t) x0 + β(t) x1; in every coordinate of the basis"

    basis: Basis = field()  # without this, the class attribute of all paths would be its default
    """The coordinates."""
    alpha_schedule: Schedule
    """``t (B, 1, ..., 1) -> (B, *D)``, differentiable; 1 at t = 0 and 0 at t = 1 in every coordinate."""
    beta_schedule: Schedule
    """Likewise; 0 at t = 0 and 1 at t = 1."""
    event_shape: tuple[int, ...]
    """Shape D of one state."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "event_shape", tuple(self.event_shape))
        self._check_schedule("alpha", self.alpha_schedule, at_0=1.0, at_1=0.0)
        self._check_schedule("beta", self.beta_schedule, at_0=0.0, at_1=1.0)

    def alpha(self, t: Tensor) -> Tensor:
        """Coefficients of the coordinates of x0, exact at both ends."""
        return self._pinned(self.alpha_schedule, t, 1.0, 0.0)

    def beta(self, t: Tensor) -> Tensor:
        """Coefficients of the coordinates of x1, exact at both ends."""
        return self._pinned(self.beta_schedule, t, 0.0, 1.0)

    def alpha_dot(self, t: Tensor) -> Tensor:
        """Time derivative of alpha."""
        return self._rate(self.alpha_schedule, t)

    def beta_dot(self, t: Tensor) -> Tensor:
        """Time derivative of beta."""
        return self._rate(self.beta_schedule, t)

    def _pinned(self, schedule: Schedule, t: Tensor, at_0: float, at_1: float) -> Tensor:
        time = self._column(t)
        value = torch.where(time <= 0, at_0, schedule(time))
        return self._shaped(torch.where(time >= 1, at_1, value), t)

    def _rate(self, schedule: Schedule, t: Tensor) -> Tensor:
        time = self._column(
            t
        ).contiguous()  # an expanded time has rows that share memory, which forward mode refuses
        rate: Tensor = torch.func.jvp(schedule, (time,), (torch.ones_like(time),))[1]
        return self._shaped(rate, t)

    def _column(self, t: Tensor) -> Tensor:
        return t.reshape(-1, *(1,) * len(self.event_shape))

    def _shaped(self, value: Tensor, t: Tensor) -> Tensor:
        return value.expand(t.numel(), *self.event_shape).reshape(*t.shape, *self.event_shape)

    def _check_schedule(self, name: str, schedule: Schedule, *, at_0: float, at_1: float) -> None:
        time = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
        value = schedule(self._column(time))
        wanted = (len(time), *self.event_shape)
        if tuple(value.shape) != wanted:
            rule = f"{name} must map times (B, 1, ..., 1) to (B, *event_shape), here {wanted}"
            raise invalid("Spectral", rule, tuple(value.shape))
        finite("Spectral", f"{name} on [0, 1]", value)
        for row, end, at in ((value[0], at_0, 0), (value[-1], at_1, 1)):
            worst = float(row.flatten()[(row - end).abs().argmax()])
            if not abs(worst - end) <= 1e-6:
                raise invalid("Spectral", f"{name} must be {end:g} at t={at} in every coordinate", worst)
