"""Codes: columns of a table, in the units of their user, as points of a space and back."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor
from typing_extensions import override

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Positive
from interpolants.foundations.records import record
from interpolants.spaces.space import Space
from interpolants.spaces.sphere import Rotations, Sphere

# Largest distance of a row from its space, beyond which the difference is not rounding.
NEAR = 1e-4
# Slack of bounds such as 90 degrees, relative.
_ROUNDING = 1e-6
_NORTH, _EAST = ("lat",), ("lon", "lng", "long")


class Code(ABC):
    """Code of some columns as points of a space; abstract.

    Rows are float64 ``(N, C)`` in the units of the columns; points are ``(N, S)``.
    """

    # What columns hold, for messages.
    holds: ClassVar[str] = ""

    @property
    @abstractmethod
    def space(self) -> Space:
        """Space of the points."""

    @property
    @abstractmethod
    def n_columns(self) -> int:
        """Number of columns C."""

    @abstractmethod
    def check(self, x: Tensor, names: Sequence[str]) -> None:
        """Check that the rows are points of the space.

        Raises:
            InvalidInputError: With the column and the first such row.
        """

    def learn(self, x: Tensor, names: Sequence[str]) -> Self:
        """The code for the rows of a fit, from which it takes what its settings leave open.

        Raises:
            InvalidInputError: If the rows show that they are in another unit.
        """
        return self

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Convert rows to points, ``(N, S)``."""

    @abstractmethod
    def decode(self, points: Tensor) -> Tensor:
        """Convert points to rows, ``(N, C)``."""

    def log_volume(self, x: Tensor) -> Tensor | None:
        """Log of the volume of the space per unit of the columns, ``(N,)``; None if the rows are a surface in them."""
        return None


def _first(wrong: Tensor) -> int:
    return int(wrong.nonzero()[0, 0])


@record("angle_code")
@dataclass(frozen=True)
class Angle(Checked, Code):
    """A column with a period, such as a direction or an hour, on the circle."""

    holds: ClassVar[str] = "an angle"

    period: Positive | None = None
    """Period, in units of the column: 24 for hours of the day. None for 360, degrees, after a check that the rows of
    the fit do not look like radians."""
    low: float | None = None
    """Lower end of the interval in which angles are returned. None for 0, or minus half a period if rows of the fit are
    negative."""

    @property
    def turn(self) -> float:
        """Period in units of the column."""
        return 360.0 if self.period is None else self.period

    @override
    @property
    def space(self) -> Sphere:
        return Sphere(1)

    @override
    @property
    def n_columns(self) -> int:
        return 1

    @override
    def check(self, x: Tensor, names: Sequence[str]) -> None:
        beyond = x[:, 0].abs() > self.turn * (1 + _ROUNDING)
        if bool(beyond.any()):
            row = _first(beyond)
            rule = f"column {names[0]!r} must lie within one period, {self.turn:g}, of 0"
            remedy = (
                "Pass the rows modulo the period, or {'kind': 'circle', 'period': ...} with the right period."
            )
            raise invalid(rule, f"{float(x[row, 0]):g} in row {row}", remedy)

    @override
    def learn(self, x: Tensor, names: Sequence[str]) -> Self:
        if self.period is None and float(x.abs().max()) <= 2 * math.pi * (1 + _ROUNDING):
            rule = f"column {names[0]!r} must be in degrees, and all its rows lie within 2 pi of 0, as radians do"
            remedy = "Pass {'kind': 'circle', 'period': 6.283185307179586} for radians, 24 for hours, 360 for degrees."
            raise invalid(rule, f"{float(x.min()):g} to {float(x.max()):g}", remedy)
        low = (-self.turn / 2 if bool((x < 0).any()) else 0.0) if self.low is None else self.low
        return replace(self, low=low)

    @override
    def encode(self, x: Tensor) -> Tensor:
        angle = x[:, 0] * (2 * math.pi / self.turn)
        return torch.stack([angle.cos(), angle.sin()], -1)

    @override
    def decode(self, points: Tensor) -> Tensor:
        angle = torch.atan2(points[:, 1], points[:, 0]) * (self.turn / (2 * math.pi))
        return _wrapped(angle, self.low or 0.0, self.turn)[:, None]

    @override
    def log_volume(self, x: Tensor) -> Tensor:
        return torch.full_like(x[:, 0], math.log(2 * math.pi / self.turn))


