"""Boundary-value problems on a box, one for each value of their parameters.

The equation is a residual against a :class:`~interpolants.pde.evolution.Jet`, as for evolution equations. Its unknown
parameters z are what inverse problems ask for; known ones w (a forcing, a boundary value) come with each problem.
Boundary values hold by construction: ``u = boundary + distance * v`` for any v, with ``distance = 0`` where u is given.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.pde.evolution import Jet, noted_derivatives
from interpolants.pde.residual_checks import check_slopes

Range = tuple[float, float]
# How large the distance may be where u is given, relative to the middle of the box.
_VANISHES = 1e-6


class FieldSolution(Protocol):
    """Solutions of B problems."""

    def at(self, points: Tensor) -> Tensor:
        """Values at points ``(B, N, d)`` of each, ``(B, N)``."""
        ...


class PDEFamily(ABC):
    """A family of problems ``residual(x, u; z, w) = 0`` with one component u.

    A subclass gives the attributes and the residual; a data class of the library with a card is stored by its settings,
    one of your own is passed again to ``load``.

    Attributes:
        box: Name of each coordinate, one letter -> its range.
        unknown: Name of each unknown parameter -> its range; a priori it is uniform there.
        known: Name of each known parameter -> its range.
        component: Name of u.
    """

    box: Mapping[str, Range]
    unknown: Mapping[str, Range]
    known: Mapping[str, Range]
    component: str = "u"

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the columns of points."""
        return tuple(self.box)

    @abstractmethod
    def residual_at(self, points: Tensor, u: Jet, z: Tensor, w: Tensor) -> Tensor:
        """What is zero for a solution: points ``(N, d)``, z ``(N, Z)``, w ``(N, W)`` -> ``(N, 1)``."""

    def boundary_at(self, points: Tensor, w: Tensor) -> Tensor:
        """A smooth function with the values of u where these are given, ``(N, 1)``; zero if not overridden."""
        return torch.zeros_like(points[:, :1])

    def distance_at(self, points: Tensor) -> Tensor:
        """A smooth function that is zero where u is given and positive elsewhere, ``(N, 1)``.

        If not overridden: the product of cosines that vanishes on all sides of the box.
        """
        return torch.cos(math.pi / 2 * to_unit(points, list(self.box.values()))).prod(1, keepdim=True)

    def given_points(self) -> Tensor:
        """Some points where u is given, ``(N, d)`` float64; corners and middles of the sides if not overridden."""
        sides = list(self.box.values())
        corners = torch.cartesian_prod(*(torch.tensor(side).double() for side in sides)).reshape(
            -1, len(sides)
        )
        middle = torch.tensor([(low + high) / 2 for low, high in sides], dtype=torch.float64)
        faces = [
            torch.where(torch.arange(len(sides)) == i, corner, middle)
            for corner in corners
            for i in range(len(sides))
        ]
        return torch.cat([corners, torch.stack(faces)])

    def solution(self, z: Tensor, w: Tensor) -> FieldSolution | None:
        """Numerical solutions for parameters ``(B, Z)`` and ``(B, W)``; None where there is no solver."""
        return None

    def draw(self, n: int, source: Generator) -> tuple[Tensor, Tensor]:
        """Parameters of n problems from their ranges, ``(n, Z)`` and ``(n, W)`` float64."""
        return tuple(_uniform(ranges, n, source) for ranges in (self.unknown, self.known))  # type: ignore[return-value]

    def points(self, n: int, source: Generator) -> Tensor:
        """Points of the box, uniform, ``(n, d)`` float64."""
        return _uniform(self.box, n, source)


def _uniform(ranges: Mapping[str, Range], n: int, source: Generator) -> Tensor:
    share = torch.rand(n, len(ranges), generator=source, dtype=torch.float64)
    low, high = (torch.tensor([side[i] for side in ranges.values()], dtype=torch.float64) for i in (0, 1))
    return low + (high - low) * share


def to_unit(values: Tensor, ranges: Sequence[Range]) -> Tensor:
    """Columns ``(N, k)`` of these ranges in units of [-1, 1]."""
    low, high = (values.new_tensor([side[i] for side in ranges]) for i in (0, 1))
    return (2 * values - low - high) / (high - low)


def check_family(who: str, family: Any, *, slopes: bool = False) -> dict[str, int]:
    """Check a family at a few points; the highest derivative along each axis that its residual reads.

    Args:
        who: Name of the caller, used in error messages.
        family: The family.
        slopes: Whether autograd must see how the residual depends on u.

    Raises:
        InvalidInputError: If it is no family, a range is empty, a residual is not one number per point or lacks the
            slopes, or the distance does not vanish where u is given.
    """
    if not isinstance(family, PDEFamily):
        remedy = "For example, use pde.NonlinearPoisson(), or a subclass of pde.PDEFamily."
        raise invalid(
            who, "problem must be a family of boundary-value problems", type(family).__name__, remedy
        )
    _check_ranges(who, family)
    source = generator(0, "check family")
    points, (z, w) = family.points(5, source), family.draw(5, source)
    _check_boundary(who, family, points, w)
    jet, asked = noted_derivatives(family.distance_at(points))
    found = family.residual_at(points, jet, z, w)
    if not isinstance(found, Tensor) or found.shape != (5, 1):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        rule = "residual must be one number per point, (5, 1) at 5 points"
        raise invalid(who, rule, shape, "Keep the last axis: z[:, :1], not z[:, 0].")
    orders = _orders(who, family, asked - {""})
    if slopes:
        values = family.distance_at(points)
        check_slopes(who, lambda u: family.residual_at(points, Jet(u), z, w), values, asked)
    return orders


def _check_ranges(who: str, family: PDEFamily) -> None:
    for part, ranges in (("box", family.box), ("unknown", family.unknown), ("known", family.known)):
        for name, (low, high) in ranges.items():
            number(who, f"{part} {name}", low)
            number(who, f"{part} {name}", high)
            if not low < high:
                raise invalid(
                    who, f"the range of {part} {name} must be (low, high) with low < high", (low, high)
                )
    if not family.box or not family.unknown or any(len(axis) != 1 for axis in family.box):
        rule = "a family must have coordinates with names of one letter, and at least one unknown parameter"
        raise invalid(who, rule, f"{tuple(family.box)}, {tuple(family.unknown)}")
    names = [*family.box, family.component, *family.unknown, *family.known]
    if len(set(names)) < len(names):
        raise invalid(who, "coordinates, u and parameters must have different names", tuple(names))


def _check_boundary(who: str, family: PDEFamily, points: Tensor, w: Tensor) -> None:
    inside, edge = family.distance_at(points), family.distance_at(family.given_points())
    for name, found, n in (("distance", inside, 5), ("boundary", family.boundary_at(points, w), 5)):
        if not isinstance(found, Tensor) or found.shape != (n, 1):
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise invalid(who, f"{name} must be one number per point, (5, 1) at 5 points", got)
    if float(edge.abs().max()) > _VANISHES * float(inside.abs().max()):
        rule = "distance must be zero where u is given (given_points)"
        raise invalid(who, rule, f"{float(edge.abs().max()):.3g} at one of them")


def _orders(who: str, family: PDEFamily, asked: set[str]) -> dict[str, int]:
    orders = dict.fromkeys(family.axes, 0)
    for name in sorted(asked):
        if len(set(name)) > 1 or name[0] not in orders:
            known = " or ".join(f"{axis!r}, {2 * axis!r}" for axis in family.axes)
            raise invalid(who, f"a derivative must be along one axis: {known}, ...", repr(name))
        orders[name[0]] = max(orders[name[0]], len(name))
    return orders
