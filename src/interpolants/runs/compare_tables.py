"""Comparison of two tables: which columns differ by more than sampling noise, and how."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.data.arrays import as_tensor, is_table
from interpolants.data.coded_columns import TABLES, read_coded
from interpolants.data.files import MISSING_WORDS, check_file, read_array
from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.randomness import generator
from interpolants.metrics.column_tests import ColumnTest, PooledColumn, column_tests

_WHO = "compare"
_MIN_ROWS = 8  # of each table: fewer have too few permutations for any verdict
_MOST_WORK = 4e9  # permutations x rows x columns; further rows are dropped
_QUANTILES = (0.05, 0.5, 0.95)
_NAMED = 3  # words and columns that a sentence names
_DAY = 86400.0


@dataclass(frozen=True)
class Difference:
    """Difference of one column, of two columns together, or of whole rows.

    Attributes:
        name: Column; two columns, joined by " and "; or "whole rows".
        about: ``values``, ``missing``, ``correlation`` or ``rows``.
        kind: ``number``, ``date`` or ``word`` for a column, else empty.
        distance: Kolmogorov-Smirnov distance of numbers and dates, total variation distance of words and missing cells,
            difference of the correlations of normal scores, energy distance of normal scores; 0 for equal
            distributions.
        floor: Mean distance of two tables that differ by sampling noise only.
        p_value: Probability of a difference as large by sampling noise, corrected for the number of tests.
        a: Summary of the first table: quantiles at 5 %, 50 % and 95 %, or the fractions that changed most.
        b: Summary of the second table.
        hint: Likely cause of the difference, such as another unit; empty if none is recognised.
    """

    name: str
    about: str
    kind: str
    distance: float
    floor: float
    p_value: float
    a: str = ""
    b: str = ""
    hint: str = ""

    def __str__(self) -> str:
        numbers = f"{self.distance:.3f}, floor {self.floor:.3f}, p = {self.p_value:.3g}"
        return f"{self.name} ({self.about}): {numbers}"


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare`.

    Attributes:
        n: Compared rows of the first table.
        m: Compared rows of the second table.
        level: p value below which tables differ.
        columns: Differences of columns, worst first.
        joint: Differences of pairs of columns and of whole rows, worst first.
        only_a: Names of the columns that the second table lacks.
        only_b: Names of the columns that the first table lacks.
        skipped: Name of a column -> reason why it was not compared.
        notes: What was changed or dropped on the way, one sentence each.
    """

    n: int
    m: int
    level: float
    columns: tuple[Difference, ...]
    joint: tuple[Difference, ...] = ()
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def significant(self) -> tuple[Difference, ...]:
        """Differences with a p value below the level, columns first."""
        return tuple(column for column in (*self.columns, *self.joint) if column.p_value < self.level)

    @property
    def differ(self) -> bool:
        """Whether any column, pair of columns or whole row differs by more than sampling noise."""
        return bool(self.significant)

    @property
    def verdict(self) -> str:
        """One sentence: the same within sampling noise, or the worst difference."""
        n_skipped = len(self.only_a) + len(self.only_b) + len(self.skipped)
        remainder = (
            f" {n_skipped} columns were not compared."
            if n_skipped > 1
            else " One column was not compared."
            if n_skipped
            else ""
        )
        if not self.differ:
            return f"The same within sampling noise.{remainder}"
        worst = self.significant[0]
        p = f"p = {worst.p_value:.2g}"
        if worst in self.columns:
            names = list(dict.fromkeys(column.name for column in self.significant if column in self.columns))
            others = f", and in {len(names) - 1} more" if len(names) > 1 else ""
            cells = "missing cells of " if worst.about == "missing" else ""
            return f"The tables differ, most in {cells}column {worst.name!r} ({p}){others}.{remainder}"
        location = "in whole rows" if worst.about == "rows" else f"in how {worst.name} go together"
        return f"The tables differ {location} ({p}), and in no single column.{remainder}"

    def __str__(self) -> str:
        joint = (pair for pair in self.joint if pair in self.significant)
        return "\n".join([self.verdict, *map(str, (*self.columns, *joint)), *self.notes])


