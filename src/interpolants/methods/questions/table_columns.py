"""Columns of real and generated rows in one code, whatever their types, and a figure of their distributions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import is_table
from interpolants.data.typed_columns import DATE, NUMBER, SPAN, STRING, TRUTH, ColumnType, typed, untyped
from interpolants.foundations.asked import who
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_rows, column_names, is_numeric

# Bins of a histogram, most bars of a panel, and letters that fit below them.
_BINS, _BARS, _LETTERS = 30, 6, 34
_WIDTH, _HEIGHT, _PER_ROW = 310.0, 250.0, 2
_MISSING, _OTHERS = "missing", "others"


@dataclass(frozen=True)
class TableColumns:
    """Columns of a role.

    Attributes:
        names: Their names.
        types: Their types; empty for arrays and tables of numbers.
        has_missing: Whether cells are missing.
    """

    names: tuple[str, ...]
    types: tuple[ColumnType, ...] = ()
    has_missing: bool = False

    @classmethod
    def of(cls, task: Task, role: str) -> "TableColumns":
        """Columns of a role of a task."""
        value = task.values[role]
        if not is_table(value) or is_numeric(value):
            rows = as_rows(value)
            return cls(tuple(column_names(task, role)), has_missing=bool(rows.isnan().any()))
        return cls.of_table(value)

    @classmethod
    def of_table(cls, table: Any) -> "TableColumns":
        """Columns of a table of any types."""
        codes, parts = typed(table, who(), "table")
        types = tuple(ColumnType(*part) for part in parts)
        return cls(tuple(map(str, table.columns)), types, bool(np.isnan(codes).any()))

    def of_columns(self, index: Sequence[int]) -> "TableColumns":
        """The columns at some indices."""
        return TableColumns(
            tuple(self.names[k] for k in index), tuple(self.types[k] for k in index) if self.types else ()
        )

    def code(self, rows: Any) -> Tensor:
        """Rows as numbers ``(N, D)``; NaN for missing cells."""
        if self.types and is_table(rows):
            codes, _ = typed(rows, who(), "rows", [kind.parts() for kind in self.types])
            return torch.from_numpy(codes)
        x = as_rows(rows)
        return x.reshape(len(x), -1)

    @property
    def unordered(self) -> Tensor:
        """Mask of the columns that are strings or categories without an order, ``(D,)`` bool."""
        if not self.types:
            return torch.zeros(len(self.names), dtype=torch.bool)
        return torch.tensor([kind.sort == STRING and not kind.ordered for kind in self.types])

    def text(self, k: int, x: Tensor) -> list[str]:
        """Values of column k as text; of NaN too."""
        kind = self.types[k] if self.types else ColumnType(NUMBER, "float64")
        if kind.sort == NUMBER:
            result = [f"{value:.4g}" for value in x.tolist()]
        else:
            codes = x.double().round()[:, None].numpy()
            series = untyped(codes, [kind.parts()], [self.names[k]], None)[self.names[k]]
            result = [str(value) for value in series]
        gone = x.isnan().tolist()
        return [
            _MISSING if missing else cell.removesuffix(" 00:00:00")
            for cell, missing in zip(result, gone, strict=True)
        ]

    def has_levels(self, k: int, x: Tensor) -> bool:
        """Whether column k with values ``x (N,)`` is drawn as bars: strings, booleans, and few numbers."""
        sort = self.types[k].sort if self.types else NUMBER
        few = len(torch.unique(x[~x.isnan()])) <= _BARS
        return sort in (STRING, TRUTH) or (sort == NUMBER and few)


def shares(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values ``(K,)`` of two columns, increasing and NaN last, and the share of each in ``x (N,)`` and ``y (M,)``."""
    pooled = torch.cat([x, y]).double()
    values = torch.unique(pooled[~pooled.isnan()])
    result = [(cells.double()[:, None] == values).double().mean(0) for cells in (x, y)]
    if bool(pooled.isnan().any()):
        values = torch.cat([values, values.new_tensor([torch.nan])])
        missing = [cells.isnan().double().mean()[None] for cells in (x, y)]
        result = [torch.cat(pair) for pair in zip(result, missing, strict=True)]
    return values, result[0], result[1]


