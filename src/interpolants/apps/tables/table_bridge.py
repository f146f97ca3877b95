"""Tables of numbers, strings, dates and gaps: new rows, rows given some columns, and filled cells."""

from collections.abc import Mapping
from dataclasses import dataclass
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

# Rows below which nothing was measured, and from which a tenth is held out.
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
    return types, column_names(method, x.shape[1])


def column_names(method: Any, width: int) -> list[str]:
    """Names of the columns of a fit; numbers for an array."""
    return list(method.columns("x1")) or [f"x{k + 1}" for k in range(width)]


Coded = tuple[Tensor, Tensor, Tensor]


def _taken(coded: Coded, rows: Tensor) -> Coded:
    levels, lower, width = coded
    return levels[rows], lower[rows], width[rows]


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
                more is held out, and the weights with the smallest loss on it are kept.
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
        known = torch.zeros(row.shape, dtype=torch.bool)
        if given:
            row, known = self._row(given)
            _tell_range(code, row, caller)
        cells = _Cells(row.expand(n, -1), known.expand(n, -1), torch.zeros_like(known).expand(n, -1))
        return self._drawn(cells, caller, seed, first_index)

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
        x, known = x.double(), ~x.isnan()
        cells = _Cells(x, known, ~known)
        tables = [
            self._drawn(cells, "TableBridge.complete", seed, first_index, table=k) for k in range(draws or 1)
        ]
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

    def _row(self, cells_of: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """One row with the requested cells, and which these are, ``(1, D)`` each."""
        caller, names = "TableBridge.sample", self._names
        if unknown := [name for name in cells_of if str(name) not in names]:
            rule = "given must name columns of the fit"
            raise invalid(caller, rule, repr(unknown[0]), nearest(str(unknown[0]), names))
        values = {str(name): value for name, value in cells_of.items()}
        known = torch.tensor([[name in values for name in names]])
        container = self.given["x1"]
        if not container.types:
            cells = [float("nan") if values.get(name) is None else float(values[name]) for name in names]
            return torch.tensor([cells], dtype=torch.float64), known
        pandas = require("pandas", by=caller)
        series = {name: pandas.Series([values.get(name, float("nan"))]) for name in names}
        series = {name: pandas.Series([float("nan")]) if s.isna()[0] else s for name, s in series.items()}
        data, _ = read((table_role(),), {"x1": pandas.DataFrame(series)}, caller, before=self.given)
        return data["x1"].double(), known

    def _drawn(self, cells: "_Cells", caller: str, seed: int, first_index: int, *, table: int = 0) -> Tensor:
        """Rows with the cells drawn that are not known."""
        code, x, known = self.code, cells.x, cells.known
        # Cells to draw are coded as some value that the fit had.
        levels, z = (torch.zeros(x.shape, dtype=kind) for kind in (torch.long, torch.float32))
        noise = BlockNoise.like(x, seed, "known ranks", table, first=first_index).uniform()
        for k, column in enumerate(code.columns):
            rows = known[:, k]
            if bool(rows.any()):
                level, lower, ranks = column.code(x[rows, k].contiguous(), caller)
                levels[rows, k] = level
                z[rows, k] = scores(lower, ranks, noise[rows, k]).float()
        filled = cells.filled & (code.missing_levels() >= 0)
        state = TableState(z, levels, torch.zeros_like(known), known, filled, torch.zeros(len(x)))
        with torch.no_grad():
            field = TableField(code, self.state["net"])
            levels, z = draw(code, field, state, self.n_steps, seed, first_index, table)
        return torch.where(known, x, code.decode(levels, z))


@dataclass(frozen=True)
class _Cells:
    """Cells of rows that are asked for, ``(B, D)`` each.

    Attributes:
        x: Values of known cells; NaN for a cell known to be missing.
        known: Which cells are known.
        filled: Which of the others must not come out as missing.
    """

    x: Tensor
    known: Tensor
    filled: Tensor


def _tell_range(code: TableCode, row: Tensor, caller: str) -> None:
    """Warn of known numbers ``(1, D)`` beyond those of the fit."""
    for column, x in zip(code.columns, row[0], strict=True):
        values = torch.cat([column.values, column.levels])
        if column.has_numbers and bool((x < values.min()) | (x > values.max())):
            low, high = float(values.min()), float(values.max())
            message = (
                f"{caller}: column {column.name!r} has {float(x):.6g}, and {low:.6g} to {high:.6g} in the fit"
            )
            tell(OutsideWarning, f"{message}; rows are drawn as for the nearest of these")
