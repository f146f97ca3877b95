"""Tables of numbers, strings, dates and gaps: new rows, rows given some columns, and filled cells."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from interpolants.apps.tables.columns import ColumnCode, TableCode, column_codes, scores
from interpolants.apps.tables.table_field import (
    TableBatches,
    TableField,
    TableLoss,
    TableState,
    bound,
    draw,
)
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

# Rows below which nothing was measured, and from which a tenth is held_out out.
_FEW, _HELD = 200, 40


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
    names = [str(name) for name in container.columns] or [f"x{k + 1}" for k in range(x.shape[1])]
    return types, names


class TableBridge(Trained):
    """Learn the distribution of the rows of a table: numbers from Gaussian noise, levels from masks, in one bridge.

    ::

        model = TableBridge(seed=0).fit(weather)               # a DataFrame
        rows = model.sample(1461)                              # same columns and dtypes
        snow = model.sample(100, given={"weather": "snow"})
        full = model.complete(cars)                            # missing cells drawn given their row

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
                more is held_out out, and the weights with the smallest loss on it are kept.
        """
        return super().fit(x1, **options)

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
        held_out = code.code(run.held["x1"].double(), f"{caller} (held)") if run.held else None
        if held_out is None and len(x) >= _HELD:
            order = torch.randperm(len(x), generator=generator(self.seed, "held-out rows"))
            split = len(x) // 10
            held_out = tuple(part[order[:split]] for part in coded)
            coded = tuple(part[order[split:]] for part in coded)
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
        return TableCode([ColumnCode.of_parts(parts) for parts in self.fitted_state("code")["columns"]])

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """No role: numbers beyond the range of the fit trigger a warning with column and row."""
        return ""

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
    ) -> Tensor:
        """Draw rows; row i does not depend on how many there are.

        Args:
            n: Number of rows.
            given: Values of some columns by name, each for all rows: ``{"weather": "snow"}``.
            seed: Seed of the noise.
            first_index: Index of the first row in a larger job.
            settings: Settings of answers, for this call.
        """
        code = self.code
        x = torch.full((n, len(code.columns)), torch.nan, dtype=torch.float64)
        if given:
            x[:] = self._row(given)
        return self._complete_rows(x, seed, first_index, filled=False)

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
        tables = [self._complete_rows(x, seed + k, first_index, filled=True) for k in range(draws or 1)]
        return tables[0] if draws is None else tables

    @capability(reads={"x": "x1"}, like="x")
    def log_prob(self, x: Tensor, *, draws: Count = 16, seed: int = 0, first_index: int = 0) -> Tensor:
        """Lower bounds ``(B,)`` on log probabilities of rows, in nats, each an unbiased estimate of its bound.

        They are densities in interpolated columns, per unit of the column, and probabilities in all others.

        Args:
            x: Rows.
            draws: Times per row.
            seed: Seed of times and noise.
            first_index: Index of the first row in a larger job.
        """
        code, caller = self.code, "TableBridge.log_prob"
        levels, lower, ranks = code.code(x.double(), caller)
        batch = {"levels": levels, "lower": lower, "width": ranks}
        source = generator(self.seed, "bound", seed, first_index)
        with torch.no_grad():
            total = bound(code, TableField(code, self.state["net"]), batch, draws, source)
        for k, column in enumerate(code.columns):
            number = column.has_numbers & (levels[:, k] == max(column.number, 0))
            slope = (
                column.log_slope(x[:, k].double().contiguous(), ranks[:, k]) if column.has_numbers else 0.0
            )
            total -= torch.where(torch.as_tensor(number), slope, 0.0)
        return -total

    # --- parts

    def _row(self, cells_of: Mapping[str, Any]) -> Tensor:
        """One row with the requested cells, NaN elsewhere."""
        caller, names = "TableBridge.sample", [column.name for column in self.code.columns]
        if unknown := [name for name in cells_of if str(name) not in names]:
            rule = "given must name columns of the fit"
            raise invalid(caller, rule, repr(unknown[0]), nearest(str(unknown[0]), names))
        container = self.given["x1"]
        values = {name: cells_of.get(name) for name in names}
        if not container.types:
            cells = [float("nan") if values[name] is None else float(values[name]) for name in names]
            return torch.tensor([cells], dtype=torch.float64)
        pandas = require("pandas", by=caller)
        series = {name: _one_cell(pandas, value) for name, value in values.items()}
        data, _ = read((table_role(),), {"x1": pandas.DataFrame(series)}, caller, before=self.given)
        return data["x1"].double()

    def _complete_rows(self, x: Tensor, seed: int, first_index: int, *, filled: bool) -> Tensor:
        """Rows with their missing cells drawn."""
        code, caller, x = self.code, "TableBridge.complete", x.double()
        observed = ~x.isnan()
        # Cells to draw are coded as some value that the fit had.
        levels, z = torch.zeros(x.shape, dtype=torch.long), torch.zeros(x.shape)
        noise = BlockNoise.like(x, seed, "known ranks", first=first_index).uniform()
        for k, column in enumerate(code.columns):
            rows = observed[:, k]
            if bool(rows.any()):
                _tell_range(column, x[rows, k], caller)
                level, lower, ranks = column.code(x[rows, k].contiguous(), caller)
                levels[rows, k] = level
                z[rows, k] = scores(lower, ranks, noise[rows, k]).float()
        able = torch.tensor([column.missing >= 0 for column in code.columns]) & filled
        empty = torch.zeros_like(observed)
        state = TableState(z, levels, empty, observed, ~observed & able, torch.zeros(len(x)))
        with torch.no_grad():
            levels, z = draw(
                code, TableField(code, self.state["net"]), state, self.n_steps, seed, first_index
            )
        return torch.where(observed, x, code.decode(levels, z))


def _one_cell(pandas: Any, value: Any) -> Any:
    return pandas.Series([value]) if value is not None else pandas.Series([float("nan")])


def _tell_range(column: ColumnCode, x: Tensor, caller: str) -> None:
    """Warn of known numbers beyond those of the fit."""
    if not column.has_numbers:
        return
    values = torch.cat([column.values, column.levels])
    low, high = float(values.min()), float(values.max())
    outside = (x < low) | (x > high)
    if bool(outside.any()):
        value = float(x[outside][0])
        message = f"{caller}: column {column.name!r} has {value:.6g}, and {low:.6g} to {high:.6g} in the fit"
        tell(OutsideWarning, f"{message}; the row is drawn as for the nearest of these")
