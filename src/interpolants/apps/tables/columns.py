"""Levels and normal scores of the columns of a table.

A cell has a *level*, a *score*, or both. Levels are categories, the values of a discrete column, atoms (a number that
rows share), "number" for the other values, and "missing". The score of a number with ranks ``F(x-)`` to ``F(x)``
among the numbers of its column is ``z = Phi^-1(F(x-) + V (F(x) - F(x-)))`` with V uniform: N(0, 1) even with ties,
and ``x = F^-1(Phi(z))`` is the value. V is redrawn at every use. Cells that are not numbers have ranks 0 to 1, so that
their score is independent noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from interpolants.data import typed_columns
from interpolants.data.typed_columns import ColumnType
from interpolants.foundations.errors import invalid
from interpolants.foundations.tell import DataWarning, tell

# Numbers with at most FEW values are levels. An atom has at least this fraction of the rows, and this multiple of the
# median count of a value: 18 miles a gallon, which 17 of 392 cars have, is not an atom.
FEW, _ATOM, _TIMES = 12, 0.1, 5
# Most levels of a column, and rows from which words that are mostly different are identifiers.
MOST, _IDENTIFIERS = 200, 20
# A number is interpolated between its values where at least this share of them differ.
_DIFFERENT = 0.9
_DAY = 86_400_000_000_000
# Periods of dates that the network sees, in days, and the span from which it does, in periods.
_YEAR, _WEEK, _SPANS = 365.2425, 7.0, 2.0
# Ranks are kept off 0 and 1, where scores are infinite.
_EDGE = 1e-9

Sort = Literal["number", "category"]


@dataclass(frozen=True)
class ColumnCode:
    """Code of a column.

    Attributes:
        name: Its name.
        levels: Values that are levels, increasing, ``(k,)`` float64.
        values: Distinct values of its numbers, increasing, ``(m,)`` float64; empty for a column of levels only.
        upper: Share of numbers up to each of these values, ``(m,)``.
        smooth: Whether numbers are interpolated between these values.
        missing_cells: Whether it has missing cells.
        ordered: Whether the order of its levels means something.
        periods: Periods of the dates, in units of the values.
    """

    name: str
    levels: Tensor
    values: Tensor
    upper: Tensor
    smooth: bool
    missing_cells: bool
    ordered: bool
    periods: tuple[float, ...] = ()

    @property
    def has_numbers(self) -> bool:
        """Whether some cells are numbers with a score."""
        return len(self.values) > 0

    @property
    def size(self) -> int:
        """Number of levels, "number" and "missing" included; 0 where all cells are numbers."""
        size = len(self.levels) + self.has_numbers + self.missing_cells
        return 0 if size == 1 and self.has_numbers else size

    @property
    def number(self) -> int:
        """Index of the level "number"; -1 without such a level."""
        return len(self.levels) if self.has_numbers and self.size else -1

    @property
    def missing(self) -> int:
        """Index of the level "missing"; -1 without such a level."""
        return self.size - 1 if self.missing_cells else -1

    @property
    def atoms(self) -> bool:
        """Whether it has both numbers and values that are levels."""
        return self.has_numbers and len(self.levels) > 0

    def middles(self) -> Tensor:
        """Middle rank of each value, ``(m,)``."""
        lower = torch.cat([self.upper.new_zeros(1), self.upper[:-1]])
        return (lower + self.upper) / 2

    def centres(self) -> Tensor:
        """Normal score of each level where these have an order, evenly spread ``(size,)``; else zeros."""
        result = torch.zeros(self.size, dtype=torch.float64)
        k = len(self.levels)
        if self.ordered and k:
            result[:k] = torch.special.ndtri((torch.arange(k, dtype=torch.float64) + 0.5) / k)
        return result

    def code(self, x: Tensor, caller: str) -> tuple[Tensor, Tensor, Tensor]:
        """Level, lower rank and width of the rank of each cell, ``(N,)`` each.

        Raises:
            InvalidInputError: If a cell is missing or has a value that no cell of the fit had as a level.
        """
        missing_cells = x.isnan()
        if bool(missing_cells.any()) and not self.missing_cells:
            row, remedy = int(missing_cells.nonzero()[0]), "Fill it with complete, or drop the row."
            raise invalid(
                caller,
                f"column {self.name!r} must have no missing cells, as in the fit",
                f"row {row}",
                remedy,
            )
        index, matches = _matches(self.levels, x)
        if not self.has_numbers and not bool((matches | missing_cells).all()):
            row = int((~(matches | missing_cells)).nonzero()[0])
            remedy = "All cells of the fit are missing."
            if len(self.levels):
                remedy = f"The nearest is {float(self.levels[(self.levels - x[row]).abs().argmin()]):.6g}."
            rule = f"column {self.name!r} must have values of the fit, or be missing"
            raise invalid(caller, rule, f"{float(x[row]):.6g} in row {row}", remedy)
        level = torch.where(matches, index, max(self.number, 0))
        level = torch.where(missing_cells, max(self.missing, 0), level)
        is_number = ~(missing_cells | matches)
        lower, width = torch.zeros_like(x), torch.ones_like(x)
        if self.has_numbers and bool(is_number.any()):
            lower[is_number], width[is_number] = self._ranks(x[is_number])
        return level, lower, width

    def _ranks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.smooth:
            return _interpolated(x, self.values, self.middles()), torch.zeros_like(x)
        at, matches = _matches(self.values, x)
        below = torch.searchsorted(self.values, x)  # values below x
        lower = torch.cat([self.upper.new_zeros(1), self.upper])[below]
        return lower, torch.where(matches, self.upper[at] - lower, 0.0)

    def decode(self, level: Tensor, z: Tensor) -> Tensor:
        """Values of cells, NaN where missing."""
        result = torch.full(z.shape, torch.nan, dtype=torch.float64)
        if self.has_numbers:
            u = torch.special.ndtr(z.double())
            if self.smooth:
                result = _interpolated(u, self.middles(), self.values)
            else:
                result = self.values[torch.searchsorted(self.upper, u).clamp_max(len(self.values) - 1)]
        if self.size:
            if len(self.levels):
                matches = level < len(self.levels)
                result = torch.where(matches, self.levels[level.clamp_max(len(self.levels) - 1)], result)
            if self.missing_cells:
                result = torch.where(level == self.missing, torch.nan, result)
        return result

    def log_slope(self, x: Tensor, width: Tensor) -> Tensor:
        """Log of the rate of the ranks at numbers: per unit of the column where it is interpolated, else the width."""
        if not self.smooth:
            return width.log()
        at = torch.searchsorted(self.values, x).clamp(1, len(self.values) - 1)
        rise, run = self.middles().diff()[at - 1], self.values.diff()[at - 1]
        inside = (x >= self.values[0]) & (x <= self.values[-1])
        return torch.where(inside, (rise / run).log(), -torch.inf)

    def parts(self) -> dict[str, Any]:
        """Settings that a file stores; the name is that of the fit's table."""
        parts = {name: value for name, value in vars(self).items() if name != "name"}
        return {**parts, "periods": list(self.periods)}

    @classmethod
    def of_parts(cls, parts: Mapping[str, Any], name: str) -> "ColumnCode":
        """Build the code of a column from its :meth:`parts`."""
        return cls(name=name, **{**parts, "periods": tuple(parts["periods"])})


