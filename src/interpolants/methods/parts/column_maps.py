"""Transforms of columns as a setting: chosen by name, and fitted to the columns of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from interpolants.data.column_transforms import ColumnMap, ColumnTransform
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.registry import names
from interpolants.foundations.row_access import MANY, Rows, taken
from interpolants.framework.frames import constant_columns
from interpolants.framework.transformed import Transformed
from interpolants.methods.parts.choices import member

Chosen = ColumnTransform | dict[str, ColumnTransform] | None
KIND = "column_transform"


def choose_transform(who: str, transform: Any) -> Chosen:
    """One transform for all columns, or one for each of some.

    Args:
        who: Name of the caller, used in error messages.
        transform: None; an id, a table ``{"kind": id, **settings}`` or a ``ColumnTransform`` for all columns; or one of
            these for each of some columns, in a mapping by name, or by number ``"0"``, ``"1"``, ...

    Raises:
        InvalidInputError: If a name or a setting is unknown; the nearest is named.
    """
    if transform is None:
        return None
    if isinstance(transform, Mapping) and "kind" not in transform:
        for name in transform:
            if not isinstance(name, str):
                remedy = f"Write {str(name)!r}: numbers of columns are strings too."
                raise invalid(who, "transform must name columns by strings", repr(name), remedy)
        return {name: _one(who, value) for name, value in transform.items()}
    return _one(who, transform)


def _one(who: str, what: Any) -> ColumnTransform:
    if isinstance(what, str) and what not in names(KIND):
        rule = f"transform must be one of {', '.join(names(KIND))}, or a mapping of columns to these"
        raise invalid(who, rule, repr(what), nearest(what, names(KIND)))
    found = what if isinstance(what, ColumnTransform) else member(who, KIND, what)
    assert isinstance(found, ColumnTransform)
    return found


def bent_columns(who: str, name: str, chosen: Chosen, x: Rows, columns: Sequence[str]) -> Transformed | None:
    """A frame with a map for each column of a table that is to have one; constant columns have none.

    Args:
        who: Name of the caller, used in error messages.
        name: Name of the rows.
        chosen: As :func:`choose_transform` gives it.
        x: Rows ``(N, D)``; of many, every so many-th is looked at.
        columns: Names of the columns; empty where they have none.

    Returns:
        The frame, whose inner units are not fitted yet; None where nothing was chosen.

    Raises:
        InvalidInputError: If there is no such column, or a column has values that its transform does not take.
    """
    if chosen is None:
        return None
    if x.ndim != 2:
        rule = f"transform is for columns of a table (N, D), which {name} must be"
        raise invalid(who, rule, f"shape {tuple(x.shape)}", "Leave transform out.")
    wanted = by_position(who, chosen, x.shape[1], columns)
    some = x[:] if len(x) <= MANY else taken(x, torch.arange(0, len(x), -(-len(x) // MANY)))[:]
    flat = constant_columns(x)
    told = [str(columns[k]) if columns else str(k) for k in range(x.shape[1])]
    maps: list[ColumnMap | None] = [None] * x.shape[1]
    for k, transform in wanted.items():
        if not bool(flat[k]):
            maps[k] = transform.fit(some[:, k], f"{who}: column {told[k]} of {name}")
    return Transformed(tuple(maps), names=tuple(columns))


def by_number(who: str, chosen: Chosen, columns: Sequence[str]) -> Chosen:
    """The same choice for rows whose columns have no names."""
    if not isinstance(chosen, dict) or not columns:
        return chosen
    return {str(k): one for k, one in by_position(who, chosen, len(columns), columns).items()}


def by_position(who: str, chosen: Chosen, width: int, columns: Sequence[str]) -> dict[int, ColumnTransform]:
    """Transforms by the number of the column.

    Raises:
        InvalidInputError: If a column is unknown; the nearest is named.
    """
    if not isinstance(chosen, dict):
        return {} if chosen is None else dict.fromkeys(range(width), chosen)
    known = list(map(str, columns)) or list(map(str, range(width)))
    for name in chosen:
        if name not in known:
            raise invalid(who, "transform must name columns that there are", repr(name), nearest(name, known))
    return {known.index(name): one for name, one in chosen.items()}
