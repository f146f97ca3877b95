"""Numerical solutions of ordinary systems: states on a grid of times, cubic between them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.errors import DivergedError
from interpolants.foundations.records import record
from interpolants.solvers.fixed import integrate_fixed
from interpolants.solvers.rk4 import RK4


@record("trajectory")
@dataclass(frozen=True, eq=False)
class Trajectory:
    """States and rates on a uniform grid of times; cubic Hermite polynomials between them.

    Attributes:
        end: Last time.
        values: States ``(n + 1, C)``.
        rates: Their rates of change ``(n + 1, C)``.
    """

    end: float
    values: Tensor
    rates: Tensor

    def at(self, points: Tensor) -> Tensor:
        """States at points ``(N, 1)``, ``(N, C)``; the error is of fourth order in the step."""
        index, weights = hermite(points[:, 0].double(), self.end, len(self.values) - 1)
        parts = (self.values[index], self.rates[index], self.values[index + 1], self.rates[index + 1])
        return sum_of(weights, parts)


def hermite(t: Tensor, end: float, steps: int) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Interval of each time on a uniform grid, and weights ``(N, 1)`` of value, rate, next value, next rate."""
    h = end / steps
    index = (t / h).long().clamp(0, steps - 1)
    s = (t / h - index)[:, None]
    left = ((1 + 2 * s) * (1 - s) ** 2, h * s * (1 - s) ** 2)
    return index, (*left, s**2 * (3 - 2 * s), h * s**2 * (s - 1))


def sum_of(weights: tuple[Tensor, ...], parts: tuple[Tensor, ...]) -> Tensor:
    """``sum_i weights_i parts_i``."""
    return torch.stack([w * part for w, part in zip(weights, parts, strict=True)]).sum(0)


def runge_kutta(
    rates: Callable[[Tensor, Tensor], Tensor], start: Tensor, end: float, steps: int
) -> Trajectory:
    """The classical Runge-Kutta method in equal steps, in float64.

    Args:
        rates: ``rates(t, u)``, ``(N,)`` and ``(N, C)`` -> ``(N, C)``.
        start: State at time 0, ``(C,)``.
        end: Last time.
        steps: Number of steps.

    Raises:
        DivergedError: If a state is not finite.
    """
    times = np.linspace(0.0, end, steps + 1)

    def velocity(u: Tensor, t: Tensor) -> Tensor:
        return rates(t.double().expand(len(u)), u)

    path = integrate_fixed(velocity, start.double()[None], times, RK4(), return_path=True).path
    assert path is not None
    if not bool(torch.isfinite(path).all()):
        remedy = "It is stiff, or its solution is not finite: use more steps."
        raise DivergedError(f"runge_kutta: the system became NaN or infinite in {steps} steps. {remedy}")
    values = path[:, 0]
    return Trajectory(end, values, rates(torch.from_numpy(times), values))
