"""Stationary equations ``N[u] = 0`` in a box with u given on its faces, the library's and a user's own.

A residual is written against a :class:`~interpolants.pde.evolution.Jet`, as for evolution equations: it holds for
whatever gives the derivatives. u has one component.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.records import record
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.pde.evolution import Jet, noted_derivatives
from interpolants.pde.residual_checks import check_slopes

_AXES = "xyz"
_PAIRS, _AN_INTERVAL = (
    "box must be one to three pairs (low, high)",
    "For example, use box=((0.0, 1.0),) for an interval.",
)


class BoxProblem(ABC):
    """One equation for one function u in a box of one to three dimensions.

    A subclass gives ``box``, the residual and the values on the boundary; a data class of the library with a card is
    stored by its settings, one of your own is passed again to ``load``.

    Attributes:
        name: Of u.
        faces: Faces on which u is given, such as ``("x-", "x+")`` for both ends of x; all of them where it is empty.
    """

    name: str = "u"
    faces: tuple[str, ...] = ()

    @property
    @abstractmethod
    def box(self) -> tuple[tuple[float, float], ...]:
        """Lower and upper end of each coordinate."""

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the columns of points."""
        return tuple(_AXES[: len(self.box)])

    @abstractmethod
    def residual_at(self, points: Tensor, u: Jet) -> Tensor:
        """What is zero for a solution, ``(N, d)`` -> ``(N, 1)``; each row depends on u at its own point alone."""

    @abstractmethod
    def boundary_at(self, points: Tensor) -> Tensor:
        """Values of u at points of the faces, ``(N, d)`` -> ``(N, 1)``."""

    def truth_at(self, points: Tensor) -> Tensor | None:
        """The solution at points, ``(N, 1)``; None where it is not known."""
        return None

    def given_faces(self) -> tuple[str, ...]:
        """The faces on which u is given."""
        return self.faces or all_faces(self.axes)

    def on_boundary(self, points: Tensor) -> Tensor:
        """Whether u is given at each of some points ``(N, d)``, bool ``(N,)``."""
        found = torch.zeros(len(points), dtype=torch.bool)
        for face in self.given_faces():
            axis = self.axes.index(face[0])
            found |= points[:, axis] == self.box[axis][face[1] == "+"]
        return found