def compare(
    a: Any, b: Any, *, level: float = 0.05, permutations: int = 999, seed: int = 0, key: str | None = None
) -> Comparison:
    """Compare two tables column by column, pair by pair, and as whole rows.

    Columns are matched by name; arrays without names by position. Numbers and dates are compared by rank, so that
    units, offsets and heavy tails do no harm; words by their fractions; missing cells as a separate property.
    p values come from permutations of the rows and are corrected for the number of tests (see
    :func:`interpolants.metrics.column_tests.column_tests`).

    Rows must be independent of each other. Neighbouring rows of one time series are not; their p values are too small.

    Args:
        a: First table: a file (.csv, .tsv, .parquet, .npy, .npz, .safetensors), a DataFrame or an array ``(N, *D)``.
        b: Second table.
        level: p value below which the tables differ, in (0, 1).
        permutations: Number of permutations, at least 99.
        seed: Seed of the permutations.
        key: Array to read from files that hold several.

    Raises:
        InvalidInputError: If a table cannot be read or has fewer than 8 rows, no column is in both, or a column has
            numbers in one table and words in the other.
    """
    number(_WHO, "level", level, above=0, below=1)
    whole(_WHO, "permutations", permutations, at_least=99)
    tables = [_Table.read(value, name, key) for value, name in ((a, "a"), (b, "b"))]
    for table in tables:
        if table.rows < _MIN_ROWS:
            remedy = "Sampling noise hides any difference of so few rows: collect more."
            raise invalid(_WHO, f"{table.name} must have at least {_MIN_ROWS} rows", table.rows, remedy)
    names, notes = _matched(*tables)
    tables, left_out = _at_most(tables, len(names), permutations)
    n, m = (table.rows for table in tables)
    pairs = {name: _pair(name, *(table.columns[at] for table, at in zip(tables, ats, strict=True)))
             for name, ats in names.items()}  # fmt: skip
    compared = {name: pair for name, pair in pairs.items() if isinstance(pair, _Pair)}
    if not compared:
        reasons = "; ".join(f"{name}: {why}" for name, why in pairs.items())
        raise invalid(_WHO, "the tables must have a column that can be compared", reasons)
    min_count = (
        2 if len(compared) > 1 else 1
    ) / level  # two families of tests, each with 1 + permutations p values
    if 1 + permutations <= min_count:
        rule = f"permutations must be at least {math.floor(min_count)} for a p value below level {level:g}"
        raise invalid(_WHO, rule, permutations)
    source = generator(seed, "permutations of a comparison")
    tests = column_tests(
        [pair.pooled() for pair in compared.values()], n, permutations=permutations, generator=source
    )
    significant = sorted(
        (_difference(test, compared) for test in tests),
        key=lambda column: (column.p_value, column.floor - column.distance),
    )
    only_a, only_b = (tuple(c for c in t.columns if c not in names) if t.named else () for t in tables)
    return Comparison(
        n,
        m,
        level,
        columns=tuple(column for column in significant if column.kind),
        joint=tuple(column for column in significant if not column.kind),
        only_a=only_a,
        only_b=only_b,
        skipped={name: why for name, why in pairs.items() if isinstance(why, str)},
        notes=(*(note for table in tables for note in table.notes), *notes, *left_out),
    )


# --- tables --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Column:
    """Values of one column: numbers (days for dates) with NaN where missing, or words, None where missing."""

    kind: str
    values: NDArray[Any]


