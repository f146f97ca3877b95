"""Kinds of roles whose items are rows of numbers: ``rows`` of equal length, and ``ragged`` of different lengths."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import as_tensor, is_table
from interpolants.data.coded_columns import coded
from interpolants.data.endless import endless_rows
from interpolants.data.item_sets import ItemSet, item_set
from interpolants.data.mapped import OnDisk, mapped_rows, on_disk
from interpolants.data.picture_sets import Pictures
from interpolants.data.typed_columns import typed
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.tell import AssumptionWarning, tell
from interpolants.framework.far_values import numbers_of
from interpolants.framework.role import Reading, Role

# Rows that stand for a distribution given by its sampler, where a role is read into memory.
DRAWS = 50_000


class Rows:
    """States or features, one per row: a floating tensor ``(N, *D)``."""

    has_rows = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Any, Given]:
        """From any container, or a path; tables bring the columns of the fit, in whatever order."""
        if (found := on_disk(value, reading.who, role.name)) is not None:
            return self._read_file(found, role, reading)
        if role.streams and reading.before is None and reading.source is not None:
            seed = reading.source.initial_seed()
            if (endless := endless_rows(value, reading.who, role.name, seed)) is not None:
                return endless
            if (items := _items(value, role, reading)) is not None and not items.is_small:
                return items.rows()
        if isinstance(value, ItemSet):
            value = value.samples(range(len(value)))
        return self._read_whole(value, role, reading)

    def numbers(self, value: Any) -> Tensor:
        """The rows themselves; some of those that are not in memory."""
        return numbers_of(value)

    def _read_file(self, found: OnDisk, role: Role, reading: Reading) -> tuple[Any, Given]:
        """Rows read on request, if the role allows it and there are many."""
        streams = role.streams and reading.before is None and not role.exact
        lazy = mapped_rows(found, reading.who, role.name) if streams else None
        if lazy is not None:
            return lazy, found.kind
        if reading.before is None and isinstance(found.array, Pictures) and found.array.variation:
            message = f"{reading.who}: {role.name} is read into memory once, and training sees no"
            tell(AssumptionWarning, f"{message} {found.array.variation}")
        rows, given = self._read_whole(np.asarray(found.array), role, reading)
        return rows, replace(found.kind, dtype=given.dtype, flat=given.flat)

    def _read_whole(self, value: Any, role: Role, reading: Reading) -> tuple[Tensor, Given]:
        value = _in_order(value, role, reading)
        if role.typed and (is_table(value) or (reading.before is not None and reading.before.types)):
            return _typed(value, role, reading)
        _warn_of_dates(value, role, reading)
        value, forms = _coded(value, role, reading)
        value = _measured(value)
        wide = _wide(value, role, reading) if role.exact else value
        tensor, given = as_tensor(
            wide,
            reading.who,
            role.name,
            samples=DRAWS if reading.rows is None else reading.rows,
            generator=reading.source,
            dtype=torch.float64 if role.exact else None,
            gaps=role.gaps,
            detach=not reading.attached,
        )
        return tensor, replace(given, forms=forms, container=given.container if wide is value else "list")


def _items(value: Any, role: Role, reading: Reading) -> ItemSet | None:
    return value if isinstance(value, ItemSet) else item_set(value, reading.who, role.name)


def _coded(value: Any, role: Role, reading: Reading) -> tuple[Any, tuple[Any, ...]]:
    """A table with dates and words as numbers, and the forms of its columns; other values are unchanged."""
    before = () if reading.before is None else reading.before.forms
    if not role.words or not hasattr(value, "iloc"):
        if any(before):
            columns = ", ".join(map(str, reading.before.columns)) if reading.before else ""
            rule = f"{role.name} must be a table, as the fit had columns of dates or words ({columns})"
            raise invalid(reading.who, rule, type(value).__name__)
        return value, ()
    forms = before or (None if reading.before is None else ("",) * (value.shape[1] if value.ndim > 1 else 1))
    table, found = coded(value, reading.who, role.name, forms)
    return table, found if any(found) else ()


def _typed(value: Any, role: Role, reading: Reading) -> tuple[Tensor, Given]:
    """A table of any types as numbers with gaps, and its types."""
    types = () if reading.before is None else reading.before.types
    if not is_table(value) or (reading.before is not None and not types):
        expected, received = ("a table", type(value).__name__) if types else ("numbers", "a table")
        raise invalid(reading.who, f"{role.name} must be {expected}, as in the fit", received)
    codes, types = typed(value, reading.who, role.name, types)
    if not codes.size:
        raise invalid(reading.who, f"{role.name} must not be empty", f"shape {codes.shape}")
    container = Given("pandas", np.dtype(np.float64), columns=tuple(value.columns), types=types)
    return torch.from_numpy(codes), replace(container, index=value.index)


def _measured(value: Any) -> Any:
    """Convert rows of integers or booleans in a NumPy array to float64, as in a table; leave anything else unchanged.

    Image levels, in bytes or with axes of pixels, are left for the refusal that tells how to scale them.
    """
    numbers = isinstance(value, np.ndarray) and value.dtype.kind in "iub" and value.ndim in (1, 2)
    return value.astype(np.float64) if numbers and value.dtype != np.uint8 else value


def _wide(value: Any, role: Role, reading: Reading) -> Any:
    """Convert a list of numbers to an array of float64; leave anything else unchanged."""
    if not isinstance(value, list | tuple) or (value and isinstance(value[0], Tensor)):
        return value
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        rule = f"{role.name} must be a regular list of numbers"
        raise invalid(reading.who, rule, str(error), "Make all rows equally long and numeric.") from error


def _warn_of_dates(value: Any, role: Role, reading: Reading) -> None:
    """While fitting: rows are split at random and know no seasons, which is seldom meant for a series."""
    index = getattr(value, "index", None)
    dated = hasattr(index, "freqstr") and hasattr(index, "asi8") and hasattr(index, "year")
    if dated and reading.before is None:
        words = (
            f"{reading.who}: {role.name} has dates for its index, but its rows are taken without their times"
        )
        remedy = "if that is meant, call reset_index(drop=True)"
        tell(AssumptionWarning, f"{words}; {remedy}")


def _in_order(value: Any, role: Role, reading: Reading) -> Any:
    """Table with the known columns, or those of the fit, in their order; a typed table has no others."""
    fitted = () if reading.before is None or reading.before.container != "pandas" else reading.before.columns
    columns = role.columns or tuple(map(str, fitted))
    if not columns or not hasattr(value, "columns"):
        return value
    names = {str(column): column for column in value.columns}
    for column in columns:
        if column not in names:
            rule = f"{role.name} must have the columns {', '.join(columns)}"
            rule += f", as {role.like} has" if role.like else ""
            raise invalid(reading.who, rule, f"none named {column!r}", nearest(column, names))
    _check_no_new(list(names), columns, role, reading)
    return value[[names[column] for column in columns]]


def _check_no_new(names: Sequence[str], columns: Sequence[str], role: Role, reading: Reading) -> None:
    """Check that a typed table has no columns that the fit did not have: they would look as if they were used."""
    if role.typed and (new := [column for column in names if column not in columns]):
        rule = f"{role.name} must have no columns but those of the fit, {', '.join(columns)}"
        raise invalid(reading.who, rule, repr(new[0]), f"Pass {role.name}.drop(columns={new!r}).")


class Ragged:
    """Items of different length: a list with one floating tensor ``(n_i, *D)`` each."""

    has_rows = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[list[Tensor], Given]:
        """From a list or tuple of arrays or tables; all have the same columns."""
        if not isinstance(value, list | tuple) or not value:
            rule = f"{role.name} must be a list with one array per item"
            raise invalid(reading.who, rule, type(value).__name__)
        parts = [Rows().read(part, role, reading) for part in value]
        widths = sorted({tuple(x.shape[1:]) for x, _ in parts})
        if len(widths) > 1:
            raise invalid(reading.who, f"items of {role.name} must have one width", widths)
        return [x for x, _ in parts], parts[0][1]

    def numbers(self, value: Any) -> Tensor:
        """Rows of all items."""
        parts = torch.cat(value)
        return parts[:, None] if parts.ndim == 1 else parts
