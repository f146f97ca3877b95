"""Row labels of tables whose rows are matched by position."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from interpolants.foundations.errors import invalid

# In the attributes of tables whose labels were accepted as a whole, and of all that is cut from them.
_MATCHED = "interpolants: rows matched by position"


def row_labels_of(name: str, value: Any) -> dict[str, Any]:
    """Row labels, as an index of pandas, of a table or of the tables and columns in a mapping, by name.

    Args:
        name: Name of the role.
        value: Its value; a DataFrame, a Series, an xarray object with coordinates along its first axis, or a mapping.
    """
    parts = (
        {f"{name}[{key!r}]": part for key, part in value.items()}
        if isinstance(value, Mapping) and not hasattr(value, "dims")
        else {name: value}
    )
    found = {key: _index_of(part) for key, part in parts.items()}
    return {key: index for key, index in found.items() if index is not None}


def _index_of(value: Any) -> Any:
    if getattr(value, "attrs", {}).get(_MATCHED):
        return None
    if hasattr(value, "iloc"):
        return value.index
    dims: Any = getattr(value, "dims", ())
    # A Dataset has a mapping of axes, and is matched by its coordinates by the kinds of role that take one.
    named = isinstance(dims, tuple) and dims and hasattr(value, "indexes")
    return value.indexes.get(dims[0]) if named else None


def check_row_labels(name: str, index: Any, other: str, its_index: Any, who: str) -> None:
    """Raise an error for unique row labels that overlap and differ, unless they differ by one constant shift.

    Labels without an overlap, such as those of a new table, and labels that repeat name no rows of the other table.

    Args:
        name: Name of a table.
        index: Its row labels.
        other: Name of a second table of as many rows.
        its_index: The row labels of the second table.
        who: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If the same labels come in another order, or only a part of the labels is shared.
    """
    if len(index) != len(its_index) or index.equals(its_index):
        return
    if not (index.is_unique and its_index.is_unique):
        return
    shared = int(index.isin(its_index).sum())
    if shared == len(index):
        rule = f"rows of {other} must be in the order of those of {name}"
        raise invalid(
            who,
            rule,
            "the same index in another order",
            f"Bring them to one order: {other}.loc[{name}.index].",
        )
    if shared and not is_shift(index, its_index):
        moved = int((np.asarray(index) != np.asarray(its_index)).sum())
        rule = f"rows of {name} and {other} are matched by position and must have the same row labels"
        got = f"{moved} of {len(index)} rows with different labels, and {shared} labels that both have"
        remedy = (
            f"Keep the rows of both: rows = {name}.index.intersection({other}.index), then {name}.loc[rows] and"
            f" {other}.loc[rows]. If positions are right, call reset_index(drop=True) on both."
        )
        raise invalid(who, rule, got, remedy)


def is_shift(index: Any, its_index: Any) -> bool:
    """Return True if labels differ by one constant, or are those of one table from different first rows.

    Examples are the labels of ``table[:-1]`` and ``table[1:]``.
    """
    return _is_constant(index, its_index) or _goes_on(index, its_index) or _goes_on(its_index, index)


def _is_constant(index: Any, its_index: Any) -> bool:
    """Whether numbers or dates differ by one constant."""
    kinds = {getattr(one.dtype, "kind", "O") for one in (index, its_index)}
    if not (kinds <= set("iuf") or kinds == {"M"}):
        return False
    apart = np.asarray(its_index) - np.asarray(index)
    return bool((apart == apart[0]).all())


def _goes_on(index: Any, its_index: Any) -> bool:
    """Whether the second labels are the tail of the first, followed by others."""
    first = index.get_indexer(its_index[:1])[0]
    return first > 0 and bool(index[first:].equals(its_index[: len(index) - first]))


def mark_matched(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values whose tables are known as matched by position, so that random parts of them are not checked again.

    A shift of labels that are words or months is not recognised in a random part of the rows.

    Args:
        values: Values by role, whose row labels were accepted.
    """
    return {name: _marked(value) for name, value in values.items()}


def are_shifted(tables: Mapping[str, Any]) -> bool:
    """Return True if two of the row labels by name share labels, but not row by row.

    Args:
        tables: Row labels by name, which :func:`check_row_labels` accepts.
    """
    return any(
        len(a) == len(b) and not a.equals(b) and bool(a.isin(b).any())
        for a, b in combinations(tables.values(), 2)
    )


def _marked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _marked(part) for key, part in value.items()}
    if not hasattr(value, "attrs") or not hasattr(value, "copy"):
        return value
    shallow = value.copy(deep=False)
    shallow.attrs = {**value.attrs, _MATCHED: True}
    return shallow