@dataclass(frozen=True)
class _Table:
    """A table that was read: its name in errors, columns by name, and whether these names come from the data."""

    name: str
    columns: dict[str, _Column]
    rows: int
    named: bool
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, value: Any, name: str, key: str | None) -> "_Table":
        if isinstance(value, str | Path):
            return cls._of_file(Path(value), key)
        if is_table(value):
            return cls._of_frame(value, name)
        tensor, kind = as_tensor(_as_floats(value), _WHO, name, gaps=True)
        return cls._of_array(tensor, name, tuple(map(str, kind.headings)), ())

    @classmethod
    def _of_file(cls, path: Path, key: str | None) -> "_Table":
        check_file(path, _WHO)
        # A file of text needs pandas for words and dates only.
        if path.suffix.lower() in TABLES and find_spec("pandas") is not None:
            return cls._of_frame(read_coded(path, _WHO), path.name)
        read = read_array(path, _WHO, key=key, gaps=True)
        return cls._of_array(read.x, path.name, read.columns, read.notes)

    @classmethod
    def _of_array(cls, x: Tensor, name: str, headings: Sequence[str], notes: Sequence[str]) -> "_Table":
        shape, flat = x.shape[1:], x.reshape(len(x), -1)
        positions = np.ndindex(*shape) if len(shape) > 1 else ((k,) for k in range(flat.shape[1]))
        names = list(headings) or [",".join(map(str, position)) for position in positions]
        columns = {column: _Column("number", flat[:, k].cpu().numpy()) for k, column in enumerate(names)}
        return cls(name, columns, len(x), bool(headings), tuple(f"{name}: {note}" for note in notes))

    @classmethod
    def _of_frame(cls, frame: Any, name: str) -> "_Table":
        names = [str(column) for column in frame.columns]
        if repeated := next((column for column in names if names.count(column) > 1), ""):
            raise invalid(_WHO, f"columns of {name} must have different names", repr(repeated), "Rename one.")
        columns = {column: _column(frame.iloc[:, k], column, name) for k, column in enumerate(names)}
        named = not all(isinstance(column, int | np.integer) for column in frame.columns)
        return cls(name, columns, len(frame), named)


def _as_floats(value: Any) -> Any:
    """Integers and booleans as numbers of double precision; anything else unchanged."""
    array = np.asarray(value) if isinstance(value, list) else value
    if isinstance(array, Tensor):
        return array if array.is_floating_point() or array.is_complex() else array.double()
    return array.astype(np.float64) if isinstance(array, np.ndarray) and array.dtype.kind in "iub" else array


def _column(column: Any, name: str, table: str) -> _Column:
    pandas = require("pandas", by=_WHO)
    kind = getattr(column.dtype, "kind", "O")
    if kind in "fiu":
        single = str(column.dtype).lower() in ("float32", "float16")
        return _Column("number", column.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan))
    if kind == "M":
        return _dates(column)
    if kind not in "bOSU" and not isinstance(column.dtype, pandas.CategoricalDtype | pandas.StringDtype):
        rule = f"columns of {table} must contain numbers, dates or words"
        raise invalid(_WHO, rule, f"column {name!r} of type {column.dtype}", "Convert or drop the column.")
    return _of_cells([None if _is_missing(cell) else str(cell).strip() for cell in column], name, table)


def _dates(column: Any) -> _Column:
    pandas = require("pandas", by=_WHO)
    zoned = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
    days = (zoned - pandas.Timestamp("1970-01-01")) / pandas.Timedelta(days=1)
    return _Column("date", days.to_numpy(dtype=np.float64))


def _of_cells(cells: list[str | None], name: str, table: str) -> _Column:
    """Cells of text, which may all be dates or numbers."""
    pandas = require("pandas", by=_WHO)
    present = [cell for cell in cells if cell is not None]
    numbers = [cell for cell in present if _as_number(cell)]
    if not numbers and present:
        as_dates = {"errors": "coerce", "format": "ISO8601", "utc": True}
        if not bool(pandas.to_datetime(pandas.Series(present, dtype=object), **as_dates).isna().any()):
            return _dates(pandas.to_datetime(pandas.Series(cells, dtype=object), **as_dates))
    odd = next((cell for cell in present if not _as_number(cell) or "," in cell), None)
    if numbers and odd is None:
        return _Column("number", np.array([np.nan if cell is None else float(cell) for cell in cells]))
    if len(numbers) > len(present) / 2:
        remedy = "Write decimals with a point, and leave cells without a number empty."
        raise invalid(
            _WHO, f"column {name!r} of {table} must contain numbers only, or words", repr(odd), remedy
        )
    return _Column("word", np.array(cells, dtype=object))


