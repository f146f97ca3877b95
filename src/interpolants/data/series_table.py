"""Tables with a time column from files: stamps on one clock, gaps as NaN."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from interpolants.data.stamps import stamps_of
from interpolants.data.table_files import csv_frame, parquet_frame
from interpolants.foundations.errors import InvalidInputError, invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.unpacking import refusing_content

READS = (".csv", ".tsv", ".parquet")
# Names of a first column of whole numbers that counts steps or years, and is no variable.
_COUNTING = ("t", "time", "step", "index", "hour", "day", "week", "month", "year", "unnamed: 0")
# Parts of names of columns that hold times, and must not be taken for variables when they hold numbers.
TIMELY = ("time", "date", "stamp", "epoch")
# Calendars on which stamps may lie that are not evenly spaced.
_CALENDARS = ("B", "MS", "ME", "QS", "QE", "YS", "YE")


def read_series_table(
    path: str, who: str, *, columns: Sequence[str] | None = None, frequency: str = ""
) -> Any:
    """A DataFrame from a file, with its stamps as a DatetimeIndex, or steps for an index where there are none.

    The first column that holds stamps is the clock; stamps with different offsets from UTC are brought to UTC, and of
    ``13/02/2024`` the whole column tells whether days or months come first. Empty
    cells are gaps, and so are rows that are missing on an otherwise regular clock. Where stamps come again and one
    column holds words, these are names of series (a long table): each becomes a column, with gaps where it has no row.

    Args:
        path: A csv, tsv or parquet file.
        who: Name of the caller, used in error messages.
        columns: Columns to use; all that remain by default.
        frequency: Pandas' word for the clock, if it is known; otherwise the coarsest on which all stamps lie.

    Raises:
        InvalidInputError: If the file cannot be read, a stamp cannot, stamps are out of order, twice, or irregular (the
            row is named), or a column holds words.
        MissingExtraError: If pandas is not installed.
    """
    place = Path(path)
    where = f"{who}: {place.name}"
    table = _named_clock(_read(place, who), where, frequency)
    if (named := _names_of_series(table)) is not None:
        table, columns = _side_by_side(table, named, where, columns), None
    return _numbers(on_a_clock(table, where, frequency), where, columns)


def _read(path: Path, who: str) -> Any:
    require("pandas", by=who)
    if path.suffix.lower() not in READS:
        raise invalid(who, f"a series must be one of {', '.join(READS)}", path.name)
    with refusing_content(who, f"{path} must be a readable table"):
        if path.suffix.lower() == ".parquet":
            found = parquet_frame(who, path)
            numbered = found.index.name is None and found.index.dtype.kind in "iu"
            return found if numbered else found.reset_index()
        # A blank line among values of one column is a gap; at the end of the file it is nothing.
        table = csv_frame(who, path, **_marks(path), skipinitialspace=True, skip_blank_lines=False)
        table = (
            table.copy()
        )  # in one piece for each kind of number: pandas reads every column as one of its own
        return table[: int(table.notna().any(axis=1).to_numpy().nonzero()[0].max(initial=-1)) + 1]


def _marks(path: Path) -> dict[str, str]:
    """What parts cells, and decimals: semicolons and commas where the header is parted by semicolons alone."""
    if path.suffix.lower() == ".tsv":
        return {"sep": "\t"}
    text = path.read_text("utf-8-sig", errors="replace")
    header = text.partition("\n")[0]
    if ";" not in header or "," in header:
        return {"sep": ","}
    return {"sep": ";", "decimal": "," if re.search(r"\d,\d", text) else "."}


def _named_clock(table: Any, where: str, frequency: str = "") -> Any:
    """The table with its clock for an index."""
    if not len(table):
        raise invalid(where, "the table must have at least one row", "none")
    for name, kind in zip(table.columns, table.dtypes, strict=True):
        if (
            getattr(kind, "kind", "O") in "iufb"
        ):  # no stamps; to take thousands of such columns out lasts seconds
            continue
        stamps = stamps_of(table[name], where, partial(_is_on_a_clock, frequency=frequency))
        if stamps is not None:
            return without_row_numbers(table.drop(columns=name)).set_index(stamps)
    first = table.columns[0]
    whole = table[first].dtype.kind in "iu" and table.shape[1] > 1
    if whole and str(first).lower() in _COUNTING:
        return table.set_index(first)
    for name in table.columns:
        if any(word in str(name).lower() for word in TIMELY):
            remedy = "Write them as 2024-03-01 12:00, or rename the column if it is a variable."
            found = f"{table[name].iloc[0]!r} in column {str(name)!r}"
            raise invalid(where, "times must be dates, or whole steps in the first column", found, remedy)
    return table


def without_row_numbers(table: Any) -> Any:
    """Without the row numbers that pandas writes as a first column without a name, which are no variable."""
    first = table.columns[0] if table.shape[1] > 1 else None
    if str(first).lower() not in ("", "unnamed: 0") or table[first].dtype.kind not in "iu":
        return table
    return (
        table.drop(columns=first)
        if table[first].is_monotonic_increasing and table[first].is_unique
        else table
    )


def _is_on_a_clock(index: Any, frequency: str) -> bool:
    """Whether stamps in some order follow each other regularly."""
    pandas = require("pandas", by="read_series_table")
    try:
        on_a_clock(pandas.DataFrame(index=index.unique()), "stamps", frequency)
    except InvalidInputError:
        return False
    return True


def _names_of_series(table: Any) -> Any:
    """The column with the names of series in a long table; None for any other table."""
    words = [name for name, kind in table.dtypes.items() if getattr(kind, "kind", "O") not in "iufbM"]
    return words[0] if len(words) == 1 and table.index.has_duplicates and table.shape[1] > 1 else None


def _side_by_side(table: Any, named: Any, where: str, columns: Sequence[str] | None) -> Any:
    """A long table with a column for each series.

    Raises:
        InvalidInputError: If a series has a time twice, or a column is not there.
    """
    names = table[named].astype(str)
    values = [str(name) for name in table.columns if name != named]
    for name in columns or ():
        if name not in values:
            raise invalid(where, "columns must be columns of the file", repr(name), nearest(name, values))
    rest = [name for name in table.columns if name != named and (columns is None or str(name) in columns)]
    twice = table.set_index(names, append=True).index.duplicated()
    if twice.any():
        row = int(twice.nonzero()[0][0])
        found = f"{table.index[row]} again for {names.iloc[row]!r}, in {_row(row)}"
        raise invalid(where, "every series must have each time once", found)
    parts = table[rest].set_index(names.rename(None), append=True).unstack().sort_index()
    alone = len(rest) == 1
    # As wide tables have them: in the order in which the series come first.
    order = [(value, name) for name in dict.fromkeys(names) for value in rest]
    parts = parts[order]
    parts.columns = [name if alone else f"{name} {value}" for value, name in order]
    return parts


def each_column(table: Any, name: str = "value") -> list[Any]:
    """Every column of a table as a series of its own, all under one name: many series that are learnt together.

    The name of the column stays in ``attrs["series"]``.
    """
    parts = [table[[column]].set_axis([name], axis=1) for column in table.columns]
    for part, column in zip(parts, table.columns, strict=True):
        part.attrs["series"] = str(column)
    return parts


def on_a_clock(table: Any, who: str, frequency: str = "") -> Any:
    """The table with a regular index; rows of NaN where stamps are missing.

    Args:
        table: With a DatetimeIndex, or another index, which is left alone.
        who: Name of the caller, used in error messages.
        frequency: Pandas' word for the clock, if it is known.

    Raises:
        InvalidInputError: If stamps are out of order, twice, or on no clock; the row is named.
    """
    pandas = require("pandas", by=who)
    index = table.index
    if not isinstance(index, pandas.DatetimeIndex):
        return table
    check_order(index, who)
    if len(index) < 2 or (not frequency and len(index) < 3):
        return table
    grids = (grid for grid in _grids(pandas, index, frequency) if index.isin(grid).all())
    grid = min(grids, key=len, default=None)
    if grid is None or len(grid) > 2 * len(index):
        raise irregular(index, who)
    return table.reindex(grid.rename(index.name))


def _grids(pandas: Any, index: Any, frequency: str) -> Any:
    """Clocks from the first to the last stamp."""
    steps = index[1:] - index[:-1]
    words = (frequency,) if frequency else (steps.value_counts().index[0], steps.min(), *_CALENDARS)
    for word in words:
        yield pandas.date_range(index[0], index[-1], freq=word)


def check_order(index: Any, who: str, name: str = "times") -> None:
    """Refuse stamps that do not increase, and name the first.

    Raises:
        InvalidInputError: If a stamp comes twice or too late.
    """
    steps = index[1:] - index[:-1]
    bad = (steps <= steps[:0].sum()).nonzero()[0] if len(steps) else []
    if not len(bad):
        return
    row = int(bad[0]) + 1
    if index[row] in index[:row]:
        remedy = (
            "Times of a place with summer time come twice when its clocks go back: write them with their offset, or "
            "in UTC, e.g. x.tz_localize('Europe/London', ambiguous='infer'). Several series must stand in columns."
        )
        raise invalid(
            who, f"{name} must be strictly increasing", f"{index[row]} twice, again in {_row(row)}", remedy
        )
    found = f"{index[row]} in {_row(row)}, after {index[row - 1]}"
    raise invalid(who, f"{name} must be strictly increasing", found, "Sort the rows, e.g. x.sort_index().")


def irregular(index: Any, who: str, name: str = "times") -> Exception:
    """The error for stamps on no clock: it names the first step that is not like most."""
    steps = index[1:] - index[:-1]
    usual = steps.value_counts().index[0]
    row = int((steps != usual).nonzero()[0][0]) + 1
    found = f"a step of {steps[row - 1]} after {index[row - 1]}, to {_row(row)}, where most are {usual}"
    remedy = (
        "Put missing times in as rows of NaN, e.g. x.asfreq('D'), or bring them onto a clock with resample."
    )
    return invalid(who, f"{name} must follow each other regularly", found, remedy)


def _row(row: int) -> str:
    return f"row {row + 1}"


def _numbers(table: Any, where: str, columns: Sequence[str] | None) -> Any:
    """The columns that were asked for, as float64."""
    known = [str(name) for name in table.columns]
    for name in columns or ():
        if name not in known:
            raise invalid(where, "columns must be columns of the file", repr(name), nearest(name, known))
    table = table if columns is None else table[list(columns)]
    if not table.shape[1]:
        raise invalid(where, "the table must have a column in addition to the times", "none")
    for name, kind in table.dtypes.items():
        if getattr(kind, "kind", "O") not in "iufb":
            remedy = "Leave it out with columns = [...]. Several series in one file must be columns, one row a time."
            raise invalid(where, "columns must be numbers", f"words in {str(name)!r}", remedy)
    return table.astype("float64")