def _wrapped(angle: Tensor, low: float, period: float) -> Tensor:
    """Angles in ``[low, low + period)``; a remainder that rounds up to the period is 0."""
    past = torch.remainder(angle - low, period)
    return torch.where(past >= period, 0.0, past) + low


@record("latitude_longitude_code")
@dataclass(frozen=True)
class LatitudeLongitude(Checked, Code):
    """Two columns, latitude and longitude in this order, on the sphere."""

    holds: ClassVar[str] = "a latitude and a longitude"

    unit: Literal["degrees", "radians"] | None = None
    """``"degrees"`` or ``"radians"``. None for degrees, after a check that the rows of the fit do not look like
    radians."""
    low: float | None = None
    """Lower end of the interval in which longitudes are returned. None for minus half a turn, or 0 if rows of the fit
    lie beyond half a turn."""

    @property
    def turn(self) -> float:
        """A full turn, in units of the columns."""
        return 2 * math.pi if self.unit == "radians" else 360.0

    @override
    @property
    def space(self) -> Sphere:
        return Sphere(2)

    @override
    @property
    def n_columns(self) -> int:
        return 2

    @override
    def check(self, x: Tensor, names: Sequence[str]) -> None:
        first, second = (name.lower() for name in names)
        if first.startswith(_EAST) and second.startswith(_NORTH):
            rule = "a sphere takes the column of latitudes first"
            raise invalid(
                rule, f"{names[0]!r}, {names[1]!r}", f"Pass {{'{names[1]}, {names[0]}': 'sphere'}}."
            )
        for column, limit, label in ((0, self.turn / 4, "latitudes"), (1, self.turn, "longitudes")):
            beyond = x[:, column].abs() > limit * (1 + _ROUNDING)
            if not bool(beyond.any()):
                continue
            row = _first(beyond)
            rule = (
                f"column {names[column]!r} must contain {label} of at most {limit:g} {self.unit or 'degrees'}"
            )
            swapped = column == 0 and bool((x[:, 1].abs() <= limit).all())
            remedy = (
                "The two columns may be exchanged: latitude comes first." if swapped else "Correct the row."
            )
            raise invalid(rule, f"{float(x[row, column]):g} in row {row}", remedy)

    @override
    def learn(self, x: Tensor, names: Sequence[str]) -> Self:
        radians = torch.tensor([math.pi / 2, 2 * math.pi], dtype=x.dtype) * (1 + _ROUNDING)
        if self.unit is None and bool((x.abs().amax(0) <= radians).all()):
            rule = f"columns {names[0]!r} and {names[1]!r} must be in degrees, and all rows have the range of radians"
            remedy = (
                "Pass {'kind': 'sphere', 'unit': 'radians'}, or 'degrees' if they are degrees near (0, 0)."
            )
            raise invalid(
                rule, f"up to {float(x[:, 0].abs().max()):g} and {float(x[:, 1].abs().max()):g}", remedy
            )
        east = bool((x[:, 1] > self.turn / 2 * (1 + _ROUNDING)).any())
        low = (0.0 if east else -self.turn / 2) if self.low is None else self.low
        return replace(self, low=low)

    @override
    def encode(self, x: Tensor) -> Tensor:
        north, east = (x * (2 * math.pi / self.turn)).unbind(-1)
        return torch.stack([north.cos() * east.cos(), north.cos() * east.sin(), north.sin()], -1)

    @override
    def decode(self, points: Tensor) -> Tensor:
        x, y, z = points.unbind(-1)
        unit = self.turn / (2 * math.pi)
        north = torch.atan2(z, torch.hypot(x, y)) * unit
        east = _wrapped(torch.atan2(y, x) * unit, -self.turn / 2 if self.low is None else self.low, self.turn)
        return torch.stack([north, east], -1)

    @override
    def log_volume(self, x: Tensor) -> Tensor:
        unit = 2 * math.pi / self.turn
        return (x[:, 0] * unit).cos().clamp_min(0).log() + 2 * math.log(unit)