def _is_missing(cell: Any) -> bool:
    return cell is None or cell != cell or str(cell).strip().lower() in MISSING_WORDS


def _as_number(cell: str) -> bool:
    """Whether a cell is a number, with a decimal point or comma."""
    try:
        float(cell.replace(",", ".", 1))
    except ValueError:
        return False
    return "_" not in cell


def _matched(a: _Table, b: _Table) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """The columns of both, by name; by position if a table has no names."""
    if a.named and b.named:
        names = {name: (name, name) for name in a.columns if name in b.columns}
        if not names:
            values = f"{', '.join(list(a.columns)[:_NAMED])} and {', '.join(list(b.columns)[:_NAMED])}"
            raise invalid(
                _WHO, "the tables must have a column of the same name", values, "Rename the columns."
            )
        reordered = list(names) != [name for name in b.columns if name in names]
        return names, ["The columns are in another order; they were matched by name."] if reordered else []
    if len(a.columns) != len(b.columns):
        rule = "tables without names of columns must have the same number of columns"
        raise invalid(_WHO, rule, f"{len(a.columns)} and {len(b.columns)}", "Name the columns of both.")
    named = a if a.named or not b.named else b
    names = {name: pair for name, *pair in zip(named.columns, a.columns, b.columns, strict=True)}  # type: ignore[misc]
    partly_named = a.named != b.named
    return names, [
        "One table has no names of columns; they were matched by position."
    ] if partly_named else []


def _at_most(tables: list[_Table], columns: int, permutations: int) -> tuple[list[_Table], list[str]]:
    """The tables, thinned to evenly spaced rows if the permutations would take more than minutes."""
    max_rows = int(_MOST_WORK / (columns * (1 + permutations)))
    total = sum(table.rows for table in tables)
    if total <= max_rows:
        return tables, []
    thinned = []
    for table in tables:
        rows = np.linspace(0, table.rows - 1, max(_MIN_ROWS, int(max_rows * table.rows / total))).astype(
            np.int64
        )
        columns_kept = {
            name: _Column(column.kind, column.values[rows]) for name, column in table.columns.items()
        }
        thinned.append(_Table(table.name, columns_kept, len(rows), table.named, table.notes))
    counts = " and ".join(
        f"{few.rows:,} of {table.rows:,}" for few, table in zip(thinned, tables, strict=True)
    )
    return thinned, [f"Compared were {counts} rows, evenly spaced, to keep the time within minutes."]


# --- columns of both -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Pair:
    """One column of both tables."""

    name: str
    kind: str
    a: NDArray[Any]
    b: NDArray[Any]

    def pooled(self) -> PooledColumn:
        pooled = np.concatenate([self.a, self.b])
        if self.kind == "word":
            labels = {
                label: code
                for code, label in enumerate(sorted({cell for cell in pooled if cell is not None}))
            }
            codes = [-1 if cell is None else labels[cell] for cell in pooled]
            return PooledColumn(torch.tensor(codes, dtype=torch.int64), categorical=True)
        return PooledColumn(torch.from_numpy(pooled.astype(np.float64)))


def _pair(name: str, a: _Column, b: _Column) -> _Pair | str:
    """The column of both tables, or why it is not compared."""
    kind = b.kind if _is_empty(a) else a.kind
    # A column with nothing but missing cells has no kind.
    a, b = (_empty(kind, len(column.values)) if _is_empty(column) else column for column in (a, b))
    if a.kind != b.kind:
        labels = [
            cell for column in (a, b) if column.kind == "word" for cell in column.values if cell is not None
        ]
        odd = f"; one word is {labels[0]!r}" if labels else ""
        rule = f"column {name!r} must have the same kind of values in both tables"
        raise invalid(_WHO, rule, f"{a.kind}s and {b.kind}s{odd}", "Repair or drop the column in one table.")
    if kind == "word":
        n_labels = len({*a.values, *b.values} - {None})
        if n_labels > (len(a.values) + len(b.values)) / 2:
            return f"{n_labels:,} different words, as of names or numbers of rows"
        return _Pair(name, kind, a.values, b.values)
    # Numbers of double precision are rounded where the other table holds the same ones in single precision.
    single = np.float32 in (a.values.dtype, b.values.dtype)
    values = [column.values.astype(np.float32) if single else column.values for column in (a, b)]
    return _Pair(name, kind, *values)


