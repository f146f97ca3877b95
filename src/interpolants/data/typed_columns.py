"""Columns of a table with their types, as numbers with gaps and back: dtypes, categories, zones and resolutions stay.

Strings and categories become their index among those of the fit, dates and durations an integer number of the coarsest
unit that divides all of them, booleans 0 and 1. NaN stands for every kind of missing value.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, NoReturn

import numpy as np

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require

NUMBER, TRUTH, DATE, SPAN, STRING = "number", "truth", "date", "span", "string"
_SAID = {NUMBER: "numbers", TRUTH: "booleans", DATE: "dates", SPAN: "durations", STRING: "strings"}
_SORTS = {**dict.fromkeys("fiu", NUMBER), "b": TRUTH, "M": DATE, "m": SPAN}
_EXTENSIONS = ("Int", "UInt", "Float", "boolean", "datetime")
# Units of time in nanoseconds, the coarsest first, and those of pandas.
_STEPS = (
    *(86_400_000_000_000, 3_600_000_000_000, 60_000_000_000),
    *(1_000_000_000, 1_000_000, 1_000, 1),
)
_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
# Integers up to here are exact in float64.
_EXACT = 2**53


@dataclass(frozen=True)
class ColumnType:
    """Type of a column, as plain values that a file can store.

    Attributes:
        sort: Number, boolean, date, duration or string.
        dtype: Name of its dtype in pandas, without the time zone.
        categories: Categories, or the strings of the fit sorted.
        ordered: Whether the categories are ordered.
        zone: Time zone of dates.
        step: Nanoseconds of one step of dates and durations.
        none: Whether missing values of an object column are None.
    """

    sort: str
    dtype: str
    categories: tuple[Any, ...] = ()
    ordered: bool = False
    zone: str = ""
    step: int = 0
    none: bool = False

    def parts(self) -> tuple[Any, ...]:
        """Plain values from which it is made again, as a file holds them."""
        return astuple(self)


def typed(
    frame: Any, caller: str, name: str, types: Sequence[tuple[Any, ...]] = ()
) -> tuple[np.ndarray[Any, Any], tuple[tuple[Any, ...], ...]]:
    """A DataFrame as float64 ``(N, D)``, NaN where a cell is missing, and the type of each column as a tuple.

    Args:
        frame: The table.
        caller: Name of the caller, used in error messages.
        name: Name of the argument, used in error messages.
        types: Types of the fit; empty while fitting.

    Raises:
        InvalidInputError: If a column has an unsupported type, mixes types, is infinite or too long for float64, or
            does not fit the types of the fit; the column, the row and a remedy are named.
    """
    if getattr(frame.columns, "nlevels", 1) > 1:
        remedy = "Join them: table.columns = ['_'.join(map(str, names)) for names in table.columns]."
        raise invalid(
            caller, f"columns of {name} must have one level of names", frame.columns.nlevels, remedy
        )
    names = [str(column) for column in frame.columns]
    if repeated := next((label for label in names if names.count(label) > 1), ""):
        raise invalid(caller, f"columns of {name} must have different names", repr(repeated), "Rename them.")
    if types and len(types) != len(names):
        raise invalid(caller, f"{name} must have {len(types)} columns, as in the fit", len(names))
    cells = [
        _Column(frame.iloc[:, i], f"column {label!r} of {name}", caller) for i, label in enumerate(names)
    ]
    kinds = [ColumnType(*parts) for parts in types] or [column.type() for column in cells]
    codes = [column.codes(kind) for column, kind in zip(cells, kinds, strict=True)]
    stacked = np.stack(codes, 1) if codes else np.empty((len(frame), 0))
    return stacked, tuple(kind.parts() for kind in kinds)


def untyped(
    codes: np.ndarray[Any, Any], types: Sequence[tuple[Any, ...]], columns: Sequence[Any], index: Any
) -> Any:
    """DataFrame with the columns and dtypes of the fit: inverse of :func:`typed`."""
    pandas = require("pandas", by="restore")
    series = [_restored(codes[:, i], ColumnType(*parts), index) for i, parts in enumerate(types)]
    frame = pandas.concat(series, axis=1)
    frame.columns = pandas.Index(list(columns))
    return frame


class _Column:
    """One column of a table that is read."""

    def __init__(self, values: Any, label: str, caller: str) -> None:
        self.values, self.label, self.caller = values, label, caller
        self.missing = values.isna().to_numpy()
        self.sort = self._sort()

    def refuse(self, rule: str, value: object, remedy: str) -> NoReturn:
        raise invalid(self.caller, f"{self.label} must {rule}", value, remedy)

    def _sort(self) -> str:
        dtype = self.values.dtype
        if str(dtype) == "category":
            return STRING
        # Periods, intervals and sparse columns are extension types that also have a kind.
        native = isinstance(dtype, np.dtype) or str(dtype).split("[")[0].rstrip("0123456789") in _EXTENSIONS
        sort: str = _SORTS.get(getattr(dtype, "kind", "O"), "")
        strings = str(dtype) in ("object", "str") or str(dtype).startswith("string")
        if not strings and not (native and sort):
            remedy = "Convert it, e.g. table[column].astype('float64') or .astype(str)."
            self.refuse("contain numbers, strings, booleans, dates or durations", f"type {dtype}", remedy)
        return self._sort_of_objects() if strings else sort

    def _sort_of_objects(self) -> str:
        cells = self.values[~self.missing]
        kinds = [str if isinstance(cell, str) else type(cell) for cell in cells]
        for row, cell, kind in zip(np.flatnonzero(~self.missing), cells, kinds, strict=True):
            if kind not in (bool, str):
                remedy = "Convert it: pandas.to_numeric, pandas.to_datetime or table[column].astype(str)."
                self.refuse("contain strings", f"{cell!r} ({kind.__name__}) in row {row}", remedy)
            if kind is not kinds[0]:
                remedy = "Convert it to a single type, e.g. table[column].astype(str)."
                value = f"{cell!r} ({kind.__name__}) in row {row} after {kinds[0].__name__}"
                self.refuse("contain values of a single type", value, remedy)
        return STRING

    def type(self) -> ColumnType:
        """Type of the column of a fit."""
        dtype, sort = self.values.dtype, self.sort
        if str(dtype) == "category":
            return ColumnType(STRING, "category", self._categories(), bool(dtype.ordered))
        if sort == STRING:
            none = str(dtype) == "object" and any(cell is None for cell in self.values[self.missing])
            return ColumnType(STRING, str(dtype), tuple(sorted(set(self.values[~self.missing]))), none=none)
        if sort in (DATE, SPAN):
            zone, step = getattr(dtype, "tz", None), self._step()
            bare = str(dtype) if zone is None else f"datetime64[{dtype.unit}]"
            return ColumnType(sort, bare, zone="" if zone is None else str(zone), step=step)
        return ColumnType(sort, str(dtype))

    def _categories(self) -> tuple[Any, ...]:
        categories = [c.item() if isinstance(c, np.generic) else c for c in self.values.dtype.categories]
        for category in categories:
            if not isinstance(category, str | bool | int | float):
                value = f"{category!r} ({type(category).__name__})"
                remedy = "Rename them: .cat.rename_categories(str)."
                self.refuse("have categories of strings or numbers", value, remedy)
        return tuple(categories)

    def _ticks(self) -> tuple[np.ndarray[Any, Any], int]:
        """Dates in UTC or durations as integers in the unit of the column, and the nanoseconds of that unit."""
        times = self.values
        if getattr(times.dtype, "tz", None) is not None:
            times = times.dt.tz_convert("UTC").dt.tz_localize(None)
        array = times.to_numpy()
        return array.view(np.int64), _NS[np.datetime_data(array.dtype)[0]]

    def _step(self) -> int:
        ticks, unit = self._ticks()
        present = ticks[~self.missing]
        step = next(s for s in _STEPS if s % unit == 0 and (s == unit or not (present % (s // unit)).any()))
        far = np.abs(present // (step // unit)) >= _EXACT
        if far.any():
            row = int(np.flatnonzero(~self.missing)[far.argmax()])
            remedy = "Round it: table[column].dt.floor('us')."
            value = f"{self.values.iloc[row]} in row {row}"
            self.refuse("be no finer than microseconds since 1970", value, remedy)
        return step

    def codes(self, kind: ColumnType) -> np.ndarray[Any, Any]:
        """Numbers of the column, NaN where missing."""
        if self.missing.all():  # whatever its type
            return np.full(len(self.missing), np.nan)
        numeric = (NUMBER, TRUTH)
        numbered = kind.sort == STRING and not any(isinstance(category, str) for category in kind.categories)
        if self.sort != kind.sort and not (self.sort in numeric and (kind.sort in numeric or numbered)):
            remedy = "Convert it as for fit."
            self.refuse(f"contain {_SAID[kind.sort]}, as in the fit", _SAID[self.sort], remedy)
        if kind.sort == STRING:
            return self._indices(kind.categories)
        if kind.sort in (DATE, SPAN):
            ticks, unit = self._ticks()
            return np.where(self.missing, np.nan, ticks / (kind.step / unit))
        return self._numbers()

    def _numbers(self) -> np.ndarray[Any, Any]:
        numbers: np.ndarray[Any, Any] = self.values.to_numpy(dtype=np.float64, na_value=np.nan)
        infinite = np.isinf(numbers)
        if infinite.any():
            row = int(infinite.argmax())
            value = f"{numbers[row]} in row {row}"
            self.refuse("be finite", value, "Drop the row, or make the cell missing.")
        if self.values.dtype.kind in "iu" and (far := np.abs(numbers) >= _EXACT).any():
            row = int(far.argmax())
            value = f"{self.values.iloc[row]} in row {row}"
            self.refuse("contain integers below 2^53", value, "Drop it if it is an identifier.")
        return numbers

    def _indices(self, categories: tuple[Any, ...]) -> np.ndarray[Any, Any]:
        index = {category: float(k) for k, category in enumerate(categories)}
        cells = self.values.to_numpy(dtype=object)
        for row in np.flatnonzero(~self.missing):
            if cells[row] not in index:
                remedy = nearest(str(cells[row]), map(str, categories))
                self.refuse("contain values of the fit", f"{cells[row]!r} in row {row}", remedy)
        pairs = zip(cells, self.missing, strict=True)
        return np.array([np.nan if missing else index[cell] for cell, missing in pairs])


def _restored(codes: np.ndarray[Any, Any], column: ColumnType, index: Any) -> Any:
    pandas = require("pandas", by="restore")
    if column.sort in (DATE, SPAN):
        return _times(codes, column, index)
    if column.dtype[0] in "fF":
        return pandas.Series(codes, index=index).astype(column.dtype)
    missing = np.isnan(codes)
    integers = np.where(missing, 0, np.round(codes)).astype(np.int64)
    if column.sort == STRING:
        return _strings(np.where(missing, -1, integers), column, index)
    restored = pandas.Series(pandas.arrays.IntegerArray(integers, missing), index=index)
    # NumPy integers and booleans have no missing values: answers that have some are nullable.
    return restored.astype(_nullable(column.dtype) if missing.any() else column.dtype)


def _nullable(dtype: str) -> str:
    """Name of the nullable type of integers or booleans."""
    return "boolean" if dtype.startswith("bool") else dtype.replace("uint", "UInt").replace("int", "Int")


def _strings(indices: np.ndarray[Any, Any], column: ColumnType, index: Any) -> Any:
    pandas = require("pandas", by="restore")
    if column.dtype == "category":
        dtype = pandas.CategoricalDtype(list(column.categories), ordered=column.ordered)
        return pandas.Series(pandas.Categorical.from_codes(indices, dtype=dtype), index=index)
    absent = None if column.none else np.nan
    cells = [absent if k < 0 else column.categories[k] for k in indices]
    return pandas.Series(cells, index=index, dtype=object).astype(column.dtype)


def _times(codes: np.ndarray[Any, Any], column: ColumnType, index: Any) -> Any:
    pandas = require("pandas", by="restore")
    missing, unit = np.isnan(codes), column.dtype.partition("[")[2].rstrip("]")
    array = np.round(np.where(missing, 0, codes) * (column.step / _NS[unit])).astype(np.int64)
    array = array.view(column.dtype)
    array[missing] = np.array("NaT", dtype=column.dtype)
    times = pandas.Series(array, index=index)
    return times.dt.tz_localize("UTC").dt.tz_convert(column.zone) if column.zone else times
