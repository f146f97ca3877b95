"""Columns of words as times: ISO dates and others, days or months first as the whole column tells."""

import re
from collections.abc import Callable
from typing import Any

from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require

# A date whose year comes last: its first two numbers are a day and a month, in the order of the writer's country.
_YEAR_LAST = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})\b")
_MONTHS = 12


def stamps_of(column: Any, where: str, is_regular: Callable[[Any], bool]) -> Any:
    """A DatetimeIndex of a column of stamps; None if its first cell is none.

    Of dates such as ``13/02/2024`` the whole column tells whether days come first: a number above 12 is no month, with
    points days come first, and otherwise the order counts in which the stamps follow each other regularly.

    Args:
        column: A column of a table.
        where: Name of the caller, used in error messages.
        is_regular: Whether stamps follow each other regularly.

    Raises:
        InvalidInputError: If a later cell is no stamp, only some have an offset from UTC, or days cannot be told from
            months.
    """
    pandas = require("pandas", by=where)
    if column.dtype.kind == "M" or hasattr(column.dtype, "tz"):
        return pandas.DatetimeIndex(column, name=column.name)
    if column.dtype.kind in "iufb" or _as_stamp(pandas, column.iloc[0]) is None:
        return None
    found = _parsed(pandas, column, where, is_regular)
    for row, stamp in enumerate(found):
        if stamp is None:
            rule, cell = f"every {column.name} must be a time", f"{column.iloc[row]!r} in row {row + 1}"
            raise invalid(where, rule, cell)
    zones = {stamp.utcoffset() for stamp in found}
    if None in zones and len(zones) > 1:
        raise invalid(where, f"all or none of {column.name} must have an offset from UTC", "some")
    index = pandas.to_datetime(found, utc=True) if len(zones) > 1 else pandas.DatetimeIndex(found)
    return index.rename(column.name)


def _parsed(pandas: Any, column: Any, where: str, is_regular: Callable[[Any], bool]) -> list[Any]:
    """Stamps of all cells, None for what is none."""
    parts = [_YEAR_LAST.match(str(cell)) for cell in column]
    told = [part for part in parts if part is not None]
    if not told:
        return [_as_stamp(pandas, cell) for cell in column]
    days = {order: [int(part[1 if order else 3]) > _MONTHS for part in told] for order in (True, False)}
    if any(days[True]) and any(days[False]):
        rows = [str(column.iloc[days[order].index(True)]).strip() for order in (True, False)]
        raise invalid(where, f"dates in {column.name} must be written in one way", " and ".join(rows))
    if any(days[True]) or any(days[False]):
        return [_as_stamp(pandas, cell, day_first=any(days[True])) for cell in column]
    if all(part[2] == "." for part in told):
        return [_as_stamp(pandas, cell, day_first=True) for cell in column]
    both = [[_as_stamp(pandas, cell, day_first=order) for cell in column] for order in (True, False)]
    regular = [one for one in both if None not in one and is_regular(pandas.DatetimeIndex(one))]
    if both[0] != both[1] and len(regular) != 1:
        row = next(k for k, (a, b) in enumerate(zip(*both, strict=True)) if a != b)
        names = " or ".join(f"{one[row].day} {one[row].month_name()}" for one in both)
        found = f"{str(column.iloc[row]).strip()!r} in row {row + 1}, which may be {names}"
        remedy = "Write them with the year first, 2024-02-01."
        raise invalid(
            where, f"dates in {column.name} must have an unambiguous order of day and month", found, remedy
        )
    return regular[0] if regular else both[0]


def _as_stamp(pandas: Any, cell: Any, *, day_first: bool = False) -> Any:
    """A Timestamp, or None; plain numbers are none."""
    text = str(cell).strip()
    if (
        len(text) < 6
        or not any(mark in text for mark in "-/:.")
        or text.replace(".", "", 1).lstrip("-").isdigit()
    ):
        return None
    part = _YEAR_LAST.match(text)
    try:
        if part is not None and day_first:  # the months first, as pandas reads it
            text = f"{part[3]}/{part[1]}/{part[4]}{text[part.end() :]}"
        stamp = pandas.Timestamp(text)
    except (ValueError, TypeError):
        return None
    return None if stamp is pandas.NaT else stamp