def _is_empty(column: _Column) -> bool:
    if column.kind == "word":
        return all(cell is None for cell in column.values)
    return bool(np.isnan(column.values).all())


def _empty(kind: str, rows: int) -> _Column:
    return _Column(
        kind, np.full(rows, None if kind == "word" else np.nan, dtype=object if kind == "word" else float)
    )


# --- words ---------------------------------------------------------------------------------------------------


def _difference(test: ColumnTest, pairs: Mapping[str, _Pair]) -> Difference:
    """A test with names, and summaries of both tables."""
    columns = [list(pairs.values())[k] for k in test.columns]
    numbers = (test.distance, test.floor, test.p_value)
    if len(columns) != 1:
        name = " and ".join(repr(column.name) for column in columns) or "whole rows"
        return Difference(name, test.about, "", *numbers)
    pair = columns[0]
    if test.about == "missing":
        a, b = (f"{np.isnan(values).mean():.1%} missing" for values in (pair.a, pair.b))
        return Difference(pair.name, test.about, pair.kind, *numbers, a, b)
    if pair.kind == "word":
        a, b = _fractions(pair)
        return Difference(pair.name, test.about, pair.kind, *numbers, a, b, _new_words(pair))
    quantiles = [_quantiles(values) for values in (pair.a, pair.b)]
    a, b = (" ".join(_format(value, pair.kind) for value in three) for three in quantiles)
    return Difference(pair.name, test.about, pair.kind, *numbers, a, b, _units(*quantiles))


def _quantiles(values: NDArray[Any]) -> list[float]:
    present = values[~np.isnan(values)].astype(np.float64)
    # An order statistic, not a mean of two, which would be NaN between infinities.
    return np.quantile(present, _QUANTILES, method="nearest").tolist() if len(present) else [math.nan] * 3


def _format(value: float, kind: str) -> str:
    if kind == "date" and math.isfinite(value):
        return str(np.datetime64(round(value * _DAY), "s")).removesuffix("T00:00:00")
    return f"{value:.6g}"


def _units(a: Sequence[float], b: Sequence[float]) -> str:
    """The factor between quantiles, if it is the same for all and far from 1: likely another unit."""
    if any(not math.isfinite(x) or x == 0 for x in (*a, *b)) or len({*a}) == 1:
        return ""
    ratios = [y / x for x, y in zip(a, b, strict=True)]
    middle = ratios[1]
    same = middle > 0 and all(2 / 3 < ratio / middle < 3 / 2 for ratio in ratios)
    return f"b is about {middle:.3g} times a: another unit?" if same and not 1 / 3 < middle < 3 else ""


def _fractions(pair: _Pair) -> tuple[str, str]:
    """The fractions of the words that changed most, in both tables."""
    counts = [Counter(values) for values in (pair.a, pair.b)]
    shares = {label: [count[label] / count.total() for count in counts] for label in {*pair.a, *pair.b}}
    worst = sorted(shares, key=lambda label: (-abs(shares[label][0] - shares[label][1]), str(label)))[:_NAMED]
    texts = [
        ", ".join(f"{'(missing)' if w is None else w} {shares[w][k]:.1%}" for w in worst) for k in (0, 1)
    ]
    return texts[0], texts[1]


def _new_words(pair: _Pair) -> str:
    return "; ".join(
        _lacking(column, reference, name)
        for column, reference, name in _sides(pair)
        if {*column} - {*reference, None}
    )


def _sides(pair: _Pair) -> Iterator[tuple[NDArray[Any], NDArray[Any], str]]:
    yield pair.a, pair.b, "a"
    yield pair.b, pair.a, "b"


def _lacking(column: NDArray[Any], reference: NDArray[Any], name: str) -> str:
    labels = sorted({*column} - {*reference, None})
    others = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return f"only in {name}: {', '.join(labels[:_NAMED])}{others}"