def _matches(values: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Place of each x among increasing values, and whether it is one of them."""
    if not len(values):
        return torch.zeros(x.shape, dtype=torch.long), torch.zeros(x.shape, dtype=torch.bool)
    at = torch.searchsorted(values, x.nan_to_num(nan=torch.inf)).clamp_max(len(values) - 1)
    return at, values[at] == x


def _interpolated(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """Linear interpolation through increasing points; the ends beyond them."""
    if len(xs) == 1:
        return ys.expand(x.shape).clone()
    at = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
    fraction = ((x - xs[at - 1]) / (xs[at] - xs[at - 1])).clamp(0, 1)
    result: Tensor = torch.lerp(ys[at - 1], ys[at], fraction)
    return torch.where(fraction == 1, ys[at], result)


def column_codes(
    x: Tensor, types: Sequence[ColumnType], names: Sequence[str], choice: Mapping[str, Sort], caller: str
) -> list[ColumnCode]:
    """Codes of all columns.

    Args:
        x: Rows ``(N, D)`` float64, NaN where missing.
        types: Type of each column.
        names: Name of each column.
        choice: Sort of a column that the user chose, by name.
        caller: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If strings are identifiers, or a column of strings is chosen to be a number.
    """
    codes = [
        _column_code(cells.contiguous(), kind, name, choice.get(name), caller)
        for cells, kind, name in zip(x.T, types, names, strict=True)
    ]
    empty = [code.name for code in codes if not code.has_numbers and not len(code.levels)]
    constant = [code.name for code in codes if len(code.levels) == 1 and code.size == 1]
    for result, remark in ((empty, "all missing, also in every sample"), (constant, "constant, and kept")):
        if result:
            label = f"column{'s' * (len(result) > 1)} {', '.join(result[:8])}"
            tell(
                DataWarning,
                f"{caller}: {label} {'are' if len(result) > 1 else 'is'} {remark}. Drop what is not meant",
            )
    return codes


def _column_code(x: Tensor, column: ColumnType, name: str, choice: Sort | None, caller: str) -> ColumnCode:
    present = x[~x.isnan()]
    values, counts = torch.unique(present, return_counts=True)
    missing_cells, empty = bool(x.isnan().any()), x.new_zeros(0)
    if _is_levels(column, len(values), choice, name, caller):
        strings = column.sort == typed_columns.STRING
        _check_levels(present, values, strings=strings, name=name, caller=caller)
        ordered = column.ordered if strings else choice != "category"
        return ColumnCode(name, values, empty, empty, False, missing_cells, ordered)
    typical = float(counts.double().quantile(0.5)) if len(counts) else 1.0
    atom = (counts >= _ATOM * len(x)) & (counts >= _TIMES * typical) & (len(values) > 1)
    values, counts, levels = values[~atom], counts[~atom], values[atom]
    total = counts.sum()
    fractional = column.sort == typed_columns.NUMBER and not bool((present == present.round()).all())
    smooth = fractional and len(values) >= max(2, _DIFFERENT * float(total))
    periods = _periods(values, column.step) if column.sort == typed_columns.DATE else ()
    return ColumnCode(
        name, levels, values, counts.cumsum(0).double() / total, smooth, missing_cells, False, periods
    )


def _is_levels(column: ColumnType, count: int, choice: Sort | None, name: str, caller: str) -> bool:
    """Whether a column is a column of levels only."""
    if column.sort == typed_columns.STRING and choice == "number":
        rule = f"column {name!r} must contain numbers or dates to be a number"
        raise invalid(caller, rule, "strings", "Convert it before.")
    if choice is not None:
        return choice == "category"
    few = count <= FEW and column.sort == typed_columns.NUMBER
    return few or column.sort in (typed_columns.STRING, typed_columns.TRUTH)


def _check_levels(present: Tensor, values: Tensor, *, strings: bool, name: str, caller: str) -> None:
    unique = strings and len(present) >= _IDENTIFIERS and 2 * len(values) > len(present)
    if len(values) > MOST or unique:
        rule = f"column {name!r} must have at most {MOST} levels that come again; it looks like an identifier"
        received = f"{len(values)} different values in {len(present)} rows"
        remedy = f"Drop it, table.drop(columns={name!r}), and number new rows yourself; or join rare values."
        raise invalid(caller, rule, received, remedy)


def _periods(values: Tensor, step: int) -> tuple[float, ...]:
    """Periods of dates in steps, of which the dates span at least two: a year, a week, and a day below daily steps."""
    span = float(values[-1] - values[0]) if len(values) else 0.0
    days = (_YEAR, _WEEK, *((1.0,) if step < _DAY else ()))
    return tuple(period for period in (day * _DAY / step for day in days) if span >= _SPANS * period)


class TableCode:
    """Codes of all columns, and rows in them.

    Args:
        columns: Code of each column.
    """

    def __init__(self, columns: Sequence[ColumnCode]) -> None:
        self.columns = list(columns)
        sizes = [column.size for column in self.columns]
        self.sizes, self.offsets = sizes, [sum(sizes[:k]) for k in range(len(sizes))]
        self.numbers = [k for k, column in enumerate(self.columns) if column.has_numbers]
        self.levelled = [k for k, size in enumerate(sizes) if size]

    def number_levels(self) -> Tensor:
        """Index of the level "number" of each column, ``(D,)``; -1 without such a level."""
        return torch.tensor([column.number for column in self.columns])

    def missing_levels(self) -> Tensor:
        """Index of the level "missing" of each column, ``(D,)``; -1 without such a level."""
        return torch.tensor([column.missing for column in self.columns])

    def code(self, x: Tensor, caller: str) -> tuple[Tensor, Tensor, Tensor]:
        """Levels, lower ranks and widths of rows, ``(N, D)`` each."""
        parts = [
            column.code(cells.contiguous(), caller) for column, cells in zip(self.columns, x.T, strict=True)
        ]
        return tuple(torch.stack(part, 1) for part in zip(*parts, strict=True))  # type: ignore[return-value]

    def decode(self, levels: Tensor, z: Tensor) -> Tensor:
        """Rows of levels and scores."""
        return torch.stack([column.decode(levels[:, k], z[:, k]) for k, column in enumerate(self.columns)], 1)


def scores(lower: Tensor, width: Tensor, v: Tensor) -> Tensor:
    """Normal scores of randomised ranks, float64.

    Args:
        lower: Lower ranks.
        width: Widths of the ranks.
        v: Uniform on [0, 1).
    """
    result: Tensor = torch.special.ndtri((lower + v * width).clamp(_EDGE, 1 - _EDGE))
    return result
