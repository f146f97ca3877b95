"""Evolution equations on a periodic interval, the library's and a user's own."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.kinds import Positive
from interpolants.foundations.records import record
from interpolants.pde.evolution import Evolution, Jet
from interpolants.pde.fourier import FourierGrid, FourierTrajectory, etdrk4

# Points in space and steps in time of the solution that counts as the truth, and how well half as many agree.
_MODES, _STEPS, _AGREES = 1024, 500, 1e-4


class PeriodicEquation(Evolution):
    """An equation in t and one periodic x; a subclass gives ``period`` too."""

    period: tuple[float, float]


class SemilinearEquation(PeriodicEquation):
    """``u_t = L u + N(u)``, or ``u_t = L u + N(u)_x``, for one component, with L diagonal in Fourier modes.

    Its truth is spectral.

    Attributes:
        is_flux: Whether the slope of N drives u, rather than N itself.
    """

    is_flux: ClassVar[bool] = False

    @abstractmethod
    def symbol(self, k: Tensor) -> Tensor:
        """L of the mode with wavenumber k, real."""

    @abstractmethod
    def nonlinear(self, u: Tensor) -> Tensor:
        """``N(u)``, value by value."""

    def solution(self, steps: int, *, modes: int = _MODES) -> FourierTrajectory:
        """Fourier modes and ETDRK4 in so many steps."""
        grid = FourierGrid(*self.period, modes)
        start = self.initial_at(grid.x[:, None])[:, 0]
        factor = grid.derivative(torch.ones_like(grid.wavenumbers), 1) if self.is_flux else None
        symbol = self.symbol(grid.wavenumbers)
        return etdrk4(grid, start, symbol, self.nonlinear, end=self.end, steps=steps, factor=factor)

    def truth_at(self, points: Tensor) -> Tensor:
        """A fine numerical solution, ``(N, 1)`` float64.

        Raises:
            DivergedError: If half as many steps and modes disagree in the mean over the points.
        """
        coarse = self.solution(_STEPS // 2, modes=_MODES // 2).at(points)
        fine = self.solution(_STEPS).at(points)
        gap = float((coarse - fine).norm() / fine.norm().clamp_min(1e-300))
        if gap > _AGREES:
            told = f"half the steps and modes differ by {gap:.2g}"
            raise DivergedError(f"{type(self).__name__}: the reference solution is not settled, {told}")
        return fine


@record("own_pde")
@dataclass(frozen=True, kw_only=True)
class PeriodicPDE(PeriodicEquation, Checked):
    """An equation of your own in t and one periodic x.

    With one component t, x, u and the residual are ``(N,)``; with C names u and the residual are ``(N, C)``::

        def burgers(t, x, u):
            return u("t") + u() * u("x") - 0.01 * u("xx")

        PeriodicPDE(residual=burgers, initial=lambda x: -torch.sin(torch.pi * x), end=1.0, period=(-1.0, 1.0))

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    residual: Callable[[Tensor, Tensor, Jet], Tensor]
    """``residual(t, x, u)`` in torch, where ``u()`` is the value, ``u("t")`` and ``u("xx")`` are derivatives. Files do
    not hold it: pass it again, ``load(folder, residual=...)``."""
    initial: Callable[[Tensor], Tensor]
    """``initial(x)``, ``(N,)`` -> ``(N,)`` or ``(N, C)``; the same at both ends of the period."""
    end: Positive
    """Last time."""
    period: tuple[float, float]
    """Ends of the period."""
    names: tuple[str, ...] = field(default=("u",))
    """Names of the components."""

    def check_settings(self) -> None:
        """Make tuples of period and names, ends in their order."""
        low, high = (float(side) for side in self.period)
        if not low < high or not self.names:
            raise invalid("PeriodicPDE", "period must be (low, high) with low < high", self.period)
        object.__setattr__(self, "period", (low, high))
        object.__setattr__(self, "names", tuple(self.names))

    def initial_at(self, x: Tensor) -> Tensor:
        """The user's initial data, ``(N, C)``."""
        return self._column(self.initial(x[:, 0]))

    def residual_at(self, points: Tensor, u: Jet) -> Tensor:
        """The user's residual, ``(N, C)``."""
        t, x = points.unbind(1)
        return self._column(self.residual(t, x, _FlatJet(u) if len(self.names) == 1 else u))

    def _column(self, value: Tensor) -> Tensor:
        """One component as a column; a row per point and component stays what it is, also where that is wrong."""
        flat = isinstance(value, Tensor) and value.ndim == 1 and len(self.names) == 1
        return value[:, None] if flat else value


class _FlatJet(Jet):
    """A jet of one component, ``(N,)``."""

    def __init__(self, jet: Jet) -> None:
        object.__setattr__(self, "jet", jet)

    jet: Jet

    def __call__(self, name: str = "") -> Tensor:
        return self.jet(name)[:, 0]