@record("unit_vector_code")
@dataclass(frozen=True)
class UnitVector(Checked, Code):
    """Columns that hold a unit vector, as a point of a sphere."""

    holds: ClassVar[str] = "a unit vector"

    size: int = 3
    """Number of columns."""

    @override
    @property
    def space(self) -> Space:
        return Sphere(self.size - 1)

    @override
    @property
    def n_columns(self) -> int:
        return self.size

    @override
    def check(self, x: Tensor, names: Sequence[str]) -> None:
        error = (torch.linalg.vector_norm(x, dim=-1) - 1).abs()
        if bool((error > NEAR).any()):
            row = _first(error > NEAR)
            rule = (
                f"columns {', '.join(map(repr, names))} must contain {self.holds} of length 1 within {NEAR:g}"
            )
            remedy = "Divide each row by its length if only its direction counts."
            raise invalid(rule, f"a row at a distance of {float(error[row]):.3g} from it: row {row}", remedy)

    @override
    def encode(self, x: Tensor) -> Tensor:
        return self.space.project(x)

    @override
    def decode(self, points: Tensor) -> Tensor:
        return points


@record("quaternion_code")
@dataclass(frozen=True)
class Quaternion(UnitVector):
    """Four columns that hold a unit quaternion, as a rotation.

    The learnt distribution does not depend on the order of the columns. They are returned with the first one >= 0.
    """

    holds: ClassVar[str] = "a unit quaternion"

    size: int = 4
    """Number of columns: 4."""

    @override
    @property
    def space(self) -> Rotations:
        return Rotations()

    @override
    def decode(self, points: Tensor) -> Tensor:
        return torch.where(points[:, :1] < 0, -points, points)


def _circle(n: int, settings: dict[str, Any]) -> Code:
    if n == 2 and not settings:
        return UnitVector(2)
    return Angle(**settings)


def _sphere(n: int, settings: dict[str, Any]) -> Code:
    return UnitVector(n) if n > 2 and not settings else LatitudeLongitude(**settings)


def _rotations(n: int, settings: dict[str, Any]) -> Code:
    return Quaternion(**settings)


# Kind of a space -> its code for a number of columns.
_KINDS = {"circle": _circle, "sphere": _sphere, "rotations": _rotations}
KINDS = tuple(_KINDS)
# Spaces that a user may look for, and what to do instead.
_ABSENT = {
    "hyperbolic": "A bridge in hyperbolic space is not there.",
    "poses": "Name the quaternion alone, {'qw, qx, qy, qz': 'rotations'}: the position is among the other columns.",
    "torus": "Name each angle by itself, {'phi': 'circle', 'psi': 'circle'}, or pass space='circle' for all columns.",
    "simplex": "A bridge on the simplex is not there.",
}
_SIZES = {"circle": "one column, an angle, or two, a unit vector", "rotations": "four columns, a quaternion"}
_SIZES["sphere"] = "two columns, latitude and longitude, or more, a unit vector"


def code_of(kind: str, columns: Sequence[str], settings: dict[str, Any]) -> Code:
    """The code of some columns.

    Args:
        kind: ``"circle"``, ``"sphere"`` or ``"rotations"``.
        columns: Their names, for errors.
        settings: Settings of the code.

    Raises:
        InvalidInputError: If the kind is unknown, or takes another number of columns.
    """
    if kind not in _KINDS:
        rule = f"a space must be one of {', '.join(KINDS)}"
        raise invalid(rule, repr(kind), _ABSENT.get(kind, "Columns that are not named are real numbers."))
    code = _KINDS[kind](len(columns), settings)
    if code.n_columns != len(columns):
        rule = f"space {kind!r} takes {_SIZES[kind]}"
        raise invalid(rule, f"{len(columns)}: {', '.join(columns)}", "Join the names of columns by ', '.")
    return code
