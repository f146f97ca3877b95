"""Columns of a table as points of a product of spaces: the setting ``space``, and the units that follow from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.errors import nearest
from interpolants.foundations.records import record
from interpolants.framework.frames import Standard, constant_columns
from interpolants.spaces.codes import Angle, Code, code_of
from interpolants.spaces.product import Product
from interpolants.spaces.reals import Reals
from interpolants.spaces.sphere import Sphere

# Columns, joined by ", " -> kind and settings of their space; or one kind for the whole table.
SpaceSetting = str | dict[str, dict[str, Any]] | None


def choose_space(caller: str, space: Any) -> SpaceSetting:
    """Setting ``space`` in one form.

    Args:
        caller: Name of the caller, used in error messages.
        space: A kind of space for the whole table, ``"sphere"``; or a mapping of columns, ``"lat, lon"``, by name or by
            number, or a tuple of these, to a kind or a table ``{"kind": ..., **settings}``.

    Raises:
        InvalidInputError: If it has another form, or a kind is unknown.
    """
    if space is None or isinstance(space, str):
        return space
    if not isinstance(space, Mapping) or not space:
        rule = "space must be a kind of space, or a mapping of columns to kinds"
        raise invalid(rule, repr(space), "For example, pass {'lat, lon': 'sphere', 'direction': 'circle'}.")
    return {_key(columns): _table(columns, kind) for columns, kind in space.items()}


def _key(columns: Any) -> str:
    return ", ".join(map(str, columns)) if isinstance(columns, tuple) else str(columns)


def _table(columns: Any, kind: Any) -> dict[str, Any]:
    table = {"kind": kind} if isinstance(kind, str) else kind
    if not isinstance(table, Mapping) or not isinstance(table.get("kind"), str):
        rule = f"space of {_key(columns)!r} must be a kind, or a table with a kind"
        raise invalid(rule, repr(kind), "For example, pass {'kind': 'circle', 'period': 24}.")
    return dict(table)


@record("space_frame")
@dataclass(frozen=True, eq=False)
class SpaceFrame:
    """Units of a table whose columns lie in spaces: codes of some columns, and standardised real columns.

    Points have the coordinates of the coded factors first, in the order of the setting, and then the real ones.

    Attributes:
        codes: Codes of the factors.
        columns: Numbers of the columns of each factor.
        real: Numbers of the real columns.
        standard: Units of the real columns.
    """

    codes: tuple[Code, ...]
    columns: tuple[tuple[int, ...], ...]
    real: tuple[int, ...]
    standard: Standard

    @classmethod
    def of(cls, setting: SpaceSetting, rows: Tensor, names: Sequence[str], role: str = "x1") -> Self:
        """Units for the rows of a fit.

        Args:
            setting: As :func:`choose_space` returns it.
            rows: Rows ``(N, D)``, float64.
            names: Names of the columns; empty where they have none.
            role: Name of the rows, for errors.

        Raises:
            InvalidInputError: If a column is unknown or named twice, a space does not fit its columns, or the rows show
                that they are in another unit.
        """
        if rows.ndim != 2:
            raise invalid(f"{role} must be a table (N, D)", f"shape {tuple(rows.shape)}")
        labels = _labels(rows, names)
        factors = [(_indices(key, labels), table) for key, table in _by_columns(setting, labels).items()]
        _check_overlap([index for indices, _ in factors for index in indices], labels)
        codes = []
        for indices, table in factors:
            settings = {name: value for name, value in table.items() if name != "kind"}
            own_names = [labels[index] for index in indices]
            code = code_of(table["kind"], own_names, settings)
            code = code.learn(rows[:, indices], own_names)
            codes.append(code)
        coded = tuple(tuple(indices) for indices, _ in factors)
        real = tuple(k for k in range(rows.shape[1]) if all(k not in indices for indices in coded))
        _check_varying(rows, real, labels)
        standard = Standard().fit(rows[:, list(real)]) if real else Standard()
        return cls(tuple(codes), coded, real, standard)

    @property
    def space(self) -> Product:
        """Product of the factors."""
        reals = [Reals(len(self.real))] if self.real else []
        return Product([*(code.space for code in self.codes), *reals])

    def check(self, rows: Tensor, names: Sequence[str]) -> None:
        """Check that rows are points of the space.

        Args:
            rows: Rows ``(N, D)``.
            names: Names of the columns; empty where they have none.

        Raises:
            InvalidInputError: With the column and the first such row.
        """
        labels, table = _labels(rows, names), rows.double()
        for code, indices in zip(self.codes, self.columns, strict=True):
            code.check(table[:, list(indices)], [labels[index] for index in indices])

    def encode(self, rows: Tensor) -> Tensor:
        """Points ``(N, S)`` of rows ``(N, D)``, float64."""
        table = rows.double()
        parts = [
            code.encode(table[:, list(indices)])
            for code, indices in zip(self.codes, self.columns, strict=True)
        ]
        real = [self.standard.encode(table[:, list(self.real)])] if self.real else []
        return torch.cat([*parts, *real], -1)

    def chords(self, rows: Tensor) -> Tensor:
        """Features ``(N, F)`` of rows whose Euclidean distances compare points of the product.

        Near points have the distance of the product metric, and far ones on a compact factor the length of a chord.
        """
        space = self.space
        parts = zip(space.factors, space.parts(self.encode(rows)), strict=True)
        return torch.cat([factor.features(part) / factor.rms_distance for factor, part in parts], -1)

    @property
    def globe(self) -> Callable[[Tensor], Tensor] | None:
        """Map of rows to unit vectors ``(N, 3)`` of the first factor that is a sphere in three dimensions, if any."""
        for code, indices in zip(self.codes, self.columns, strict=True):
            if code.space == Sphere(2):
                return lambda rows: code.encode(rows.double()[:, list(indices)])
        return None

    @property
    def angles(self) -> dict[int, Angle]:
        """Numbers of the columns that are angles, with their codes."""
        pairs = zip(self.columns, self.codes, strict=True)
        return {indices[0]: code for indices, code in pairs if isinstance(code, Angle)}

    def decode(self, points: Tensor) -> Tensor:
        """Rows ``(N, D)`` of points ``(N, S)``, float64."""
        parts = self.space.parts(points.double())
        rows = points.new_empty(
            len(points), sum(map(len, self.columns)) + len(self.real), dtype=torch.float64
        )
        for code, indices, part in zip(self.codes, self.columns, parts, strict=False):
            rows[:, list(indices)] = code.decode(part)
        if self.real:
            rows[:, list(self.real)] = self.standard.decode(parts[-1])
        return rows

    def log_volume(self, rows: Tensor, *, columns: bool) -> Tensor:
        """Log of the volume of the points per unit of the rows, ``(N,)``.

        Args:
            rows: Rows ``(N, D)``.
            columns: Count the coded columns in their own_names units; else in those of their spaces.
        """
        table = rows.double()
        total = (
            self.standard.log_volume(table[:, list(self.real)]) if self.real else table.new_zeros(len(table))
        )
        if not columns:
            return total
        volumes = [
            code.log_volume(table[:, list(indices)])
            for code, indices in zip(self.codes, self.columns, strict=True)
        ]
        return sum((volume for volume in volumes if volume is not None), total)


def _labels(rows: Tensor, names: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns, or their numbers."""
    return tuple(map(str, names)) or tuple(map(str, range(rows.shape[1])))


