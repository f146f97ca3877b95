"""Evolution equations ``u_t + N[u] = 0`` as a residual of the derivatives of u at points, with their initial data.

A residual is written once, against a :class:`Jet`, and holds for whatever gives the derivatives: a network, a grid, a
kernel. Points are rows ``(t)`` or ``(t, x)``; u has C components. Derivatives are named by their axes: ``"t"``,
``"xx"``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.checks import positive
from interpolants.foundations.errors import invalid, nearest
from interpolants.pde.residual_checks import check_slopes

TIME, SPACE = "t", "x"
# How far apart initial data may be at the two ends of a period, relative to their size.
_PERIODIC = 1e-3


@dataclass(frozen=True)
class Jet:
    """A function and its derivatives at points: ``u()`` is the value, ``u("t")`` and ``u("xx")`` are derivatives.

    Attributes:
        values: Derivatives by name, ``""`` the value itself; each ``(N, C)``.
    """

    values: Mapping[str, Tensor]

    def __call__(self, name: str = "") -> Tensor:
        """One derivative, ``(N, C)``.

        Raises:
            InvalidInputError: If it was not prepared.
        """
        if name not in self.values:
            raise invalid(
                "Jet",
                "the derivative must be one of the computed derivatives",
                repr(name),
                nearest(name, self.values),
            )
        return self.values[name]


@dataclass(frozen=True)
class _Noting(Jet):
    """A jet of zeros that notes which derivatives are asked for."""

    asked: set[str] = field(default_factory=set)

    def __call__(self, name: str = "") -> Tensor:
        self.asked.add(name)
        return self.values[""] if not name else torch.zeros_like(self.values[""])


def noted_derivatives(values: Tensor) -> tuple[Jet, set[str]]:
    """A jet of zeros about these values, and the set in which it notes the derivatives that are asked for."""
    jet = _Noting({"": values})
    return jet, jet.asked


class Evolution(ABC):
    """An equation on ``[0, end]``, in time alone or in time and one periodic dimension of space.

    A subclass gives the attributes, the initial data and the residual; a data class of the library with a card is
    stored by its settings, one of your own is passed again to ``load``.

    Attributes:
        end: Last time T, in the equation's own unit, > 0.
        names: Names of the components of u.
        period: Ends of the period in x; None without space.
    """

    end: float
    names: tuple[str, ...]
    period: tuple[float, float] | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the columns of points."""
        return (TIME,) if self.period is None else (TIME, SPACE)

    @abstractmethod
    def initial_at(self, x: Tensor) -> Tensor:
        """Initial data ``u(0, x)``, ``(N, 1)`` -> ``(N, C)``; without space x is ``(N, 0)``."""

    @abstractmethod
    def residual_at(self, points: Tensor, u: Jet) -> Tensor:
        """What is zero for a solution, ``(N, C)``: one equation per component."""

    def solution(self, steps: int) -> Any:
        """A numerical solution in so many steps of time, with ``at(points) -> (N, C)``; None where there is none."""
        return None

    def truth_at(self, points: Tensor) -> Tensor | None:
        """The solution at points, ``(N, C)``; None where it is not known."""
        return None


def check_evolution(who: str, problem: Any, *, slopes: bool = False) -> dict[str, int]:
    """Check a problem at a few points; the highest derivative along each axis that its residual reads.

    Args:
        who: Name of the caller, used in error messages.
        problem: The problem.
        slopes: Whether autograd must see how the residual depends on u.

    Raises:
        InvalidInputError: If it is no evolution equation, its end is not positive, the initial data do not fit the
            period, or the residual is not one number per point and component, reads a mixed derivative, or lacks the
            slopes.
    """
    if not isinstance(problem, Evolution):
        remedy = "For example, use pde.ODE(rates=f, start=(1.0,), end=5.0), or a subclass of pde.Evolution."
        raise invalid(who, "problem must be an evolution equation", type(problem).__name__, remedy)
    positive(who, "end of the problem", problem.end)
    points = _few_points(problem)
    start = _checked_start(who, problem, points[:, 1:])
    jet, asked = noted_derivatives(start)
    found = problem.residual_at(points, jet)
    if not isinstance(found, Tensor) or found.shape != start.shape:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        rule = f"residual must be one number per point and component, {tuple(start.shape)} at {len(points)} points"
        raise invalid(who, rule, shape, "Each component of u has one equation; look for a broadcast.")
    orders = _orders(who, problem, asked)
    if slopes:
        check_slopes(who, lambda u: problem.residual_at(points, Jet(u)), start, asked)
    return orders


def _few_points(problem: Evolution) -> Tensor:
    """Five points inside the domain; an odd number, so that no mixed-up axis goes unseen."""
    share = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)[:, None]
    if problem.period is None:
        return share * problem.end
    low, high = problem.period
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise invalid(type(problem).__name__, "period must be (low, high) with low < high", problem.period)
    return torch.cat([share * problem.end, low + (high - low) * share.flip(0)], 1)


def _checked_start(who: str, problem: Evolution, x: Tensor) -> Tensor:
    start, shape = problem.initial_at(x), (len(x), len(problem.names))
    if not isinstance(start, Tensor) or tuple(start.shape) != shape:
        got = tuple(start.shape) if isinstance(start, Tensor) else type(start).__name__
        raise invalid(who, f"initial data must have shape {shape} at {len(x)} points", got)
    if not bool(torch.isfinite(start).all()):
        raise invalid(who, "initial data must be finite", "nan or inf")
    if problem.period is not None:
        ends = problem.initial_at(torch.tensor(problem.period, dtype=x.dtype)[:, None])
        gap, size = float((ends[0] - ends[1]).abs().max()), float(start.abs().max())
        if gap > _PERIODIC * max(size, 1e-12):
            rule = (
                f"initial data must be periodic: equal at x = {problem.period[0]:g} and {problem.period[1]:g}"
            )
            raise invalid(who, rule, f"values that differ by {gap:.3g}", "Check period=.")
    return start


def _orders(who: str, problem: Evolution, asked: set[str]) -> dict[str, int]:
    orders = dict.fromkeys(problem.axes, 0)
    for name in sorted(asked - {""}):
        if len(set(name)) > 1 or name[0] not in orders:
            known = " or ".join(f"{axis!r}, {2 * axis!r}, ..." for axis in problem.axes)
            raise invalid(who, f"a derivative must be along one axis: {known}", repr(name))
        orders[name[0]] = max(orders[name[0]], len(name))
    if not orders[TIME]:
        raise invalid(who, "residual must read the derivative u('t')", f"only {sorted(asked)}")
    return orders
