"""Rows of text that come one at a time, fed to a session of a model, and what it says of each."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from interpolants.foundations.errors import invalid

_MISSING = ("", "na", "null")  # besides every spelling of nan
_WHO = "follow"


class LiveStep(Protocol):
    """What a session says of one row: ``C`` columns, ``S`` steps ahead."""

    @property
    def expected(self) -> Tensor:
        """The row as it was predicted, ``(C,)``."""
        ...

    @property
    def surprise(self) -> float:
        """Minus the log probability of the row under the prediction, in nats."""
        ...

    @property
    def ahead(self) -> Tensor:
        """Predictions of the next rows, ``(S, C)``."""
        ...


class LiveSession(Protocol):
    """A series as it comes, such as ``PVRNN().follow()``."""

    def feed(self, frame: Any) -> LiveStep:
        """Process the next row: values, or a mapping from names to values; NaN for missing values."""
        ...


@dataclass(frozen=True)
class LiveRow:
    """What a model says of one row.

    Attributes:
        step: Number of the row, from 1.
        names: Names of the C columns.
        told: What the session said.
    """

    step: int
    names: tuple[str, ...]
    told: LiveStep

    def fields(self) -> dict[str, float]:
        """Numbers by name: ``step``, ``surprise``, ``expected_a``, ..., ``ahead1_a``, ..."""
        expected = zip(self.names, self.told.expected.tolist(), strict=True)
        found = {"step": self.step, "surprise": self.told.surprise}
        found |= {f"expected_{name}": value for name, value in expected}
        for k, values in enumerate(self.told.ahead.tolist(), 1):
            found |= {f"ahead{k}_{name}": value for name, value in zip(self.names, values, strict=True)}
        return found


def follow_lines(session: LiveSession, lines: Iterable[str], known: Sequence[str] = ()) -> Iterator[LiveRow]:
    """Feed lines of a CSV to a session as they come.

    The first line may hold names; then columns are found by them, and columns that the model does not know, such as
    times, are left out. An empty cell, ``nan``, ``NA`` or ``null`` was not seen; an empty line is no row.

    Args:
        session: Takes the rows.
        lines: Lines of text, such as an open file or ``sys.stdin``.
        known: Names of the columns that the model was fitted on, where they are known.

    Raises:
        InvalidInputError: If a line is no row of numbers, has another number of cells, or lacks a column; the rows
            before it have been told.
    """
    names: tuple[str, ...] | None = None
    step = 0
    reader = csv.reader(lines)
    for cells in _read(reader):
        if names is None:
            cells[0] = cells[0].removeprefix("\ufeff")  # the mark with which some programs begin a file
            names = _header(cells, known)
            if names:
                continue
        if names and len(cells) != len(names):
            raise invalid(_WHO, f"line {reader.line_num} must have {len(names)} cells", len(cells))
        frame = _frame(cells, names, known, reader.line_num)
        step += 1
        told = session.feed(frame)
        width = len(told.expected)
        given = tuple(frame) if isinstance(frame, Mapping) else tuple(known)
        yield LiveRow(step, given if len(given) == width else tuple(f"y{k}" for k in range(width)), told)


def _read(reader: Any) -> Iterator[list[str]]:
    """The rows that are not empty."""
    try:
        yield from filter(None, reader)
    except (csv.Error, UnicodeDecodeError) as error:
        remedy = "It must be a CSV in UTF-8."
        raise invalid(_WHO, f"line {reader.line_num + 1} must be text", str(error), remedy) from error


def _header(cells: list[str], known: Sequence[str]) -> tuple[str, ...]:
    """The names in a first line; none if it is a row of numbers."""
    numbers, names = [_number(cell) for cell in cells], tuple(cell.strip() for cell in cells)
    if known and set(known) <= set(names) and len(set(names)) == len(names):
        return names  # also where names are numbers, as pandas gives them to an array
    if all(number is not None for number in numbers):
        return ()
    rule = "the first line must be numbers alone, or names of columns that come once"
    if len(set(names)) < len(names) or any(number is not None for number in numbers):
        raise invalid(_WHO, rule, ",".join(cells), "Give columns names, or leave out what is no number.")
    if len(known) > 1 and (missing := [name for name in known if name not in names]):
        raise invalid(_WHO, f"the first line must name {', '.join(known)}", f"no {missing[0]!r}")
    return names


def _frame(
    cells: list[str], names: tuple[str, ...] | None, known: Sequence[str], line: int
) -> dict[str, float] | list[float]:
    """A row as numbers, by name where the names are known."""
    if not names:
        return [_value(cell, line) for cell in cells]
    wanted = [name for name in known if name in names] or list(names)
    cell_of = dict(zip(names, cells, strict=True))
    return {name: _value(cell_of[name], line) for name in wanted}


def _value(cell: str, line: int) -> float:
    found = _number(cell)
    if found is None:
        raise invalid(
            _WHO, f"line {line} must be numbers", repr(cell), "Leave a cell empty where nothing was seen."
        )
    return found


def _number(cell: str) -> float | None:
    """A cell as a number, NaN where it is missing; None for other text."""
    text = cell.strip()
    if text.lower() in _MISSING:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return None