def _by_columns(setting: SpaceSetting, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Tables by columns: a circle for each column, or one other space for all of them, where one kind was given."""
    if setting is None:
        rule = "space must be set, as all columns would be real numbers"
        raise invalid(
            rule, "None", "For example, pass space={'lat, lon': 'sphere'}; Bridge is for real numbers."
        )
    if isinstance(setting, str):
        keys = labels if setting == "circle" else [", ".join(labels)]
        return {key: {"kind": setting} for key in keys}
    return setting


def _indices(key: str, labels: Sequence[str]) -> list[int]:
    """Numbers of the columns of a key; a name may hold a comma itself."""
    parts = [key] if key in labels else [part.strip() for part in key.split(",")]
    numbers = list(map(str, range(len(labels))))
    for part in parts:
        if part not in labels and part not in numbers:
            rule = "space must name columns of the table, or their numbers from 0"
            raise invalid(rule, repr(part), nearest(part, labels))
    return [(labels if part in labels else numbers).index(part) for part in parts]


def _check_overlap(indices: Sequence[int], labels: Sequence[str]) -> None:
    twice = [labels[index] for index in dict.fromkeys(indices) if indices.count(index) > 1]
    if twice:
        raise invalid("each column must belong to one space", f"{twice[0]!r} twice", "Name it once.")


def _check_varying(rows: Tensor, real: Sequence[int], labels: Sequence[str]) -> None:
    flat = constant_columns(rows[:, list(real)]) if real else torch.zeros(0, dtype=torch.bool)
    if bool(flat.any()):
        name = labels[real[int(flat.nonzero()[0, 0])]]
        raise invalid("real columns must vary", f"{name!r}, the same in all rows", "Drop the column.")
