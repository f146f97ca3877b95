"""Semilinear equations on a periodic interval, by Fourier modes in space and exponential time differencing (ETDRK4).

``v_t = L v + N(v)`` for the modes v of u, with a diagonal L that is integrated exactly. Source: Cox & Matthews (2002);
the coefficients by a contour integral after Kassam & Trefethen (2005).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.records import record
from interpolants.pde.trajectory import hermite, sum_of

# Points of the contour about each mode of L h, and rows of points that are summed at once.
_CONTOUR, _ROWS = 32, 1024


@record("fourier_grid")
@dataclass(frozen=True)
class FourierGrid(Checked):
    """Equally spaced points of a period, and the modes of real functions on them."""

    low: float
    """Lower end of the period."""
    high: float
    """Upper end, which is the same point."""
    n: Annotated[int, Ge(4)]
    """Number of points, even."""

    def check_settings(self) -> None:
        """Refuse an odd number of points, and ends in the wrong order."""
        if self.n % 2 or not self.low < self.high:
            raise invalid("n must be even and low < high", (self.n, self.low, self.high))

    @property
    def x(self) -> Tensor:
        """The points, ``(n,)`` float64."""
        return self.low + (self.high - self.low) / self.n * torch.arange(self.n, dtype=torch.float64)

    @property
    def wavenumbers(self) -> Tensor:
        """Wavenumber of each mode in radians per unit of x, ``(n/2 + 1,)``."""
        return 2 * math.pi / (self.high - self.low) * torch.arange(self.n // 2 + 1, dtype=torch.float64)

    def derivative(self, modes: Tensor, order: int) -> Tensor:
        """Modes of a derivative; the unpaired last mode has none of odd order."""
        factor = (1j * self.wavenumbers) ** order
        if order % 2:
            factor[-1] = 0
        return factor * modes

    def at(self, modes: Tensor, x: Tensor) -> Tensor:
        """Values of functions with modes ``(N, n/2 + 1)`` at a point each, ``(N,)``."""
        weights = torch.full_like(self.wavenumbers, 2.0)
        weights[0] = weights[-1] = 1.0
        phase = (x.double() - self.low)[:, None] * self.wavenumbers
        return ((modes.real * phase.cos() - modes.imag * phase.sin()) * weights).sum(1) / self.n


@record("fourier_trajectory")
@dataclass(frozen=True, eq=False)
class FourierTrajectory:
    """Modes and their rates on a uniform grid of times; cubic in time, trigonometric in space.

    Attributes:
        grid: The grid in space.
        end: Last time.
        modes: ``(steps + 1, n/2 + 1)`` complex.
        rates: Their rates of change.
    """

    grid: FourierGrid
    end: float
    modes: Tensor
    rates: Tensor

    def at(self, points: Tensor) -> Tensor:
        """Values at points ``(N, 2)`` of t and x, ``(N, 1)``."""
        parts = torch.split(points.double(), _ROWS)
        return torch.cat([self._at(part) for part in parts])[:, None]

    def _at(self, points: Tensor) -> Tensor:
        index, weights = hermite(points[:, 0], self.end, len(self.modes) - 1)
        parts = (self.modes[index], self.rates[index], self.modes[index + 1], self.rates[index + 1])
        return self.grid.at(sum_of(weights, parts), points[:, 1])


def etdrk4(
    grid: FourierGrid,
    start: Tensor,
    symbol: Tensor,
    nonlinear: Callable[[Tensor], Tensor],
    *,
    end: float,
    steps: int,
    factor: Tensor | None = None,
) -> FourierTrajectory:
    """Integrate in equal steps of fourth order.

    Args:
        grid: The grid.
        start: Values at time 0, ``(n,)``.
        symbol: L of each mode, ``(n/2 + 1,)``.
        nonlinear: N of values on the grid, ``(n,)`` -> ``(n,)``.
        end: Last time.
        steps: Number of steps.
        factor: What each mode of N is multiplied by, such as ``i k`` where N is the slope of a flux; ones if left out.

    Raises:
        DivergedError: If a value is not finite.
    """

    def force(modes: Tensor) -> Tensor:
        found: Tensor = torch.fft.rfft(nonlinear(torch.fft.irfft(modes, n=grid.n)))
        return found if factor is None else factor * found

    path = torch.stack(list(_steps(torch.fft.rfft(start.double()), symbol, force, end / steps, steps)))
    if not bool(torch.isfinite(path.abs()).all()):
        raise DivergedError(f"etdrk4: the solution became NaN or infinite in {steps} steps. Use more steps.")
    return FourierTrajectory(grid, end, path, symbol * path + torch.stack([force(v) for v in path]))


def _steps(
    v: Tensor, symbol: Tensor, force: Callable[[Tensor], Tensor], h: float, steps: int
) -> Iterator[Tensor]:
    whole_step, half_step = torch.exp(symbol * h), torch.exp(symbol * h / 2)
    q, f1, f2, f3 = coefficients(symbol, h)
    yield v
    for _ in range(steps):
        n0 = force(v)
        a = half_step * v + q * n0
        na = force(a)
        b = half_step * v + q * na
        nb = force(b)
        c = half_step * a + q * (2 * nb - n0)
        v = whole_step * v + f1 * n0 + 2 * f2 * (na + nb) + f3 * force(c)
        yield v


def coefficients(symbol: Tensor, h: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of half a step and of the three parts of a step; the means over a circle about each ``L h``.

    In closed form they are differences of nearly equal numbers where ``L h`` is small.
    """
    turn = torch.arange(_CONTOUR, dtype=torch.float64) + 0.5
    z = symbol[:, None] * h + torch.exp(1j * math.pi * turn / _CONTOUR)  # half a circle: L is real
    e, half = torch.exp(z), torch.exp(z / 2)
    parts = (
        (half - 1) / z,
        (-4 - z + e * (4 - 3 * z + z**2)) / z**3,
        (2 + z + e * (z - 2)) / z**3,
        (-4 - 3 * z - z**2 + e * (4 - z)) / z**3,
    )
    q, f1, f2, f3 = (h * part.mean(1).real for part in parts)
    return q, f1, f2, f3
