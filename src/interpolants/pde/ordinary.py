"""Systems of ordinary differential equations ``u' = f(t, u)``, the library's and a user's own."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.kinds import Positive
from interpolants.foundations.records import record
from interpolants.pde.evolution import TIME, Evolution, Jet
from interpolants.pde.trajectory import Trajectory, runge_kutta

# Steps of the solution that counts as the truth, and how far half as many may be from it, relative to its size.
_STEPS, _AGREES = 4000, 1e-6


class OrdinarySystem(Evolution):
    """``u' = f(t, u)``, ``u(0) = start``; a subclass gives ``start``, ``end``, ``names`` and :meth:`rates_at`.

    Attributes:
        start: State at time 0, C numbers.
    """

    start: tuple[float, ...]

    @abstractmethod
    def rates_at(self, t: Tensor, u: Tensor) -> Tensor:
        """The right side f, ``(N,)`` and ``(N, C)`` -> ``(N, C)``."""

    def initial_at(self, x: Tensor) -> Tensor:
        """The start, for every row."""
        return torch.tensor(self.start, dtype=x.dtype, device=x.device).expand(len(x), -1)

    def residual_at(self, points: Tensor, u: Jet) -> Tensor:
        """``u' - f(t, u)``."""
        return u(TIME) - self._rates(points[:, 0], u())

    def solution(self, steps: int) -> Trajectory:
        """The classical Runge-Kutta method in so many steps."""
        return runge_kutta(self._rates, torch.tensor(self.start), self.end, steps)

    def truth_at(self, points: Tensor) -> Tensor:
        """A fine numerical solution, ``(N, C)`` float64.

        Raises:
            DivergedError: If two numbers of steps disagree: the solution is too sensitive to be called the truth.
        """
        coarse, fine = (self.solution(steps).at(points) for steps in (_STEPS // 2, _STEPS))
        gap = float((coarse - fine).abs().max())
        if gap > _AGREES * max(float(fine.abs().max()), 1e-300):
            told = f"{_STEPS // 2} and {_STEPS} steps differ by {gap:.2g}"
            raise DivergedError(f"{type(self).__name__}: the reference solution is not settled, {told}")
        return fine

    def _rates(self, t: Tensor, u: Tensor) -> Tensor:
        found = self.rates_at(t, u)
        if not isinstance(found, Tensor) or found.shape != u.shape:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            rule = f"rates must have the shape of u, {tuple(u.shape)}"
            remedy = "Stack the components: torch.stack([...], 1)."
            raise invalid(type(self).__name__, rule, got, remedy)
        return found


@record("own_ode")
@dataclass(frozen=True, kw_only=True)
class ODE(OrdinarySystem, Checked):
    """A system of your own: ``u' = rates(t, u)``.

    Raises:
        InvalidInputError: If a number is not finite, or names do not fit the start.
    """

    rates: Callable[[Tensor, Tensor], Tensor]
    """``rates(t, u)`` with t ``(N,)`` and u ``(N, C)`` -> ``(N, C)``, in torch. Files do not hold it: pass it again,
    ``load(folder, rates=...)``."""
    start: tuple[float, ...]
    """State at time 0, C numbers; a number alone is one."""
    end: Positive
    """Last time."""
    names: tuple[str, ...] = field(default=())
    """Names of the components; ``u1``, ``u2``, ... if left out."""

    def check_settings(self) -> None:
        """Make tuples of start and names, one name per number."""
        alone = isinstance(self.start, float | int)
        start = tuple(number("ODE", "start", value) for value in ((self.start,) if alone else self.start))
        names = tuple(self.names) or tuple(f"u{i + 1}" for i in range(len(start)))
        if len(names) != len(start) or not start:
            raise invalid(
                "ODE",
                "start must have at least one number, and names one entry per number",
                f"{names} for {start}",
            )
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "names", names)

    def rates_at(self, t: Tensor, u: Tensor) -> Tensor:
        """The user's function."""
        return self.rates(t, u)