def all_faces(axes: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all faces of a box."""
    return tuple(axis + side for axis in axes for side in "-+")


@record("own_box_pde")
@dataclass(frozen=True, kw_only=True)
class BoxPDE(BoxProblem):
    """An equation of your own in a box; coordinates, u and the residual are ``(N,)``::

        def poisson(x, y, u):
            return u("xx") + u("yy") - torch.sin(x) * y

        BoxPDE(residual=poisson, boundary=lambda x, y: 0 * x, box=((0.0, 1.0), (0.0, 2.0)))

    Args:
        residual: ``residual(x, u)``, or ``residual(x, y, u)``, in torch, where ``u()`` is the value, ``u("x")`` and
            ``u("xx")`` are derivatives. Files do not hold it: pass it again, ``load(folder, residual=...)``.
        boundary: ``boundary(x)``, or ``boundary(x, y)``: values of u on the faces.
        box: Ends of each coordinate, one to three of them.
        faces: Faces on which u is given, ``"x-"`` for the lower end of x, ``"x+"`` for its upper end; all if empty. An
            equation of order k along an axis needs k of them there.
        truth: The solution, ``truth(x)``, where you know it.
        name: Of u.

    Raises:
        InvalidInputError: If the box or a face is none.
    """

    residual: Callable[..., Tensor]
    boundary: Callable[..., Tensor]
    box: tuple[tuple[float, float], ...] = ()
    faces: tuple[str, ...] = field(default=())
    truth: Callable[..., Tensor] | None = None
    name: str = "u"

    def __post_init__(self) -> None:
        try:
            box = tuple(tuple(map(float, side)) for side in self.box)
        except (TypeError, ValueError) as error:
            raise invalid("BoxPDE", _PAIRS, repr(self.box), _AN_INTERVAL) from error
        object.__setattr__(self, "box", box)
        object.__setattr__(self, "faces", tuple(self.faces))
        check_box("BoxPDE", self)

    def residual_at(self, points: Tensor, u: Jet) -> Tensor:
        """The user's residual, ``(N, 1)``."""
        return self._column(self.residual(*points.unbind(1), _Flat({}, u)))

    def boundary_at(self, points: Tensor) -> Tensor:
        """The user's values, ``(N, 1)``."""
        return self._column(self.boundary(*points.unbind(1)))

    def truth_at(self, points: Tensor) -> Tensor | None:
        """The user's solution, ``(N, 1)``."""
        return None if self.truth is None else self._column(self.truth(*points.unbind(1)))

    @staticmethod
    def _column(value: Tensor) -> Tensor:
        """A vector as a column; what is none stays what it is, and is refused by the check."""
        return value[:, None] if isinstance(value, Tensor) and value.ndim == 1 else value


@dataclass(frozen=True)
class _Flat(Jet):
    """A jet of one component whose values are ``(N,)``."""

    jet: Jet

    def __call__(self, name: str = "") -> Tensor:
        return self.jet(name)[:, 0]


def check_box(who: str, problem: BoxProblem) -> None:
    """Check the box and the faces of a problem.

    Raises:
        InvalidInputError: If an end is not finite, ends are not in order, or a face is unknown.
    """
    sides = problem.box
    if not 1 <= len(sides) <= len(_AXES) or any(len(side) != 2 for side in sides):
        raise invalid(who, _PAIRS, sides, _AN_INTERVAL)
    for axis, side in zip(problem.axes, sides, strict=True):
        low, high = (number(who, f"ends of {axis}", end) for end in side)
        if not low < high:
            raise invalid(who, f"ends of {axis} must be (low, high) with low < high", side)
    known = all_faces(problem.axes)
    for face in problem.faces:
        if face not in known:
            raise invalid(who, "faces must be among those of the box", repr(face), nearest(face, known))


def check_problem(who: str, problem: Any) -> dict[str, tuple[int, ...]]:
    """Check a problem at a few points; the derivatives that its residual reads, with their order along each axis.

    The value itself, ``""``, is always among them.

    Raises:
        InvalidInputError: If it is no problem in a box, boundary or residual are not one number per point, the residual
            reads a derivative of more than second order along an axis, or depends on u in a way that autograd does not
            see, or at other points.
    """
    if not isinstance(problem, BoxProblem):
        remedy = "For example, pde.BoxPDE(residual=f, boundary=g, box=((0.0, 1.0),)), or a subclass of pde.BoxProblem."
        raise invalid(who, "problem must be an equation in a box", type(problem).__name__, remedy)
    check_box(who, problem)
    points = torch.stack([low + (high - low) * torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]).double()
                          for low, high in problem.box], 1)  # fmt: skip
    boundary = _checked(who, "boundary", problem.boundary_at(points), len(points))
    jet, asked = noted_derivatives(boundary)
    _checked(who, "residual", problem.residual_at(points, jet), len(points))
    orders = {name: _orders(who, name, problem.axes) for name in sorted(asked | {""})}
    check_slopes(who, lambda u: problem.residual_at(points, Jet(u)), boundary.double(), orders)
    _tell_of_missing_values(who, problem, orders)
    return orders


def _tell_of_missing_values(who: str, problem: BoxProblem, orders: dict[str, tuple[int, ...]]) -> None:
    """Along each axis an equation of order k needs u on k faces; with fewer, many functions solve it as a rule."""
    for j, axis in enumerate(problem.axes):
        order = max(along[j] for along in orders.values())
        given = {face for face in problem.given_faces() if face[0] == axis}
        if len(given) < order:
            told = f"{who}: the equation has order {order} along {axis}, and u is given on {len(given)} face there"
            told += ": as a rule many functions solve it, and the answer is one of them"
            told += f". Give u on {axis}- and {axis}+, or leave faces out"
            tell(SettingWarning, told)


def _checked(who: str, what: str, value: Any, n: int) -> Tensor:
    if not isinstance(value, Tensor) or value.shape != (n, 1):
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise invalid(
            who,
            f"{what} must be one number per point, {(n, 1)} at {n} points",
            shape,
            "Look for a broadcast.",
        )
    if not bool(torch.isfinite(value).all()):
        raise invalid(who, f"{what} must be finite in the box", "nan or inf")
    return value


def _orders(who: str, name: str, axes: tuple[str, ...]) -> tuple[int, ...]:
    found = tuple(name.count(axis) for axis in axes)
    if sum(found) != len(name) or max(found) > 2:
        rule = f"a derivative must be along {', '.join(axes)}, at most twice along each"
        raise invalid(who, rule, repr(name))
    return found
