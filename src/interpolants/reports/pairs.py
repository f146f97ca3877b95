"""Pair plot of the columns of samples: histograms, scatter plots and correlations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud

# Largest number of columns, bins of a histogram, and pixels of a panel.
MOST, _BINS, _SIDE = 6, 30, 165


def pairs(x: Tensor, names: Sequence[str], caption: str, truth: Tensor | None = None) -> Figure:
    """Return one row and one column of panels per column of ``x``, for at most six of them.

    Histograms lie on the diagonal, scatter plots below it, and correlation coefficients above it.

    Args:
        x: Samples ``(N, D)``.
        names: Names of the columns.
        caption: Caption of the figure, without a full stop.
        truth: Values to mark, ``(D,)``.
    """
    count = min(MOST, x.shape[1])
    if count < len(names):
        caption += f"; the first {count} of {len(names)} columns"
    if truth is not None:
        caption += "; marks are the passed truth"
    columns = _Columns(x[:, :count].double(), names, truth)
    panels = [columns.panel(row, column) for row in range(count) for column in range(count)]
    side = max(2, count) * _SIDE
    return Figure(
        name="samples",
        panels=tuple(panels),
        columns=count,
        caption=f"{caption}.",
        width=side,
        height=0.85 * side,
    )


@dataclass(frozen=True)
class _Columns:
    """Columns of samples ``(N, D)`` with their names and the values to mark."""

    x: Tensor
    names: Sequence[str]
    truth: Tensor | None

    def panel(self, row: int, column: int) -> Panel:
        """Panel of two columns, or of one with itself."""
        if column > row:
            return self._correlation(row, column)
        if column == row:
            return Panel(series=self._histogram(row), x=self._axis(row, row == self.x.shape[1] - 1))
        series = [cloud(self.x[:, [column, row]], size=2, alpha=0.5)]
        if self.truth is not None:
            series.append(cloud(self.truth[None, [column, row]], hue=1, size=30))
        across = self._axis(column, row == self.x.shape[1] - 1)
        return Panel(series=tuple(series), x=across, y=self._axis(row, column == 0))

    def _axis(self, column: int, labelled: bool) -> Axis:
        values = self.x[:, column]
        if self.truth is not None:
            values = torch.cat([values, self.truth[column : column + 1]])
        low, high = float(values.min()), float(values.max())
        margin = 0.04 * (high - low) or 0.5  # a constant column
        label = self.names[column] if labelled else ""
        return Axis(label=label, low=low - margin, high=high + margin)

    def _histogram(self, column: int) -> tuple[Series, ...]:
        counts, edges = np.histogram(self.x[:, column].numpy(), bins=_BINS)
        bars = Series(mark="histogram", arrays={"edges": edges, "counts": counts})
        if self.truth is None:
            return (bars,)
        return bars, Series(mark="rule", arrays={"x": self.truth[column]}, hue=1)

    def _correlation(self, row: int, column: int) -> Panel:
        value = float(torch.corrcoef(self.x[:, [row, column]].T)[0, 1])
        middle = {"x": torch.tensor(0.5), "y": torch.tensor(0.5)}
        text = Series(mark="text", arrays=middle, name=f"{value:.2f}")
        return Panel(series=(text,), x=Axis(low=0, high=1), y=Axis(low=0, high=1), bare=True)
