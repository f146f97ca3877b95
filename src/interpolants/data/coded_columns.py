"""Columns of a table that are dates or words, as numbers.

A column of dates becomes days since the beginning of 1970 (in UTC if it has a zone), a column of words the position
of each word in the sorted list of the words of the fit. What each column was is its *form*, which later tables must
share.
"""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from interpolants.data.files import cells
from interpolants.data.table_files import csv_frame, parquet_frame
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.unpacking import refusing_content

# A number (empty), a date ("days"), or the words of the fit in their order.
Form = str | tuple[str, ...]
NUMBER, DAYS = "", "days"
# Endings of the files that hold tables.
TABLES = (".csv", ".tsv", ".parquet")


def coded(
    table: Any, who: str, name: str, forms: tuple[Form, ...] | None = None
) -> tuple[Any, tuple[Form, ...]]:
    """A DataFrame of numbers from one with dates and words, and the form of each column.

    Args:
        table: A DataFrame, or a Series as one column.
        who: Name of the caller, used in error messages.
        name: Name of the argument, used in error messages.
        forms: Forms of the fit; None while fitting.

    Raises:
        InvalidInputError: If a column has another form than in the fit, holds a word that the fit did not know, or has
            gaps.
    """
    pandas = require("pandas", by=who)
    frame = table.to_frame() if isinstance(table, pandas.Series) else table
    wanted = [None] * frame.shape[1] if not forms else list(forms)
    if len(wanted) != frame.shape[1]:
        raise invalid(who, f"{name} must have {len(wanted)} columns, as in the fit", frame.shape[1])
    done = [
        _column(frame.iloc[:, i], f"column {str(frame.columns[i])!r} of {name}", who, form)
        for i, form in enumerate(wanted)
    ]
    columns = {i: numbers for i, (numbers, _) in enumerate(done)}
    made = pandas.DataFrame(columns, index=frame.index)
    made.columns = frame.columns
    return made, tuple(form for _, form in done)


def _column(column: Any, told: str, who: str, form: Form | None) -> tuple[Any, Form]:
    kind = getattr(column.dtype, "kind", "O")
    here = NUMBER if kind in "fiub" else DAYS if kind == "M" else "words"
    there = here if form is None else "words" if isinstance(form, tuple) else form
    if here != there:
        said = {NUMBER: "numbers", DAYS: "dates", "words": "words"}
        raise invalid(who, f"{told} must contain {said[there]}, as in the fit", said[here])
    if here != NUMBER and bool(column.isna().any()):
        raise invalid(
            who, f"{told} must have no gaps", f"{int(column.isna().sum())} of {len(column)} missing"
        )
    if here == NUMBER:
        return column, NUMBER
    return _days(column) if here == DAYS else _codes(column.astype(str), told, who, form)


def _days(column: Any) -> tuple[Any, Form]:
    pandas = require("pandas", by="dates")
    if getattr(column.dt, "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return (column - pandas.Timestamp("1970-01-01")) / pandas.Timedelta(days=1), DAYS


def _codes(words: Any, told: str, who: str, form: Form | None) -> tuple[Any, Form]:
    known = tuple(sorted(set(words))) if form is None else tuple(form)
    place = {word: float(i) for i, word in enumerate(known)}
    for word in words:
        if word not in place:
            raise invalid(who, f"{told} must contain words of the fit", repr(word), nearest(word, known))
    return np.array([place[word] for word in words]), known


def read_coded(path: Any, who: str) -> Any:
    """A DataFrame from a CSV, TSV or Parquet file, float64; columns of text that are all dates become dates.

    A text file whose first line holds a number has no names; its columns are numbered then.

    Raises:
        InvalidInputError: If the file cannot be read as a table.
    """
    pandas = require("pandas", by=f"{who} for tables with dates or words")
    with refusing_content(who, f"{path} must be a table"):
        table = parquet_frame(who, path) if str(path).endswith(".parquet") else _text_table(path, who)
    for column in table.columns:
        if getattr(table[column].dtype, "kind", "O") not in "fiubM":
            dates = pandas.to_datetime(table[column], errors="coerce", format="ISO8601")
            missing = table[column].isna()
            table[column] = dates if dates.isna().equals(missing) and not missing.all() else table[column]
    return table


def _text_table(path: Any, who: str) -> Any:
    with open(path, encoding="utf-8-sig") as file:
        first = file.readline()
    mark = max("\t;,", key=first.count)
    named = not any(_is_number(cell) for cell in first.strip().split(mark))
    how = {"sep": mark, "header": 0 if named else None, "comment": "#", "skipinitialspace": True}
    table = csv_frame(who, path, **how) if mark in first else _one_column(path, who, how)
    if str(table.columns[0]).startswith("Unnamed: 0"):  # row numbers, as pandas writes them
        table = table.iloc[:, 1:]
    return table.copy()


def _one_column(path: Any, caller: str, how: dict[str, Any]) -> Any:
    """A column of which blank lines are missing values, which pandas would skip."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=how["sep"], lineterminator="\n")
    writer.writerows(cells(Path(path).read_text("utf-8-sig"), how["sep"], f"{caller}: {path}")[1])
    text.seek(0)
    return require("pandas", by=caller).read_csv(text, **how)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def label_words(path: Any, known: Sequence[Any] = ()) -> list[str | None]:
    """Words of a text file with one column of them, None for an empty cell; nothing of any other file.

    The first line is a header, unless it is one of the words that are known.

    Args:
        path: A CSV, TSV or Parquet file.
        known: Words that are labels.
    """
    if str(path).endswith(".parquet") or not os.path.isfile(path):
        return []
    rule = f"{path} must be a text file with one word a line"
    with refusing_content("labels", rule), open(path, encoding="utf-8-sig", newline="") as file:
        cells = list(csv.reader(file))
    if any(len(row) > 1 for row in cells):
        return []
    rows = [row[0].strip() if row else "" for row in cells]
    while rows and not rows[-1]:
        rows.pop()
    words = rows if rows and rows[0] in map(str, known) else rows[1:]
    if not any(words) or all(_is_number(word) for word in words if word):
        return []
    return [word or None for word in words]