def marginals(columns: TableColumns, sets: Mapping[str, Tensor], caption: str) -> Figure:
    """Distributions of columns, one panel each: histograms of numbers and dates, bars of levels.

    Args:
        columns: The columns.
        sets: Title -> coded rows ``(N, D)``, one or two; the first one gives the range.
        caption: Caption of the figure.
    """
    panels = tuple(
        _panel(columns, k, {title: x[:, k] for title, x in sets.items()}) for k in range(len(columns.names))
    )
    across = min(_PER_ROW, len(panels))
    height = _HEIGHT * -(-len(panels) // across)
    return Figure(
        name="marginals",
        panels=panels,
        caption=caption,
        columns=across,
        width=_WIDTH * across,
        height=height,
        legend_columns=len(sets) if len(sets) > 1 else 0,
    )


def _panel(columns: TableColumns, k: int, sets: Mapping[str, Tensor]) -> Panel:
    first, last = next(iter(sets.values())), list(sets.values())[-1]
    if columns.has_levels(k, torch.cat([first, last])):
        return _bars(columns, k, sets)
    missing = [f"{float(x.isnan().double().mean()):.0%}" for x in sets.values()]
    suffix = (
        f", {' → '.join(missing)} {_MISSING}" if any(bool(x.isnan().any()) for x in sets.values()) else ""
    )
    edges = _edges(first[~first.isnan()].double())
    series = [
        Series(mark="histogram", arrays={"edges": edges, "counts": _counts(x, edges)}, name=title, hue=hue)
        for hue, (title, x) in enumerate(sets.items())
    ]
    axis = Axis()
    if columns.types and columns.types[k].sort in (DATE, SPAN):
        positions = edges[[0, len(edges) // 2, len(edges) - 1]].ceil()
        axis = Axis(ticks=tuple(positions.tolist()), names=tuple(columns.text(k, positions)))
    return Panel(series=tuple(series), title=columns.names[k] + suffix, x=axis, y=Axis(label="share of rows"))


def _edges(x: Tensor) -> Tensor:
    """Edges of bins; each bin of integers has as many of them."""
    if not len(x):
        return torch.linspace(0, 1, _BINS + 1, dtype=torch.float64)
    low, high = float(x.min()), float(x.max())
    if bool((x == x.round()).all()):
        step = max(1.0, math.ceil((high - low + 1) / _BINS))
        return low - 0.5 + step * torch.arange(math.ceil((high - low + 1) / step) + 1, dtype=torch.float64)
    return torch.linspace(low, high, _BINS + 1, dtype=torch.float64)


def _counts(x: Tensor, edges: Tensor) -> Tensor:
    """Share of all rows in each bin; rows beyond the range are in the last ones."""
    observed = x[~x.isnan()].double().clamp(float(edges[0]), float(edges[-1]))
    counts, _ = torch.histogram(observed, edges)
    return counts / max(1, len(x))


def _bars(columns: TableColumns, k: int, sets: Mapping[str, Tensor]) -> Panel:
    """Shares of the most frequent levels, of the others together, and of missing cells."""
    first, last = next(iter(sets.values())), list(sets.values())[-1]
    values, *both_shares = shares(first, last)
    heights = torch.stack(both_shares[: len(sets)])
    named = ~values.isnan()
    order = heights.amax(0).masked_fill(~named, -1).argsort(descending=True, stable=True)
    count = int(named.sum())
    chosen = order[: count if count <= _BARS else _BARS - 1]
    chosen = chosen if bool(columns.unordered[k]) else chosen.sort().values
    names, parts = columns.text(k, values[chosen]), [heights[:, chosen]]
    if count > _BARS:
        names, parts = [*names, _OTHERS], [*parts, heights[:, order[_BARS - 1 : count]].sum(1, keepdim=True)]
    if count < len(values):
        names, parts = [*names, _MISSING], [*parts, heights[:, ~named]]
    bars, size = torch.cat(parts, 1), 0.8 / len(sets)
    positions = np.arange(len(names))
    series = [
        Series(
            mark="bars",
            arrays={"height": bars[i], "x": positions + (i - (len(sets) - 1) / 2) * size},
            name=title,
            hue=i,
            size=size,
        )
        for i, title in enumerate(sets)
    ]
    letters = max(4, _LETTERS // len(names))
    labels = [name if len(name) <= letters else f"{name[: letters - 1]}…" for name in names]
    x = Axis(ticks=tuple(map(float, positions)), names=tuple(labels))
    return Panel(series=tuple(series), title=columns.names[k], x=x, y=Axis(label="share of rows"))
