"""Tables of numbers, strings, dates and gaps: new rows, rows given some columns, and filled cells."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor

from interpolants.apps.tables.column_prediction import ColumnPrediction
from interpolants.apps.tables.columns import ColumnCode, TableCode, column_codes, scores
from interpolants.apps.tables.table_field import (
    TableBatches,
    TableField,
    TableLoss,
    TableState,
    bound,
    draw,
)
from interpolants.data.arrays import is_table
from interpolants.data.typed_columns import ColumnType
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Answer, Count
from interpolants.foundations.randomness import BlockNoise, generator
from interpolants.foundations.tell import DataWarning, OutsideWarning, tell
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.roles import read
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.parts.validation import followed
from interpolants.nets.build import named_net
from interpolants.training.pairs import finished

# Rows below which nothing was measured, and from which a tenth is held out.
_FEW, _HELD = 200, 40
# Rows of a prediction that are sampled at once, in blocks of 64.
_PIECE = 256


def table_role(name: str = "x1") -> Role:
    """Rows of a table of any types; missing cells are data."""
    about = "A table: numbers, integers, booleans, strings, categories, dates; missing cells are data."
    return Role(name=name, axis="x1", exact=True, typed=True, gaps=True, about=about)


def types_of(method: Any, x: Tensor) -> tuple[list[ColumnType], list[str]]:
    """Types and names of the columns of a fit; numbers of an array are numbers."""
    container = method.given["x1"]
    types = [ColumnType(*parts) for parts in container.types] or [ColumnType("number", "float64")] * x.shape[
        1
    ]
    return types, column_names(method, x.shape[1])


def column_names(method: Any, width: int) -> list[str]:
    """Names of the columns of a fit; numbers for an array."""
    return list(method.columns("x1")) or [f"x{k + 1}" for k in range(width)]


Coded = tuple[Tensor, Tensor, Tensor]


def _runs(marks: list[bool]) -> list[slice]:
    """Consecutive rows with one mark, at most a piece of them each."""
    starts = [i for i in range(len(marks)) if i % _PIECE == 0 or marks[i] != marks[i - 1]]
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(marks)], strict=True)]


def _taken(coded: Coded, rows: Tensor) -> Coded:
    levels, lower, width = coded
    return levels[rows], lower[rows], width[rows]


class TableBridge(Trained):
    """Learn the distribution of the rows of a table: numbers from Gaussian noise, levels from masks, in one bridge.

    ::

        model = TableBridge(seed=0).fit(weather)               # a DataFrame
        rows = model.sample(1461)                              # same columns and dtypes
        snow = model.sample(100, given={"weather": "snow"})
        full = model.complete(cars)                            # missing cells sampled given their row
        chances = model.predict(weather, column="weather").probabilities

    Categories, columns of at most 12 numbers, frequent single numbers such as zeros, and "missing" are levels; other
    numbers and dates are normal scores. All cells are conditional on the whole row. Constraints between columns,
    such as ``a <= b``, are not enforced. Samples are not private: there is no differential privacy.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Guzmán-Cordero, Eijkelboom & van de Meent (2025), arXiv:2506.05940, for mixed tables; the generator of
    masks and numbers together is that of Holderrieth et al. (2024), arXiv:2410.20587. Normal scores, atoms and gaps
    are ours.
    """

    only_cpu: ClassVar[str] = "its codes of columns are computed there"
    noun: ClassVar[str] = "table bridge"  # prose: keep

    columns_as: Mapping[str, Literal["number", "category"]] | None = None
    """Columns that are read as ``"number"`` or as ``"category"``, by name, whatever their type suggests."""
    width: Count = 192
    """Width of the network."""
    depth: Count = 4
    """Depth of the network."""
    n_steps: Answer[Count] = 60
    """Steps of sampling."""
    optimizer = "adamw"
    weight_decay = 0.01
    ema = 0.995

    def roles(self) -> tuple[Role, ...]:
        """The rows of the table."""
        return (table_role(),)

    def fit(self, x1: Any, **options: Any) -> Self:
        """Learn from a table.

        Args:
            x1: A DataFrame of numbers, integers, booleans, strings, categories, dates or durations, with or without
                missing cells; or an array of numbers.
            options: As in :meth:`interpolants.framework.method.Method.fit`. Without ``held=`` a tenth of 40 rows or
                more is held out, and the weights with the smallest loss on it are kept.
        """
        return super().fit(x1, **options)

    def completed_request(
        self, verb: str, values: dict[str, Any], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The rows of a prediction, with the predicted column empty."""
        if verb != "predict" or (name := options.get("column") or self._names[-1]) not in self._names:
            return values
        return {**values, "x": self._without(values["x"], name)}

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Codes of the columns, and the network."""
        caller, x = "TableBridge.fit", data["x1"].double()
        if x.ndim != 2 or len(x) < 2:
            shape = tuple(x.shape)
            raise invalid(
                caller, "x1 must be a table of at least two rows", f"shape {shape}", "Pass more rows."
            )
        types, names = types_of(self, x)
        choices = dict(self.columns_as or {})
        if unknown := [name for name in choices if name not in names]:
            rule = "columns_as must name columns of the table"
            raise invalid(caller, rule, repr(unknown[0]), nearest(unknown[0], names))
        if len(x) < _FEW:
            message = f"{caller}: x1 has {len(x)} rows. Rows may be learnt by heart below {_FEW}"
            tell(DataWarning, f'{message}; compare with rivals=["gaussian_copula"]')
        code = TableCode(column_codes(x, types, names, choices, caller))
        coded = code.code(x, caller)
        held_out: Coded | None = code.code(run.held["x1"].double(), f"{caller} (held)") if run.held else None
        if held_out is None and len(x) >= _HELD:
            order = torch.randperm(len(x), generator=generator(self.seed, "held-out rows of a table"))
            split = len(x) // 10
            held_out, coded = _taken(coded, order[:split]), _taken(coded, order[split:])
        size = TableField.width(code)
        settings = {"kind": "mlp", "width": self.width, "depth": self.depth, "residual": True}
        net = named_net(settings, (size,), who=caller, seed=self.seed).float()
        loss = TableLoss(code)
        batches = None if held_out is None else (lambda rows: TableBatches(held_out, rows))
        how, options = followed(run, self.training(), loss, batches)
        result = run.train("table", net, loss, TableBatches(coded, self.batch_size), how, **options)
        columns = [column.parts() for column in code.columns]
        return {"net": finished(net, result, prefix=""), "columns": columns}

    # --- what it knows

    @property
    def code(self) -> TableCode:
        """Codes of the columns of the fit."""
        parts = self.fitted_state("code")["columns"]
        return TableCode(
            [ColumnCode.of_parts(part, name) for part, name in zip(parts, self._names, strict=True)]
        )

    @property
    def _names(self) -> list[str]:
        return column_names(self, len(self.fitted_state("code")["columns"]))

    # --- capabilities

    @capability(like="x1")
    def sample(
        self,
        /,
        n: Count,
        *,
        given: Mapping[str, Any] | None = None,  # prose: keep
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Any:
        """Draw rows; row i does not depend on how many there are.

        Args:
            n: Number of rows.
            given: Values of some columns by name, each for all rows: ``{"weather": "snow"}``. None is a missing cell.
            seed: Seed of the noise.
            first_index: Index of the first row in a larger job.
            settings: Settings of answers, for this call.
        """
        code, caller = self.code, "TableBridge.sample"
        row = torch.full((1, len(code.columns)), torch.nan, dtype=torch.float64)
        observed = torch.zeros(row.shape, dtype=torch.bool)
        if given:
            row, observed = self._row(given)
            _tell_range(code, row, caller)
        cells = _Cells(row.expand(n, -1), observed.expand(n, -1), torch.zeros_like(observed).expand(n, -1))
        return self._completed(cells, caller, seed, first_index)

    @capability(reads={"x": "x1"}, like="x1")
    def complete(
        self,
        /,
        x: Tensor,
        *,
        draws: Count | None = None,
        seed: int = 0,
        first_index: int = 0,
        **settings: Any,
    ) -> Any:
        """Draw the missing cells of rows given the others; no cell is missing afterwards.

        Args:
            x: Rows with missing cells.
            draws: Number of tables to return as a list; a single table when None.
            seed: Seed of the noise.
            first_index: Index of the first row in a larger job.
            settings: Settings of answers, for this call.
        """
        x, observed = x.double(), ~x.isnan()
        cells = _Cells(x, observed, ~observed)
        tables = [
            self._completed(cells, "TableBridge.complete", seed, first_index, table=k)
            for k in range(draws or 1)
        ]
        return tables[0] if draws is None else tables

    @capability(reads={"x": "x1"}, like="x")
    def predict(
        self, /, x: Tensor, *, column: str = "", draws: Count = 100, seed: int = 0, first_index: int = 0,
        **settings: Any,
    ) -> ColumnPrediction:  # fmt: skip
        """Distribution of a column in each row, given the other columns; missing cells of these are averaged over.

        The column may be absent from ``x``; its cells there are ignored. Its value is not "missing".

        Args:
            x: Rows, with or without the column.
            column: Name of the column; the last one when empty.
            draws: Draws per row; none are needed for a column of levels where no other cell is missing.
            seed: Seed of the noise.
            first_index: Index of the first row in a larger job.
            settings: Settings of answers, for this call.
        """
        names = self._names
        if column and column not in names:
            rule = "column must be a column of the fit"
            raise invalid("TableBridge.predict", rule, repr(column), nearest(column, names))
        k = names.index(column) if column else len(names) - 1
        if not self.code.columns[k].has_numbers and not len(self.code.columns[k].levels):
            raise invalid(
                "TableBridge.predict", "the column must have values in the fit", f"{names[k]!r} without"
            )
        types = self.given["x1"].types
        discrete = not self.code.columns[k].has_numbers
        others = torch.arange(x.shape[1]) != k
        sampled = (x.isnan()[:, others].any(1) | (not discrete)).tolist()
        parts = [
            self._predicted(
                x[rows].double(), k, draws if sampled[rows.start] else 1, seed, first_index + rows.start
            )
            for rows in _runs(sampled)
        ]
        values, weights = (torch.cat(part) for part in zip(*parts, strict=True))
        return ColumnPrediction(
            name=names[k], values=values, weights=weights, discrete=discrete, type=types[k] if types else ()
        )

    @capability(reads={"x": "x1"}, like="x")
    def log_prob(self, x: Tensor, *, draws: Count = 16, seed: int = 0, first_index: int = 0) -> Tensor:
        """Lower bounds ``(B,)`` on log probabilities of rows, in nats, each an unbiased estimate of its bound.

        They are densities in interpolated columns, per unit of the column, and probabilities in all others: -inf for a
        date or a rounded number that no row of the fit has.

        Args:
            x: Rows.
            draws: Times per row.
            seed: Seed of times and noise.
            first_index: Index of the first row in a larger job.
        """
        code, caller = self.code, "TableBridge.log_prob"
        levels, lower, ranks = code.code(x.double(), caller)
        batch = {"levels": levels, "lower": lower, "width": ranks}
        with torch.no_grad():
            total = bound(code, TableField(code, self.state["net"]), batch, draws, seed, first_index)
        for k, column in enumerate(code.columns):
            number = column.has_numbers & (levels[:, k] == max(column.number, 0))
            slope = (
                column.log_slope(x[:, k].double().contiguous(), ranks[:, k]) if column.has_numbers else 0.0
            )
            total -= torch.where(torch.as_tensor(number), slope, 0.0)
        return -total

    # --- parts

    def _without(self, x: Any, name: str) -> Any:
        """Rows with all cells of a column missing, which the rows may have or not; other containers unchanged."""
        names = self._names
        if is_table(x):
            label = next((label for label in x.columns if str(label) == name), name)
            emptied = x.copy(deep=False)
            emptied[label] = math.nan
            return emptied
        if (
            not isinstance(x, Tensor | np.ndarray)
            or x.ndim != 2
            or x.shape[1] not in (len(names), len(names) - 1)
        ):
            return x
        rows = torch.as_tensor(x)
        k = names.index(name)
        after = rows[:, k + 1 :] if x.shape[1] == len(names) else rows[:, k:]
        empty = torch.full((len(rows), 1), math.nan, dtype=torch.float64)
        completed = torch.cat([rows[:, :k].double(), empty, after.double()], 1)
        return completed if isinstance(x, Tensor) else completed.numpy()

    def _row(self, cells_of: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """One row with the requested cells, and which these are, ``(1, D)`` each."""
        caller, names = "TableBridge.sample", self._names
        if unknown := [name for name in cells_of if str(name) not in names]:
            rule = "given must name columns of the fit"
            raise invalid(caller, rule, repr(unknown[0]), nearest(str(unknown[0]), names))
        values = {str(name): value for name, value in cells_of.items()}
        observed = torch.tensor([[name in values for name in names]])
        container = self.given["x1"]
        if not container.types:
            cells = [_number(name, values.get(name), caller) for name in names]
            return torch.tensor([cells], dtype=torch.float64), observed
        pandas = require("pandas", by=caller)
        series = {name: pandas.Series([values.get(name, float("nan"))]) for name in names}
        series = {name: pandas.Series([float("nan")]) if s.isna()[0] else s for name, s in series.items()}
        data, _ = read((table_role(),), {"x1": pandas.DataFrame(series)}, caller, before=self.given)
        return data["x1"].double(), observed

    def _predicted(self, x: Tensor, k: int, times: int, seed: int, first_index: int) -> tuple[Tensor, Tensor]:
        """Values of column k and their probabilities ``(B, M)`` by the given number of draws per row."""
        caller, column = "TableBridge.predict", self.code.columns[k]
        x = x.repeat_interleave(times, 0)
        observed = ~x.isnan()
        observed[:, k] = False
        first_index *= times
        if column.has_numbers or bool((~observed).sum(1).gt(1).any()):
            x = self._completed(_Cells(x, observed, ~observed), caller, seed, first_index, table=1)
        if column.has_numbers:
            values = x[:, k].reshape(-1, times).sort(1).values
            return values, torch.full_like(values, 1 / times)
        observed = torch.ones_like(observed)
        observed[:, k] = False
        chances = self._level_chances(_Cells(x, observed, ~observed), k, caller, seed, first_index)
        chances = chances.reshape(-1, times, chances.shape[1])[:, :, : len(column.levels)].mean(1)
        return column.levels.expand(len(chances), -1).clone(), chances

    def _level_chances(self, cells: "_Cells", k: int, caller: str, seed: int, first_index: int) -> Tensor:
        """Probabilities ``(B, K)`` of the levels of column k, where all other cells are observed.

        A draw reveals its only hidden level at a uniform one of the sampler's times, so that the mean over these is the
        distribution of draws.
        """
        state = replace(self._start(cells, caller, seed, first_index), visible=cells.observed)
        field = TableField(self.code, self.state["net"])
        total = torch.zeros((), dtype=torch.float64)
        with torch.no_grad():
            for step in range(self.n_steps):
                t = torch.full_like(state.t, step / self.n_steps)
                total = total + field(replace(state, t=t))[1][:, k].double().softmax(1)
        return total / self.n_steps

    def _completed(
        self, cells: "_Cells", caller: str, seed: int, first_index: int, *, table: int = 0
    ) -> Tensor:
        """Rows with the cells sampled that are not observed."""
        code = self.code
        state = self._start(cells, caller, seed, first_index, table=table)
        with torch.no_grad():
            field = TableField(code, self.state["net"])
            levels, z = draw(code, field, state, self.n_steps, seed, first_index, table)
        return torch.where(cells.observed, cells.x, code.decode(levels, z))

    def _start(
        self, cells: "_Cells", caller: str, seed: int, first_index: int, *, table: int = 0
    ) -> TableState:
        """Rows at time 0, with their observed cells."""
        code, x, observed = self.code, cells.x, cells.observed
        # Cells to draw are coded as some value that the fit had.
        levels, z = (torch.zeros(x.shape, dtype=kind) for kind in (torch.long, torch.float32))
        noise = BlockNoise.like(x, seed, "known ranks", table, first=first_index).uniform()
        for k, column in enumerate(code.columns):
            rows = observed[:, k]
            if bool(rows.any()):
                level, lower, ranks = column.code(x[rows, k].contiguous(), caller)
                levels[rows, k] = level
                z[rows, k] = scores(lower, ranks, noise[rows, k]).float()
        filled = cells.filled & (code.missing_levels() >= 0)
        t = torch.zeros(len(x), dtype=torch.float32)
        return TableState(z, levels, torch.zeros_like(observed), observed, filled, t)


@dataclass(frozen=True)
class _Cells:
    """Cells of requested rows, ``(B, D)`` each.

    Attributes:
        x: Values of observed cells; NaN for a cell that is known to be missing.
        observed: Which cells are observed.
        filled: Which of the others must not be missing.
    """

    x: Tensor
    observed: Tensor
    filled: Tensor


def _number(name: str, value: Any, caller: str) -> float:
    """A requested cell of an array; NaN for None."""
    if value is None:
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.inf
    if isinstance(value, str) or math.isinf(number):
        raise invalid(caller, f"column {name!r} must be a finite number, or None", repr(value)[:80])
    return number


def _tell_range(code: TableCode, row: Tensor, caller: str) -> None:
    """Warn of observed numbers ``(1, D)`` beyond those of the fit."""
    for column, x in zip(code.columns, row[0], strict=True):
        values = torch.cat([column.values, column.levels])
        if column.has_numbers and bool((x < values.min()) | (x > values.max())):
            low, high = float(values.min()), float(values.max())
            message = (
                f"{caller}: column {column.name!r} has {float(x):.6g}, and {low:.6g} to {high:.6g} in the fit"
            )
            tell(OutsideWarning, f"{message}; rows are sampled as for the nearest of these")
