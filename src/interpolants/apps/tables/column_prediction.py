"""Distributions of one column of a table, one per row: probabilities of levels, or draws of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.typed_columns import DATE, SPAN, STRING, ColumnType, untyped
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.records import record

_PLAIN = Given("numpy", "float64")


@record("column_prediction", skip=("container",))
@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnPrediction:
    """The distribution of a column in each of B rows, given the other columns.

    Attributes:
        name: Name of the column.
        values: Values in numbers of the column's type, increasing ``(B, M)``: its levels, or draws.
        weights: Their probabilities, ``(B, M)``.
        discrete: Whether the values are levels, the same in all rows.
        type: Type of the column, as :class:`interpolants.data.typed_columns.ColumnType` in parts; empty for an array.
        container: Container of the rows.
    """

    name: str
    values: Tensor
    weights: Tensor
    discrete: bool
    type: tuple[Any, ...] = ()
    container: Given = field(default=_PLAIN)

    def __len__(self) -> int:
        """Number of rows B."""
        return len(self.values)

    @property
    def probabilities(self) -> Any:
        """Probability of each level, ``(B, K)``: a DataFrame with the levels as columns, an array for an array.

        Raises:
            InvalidInputError: If the column has no levels.
        """
        if not self.discrete:
            raise self._refusal("probabilities", "must consist of levels", "Use quantile(p), mean or std.")
        if not self.type:
            return self.weights.numpy()
        pandas = require("pandas", by="ColumnPrediction.probabilities")
        levels = self._restored(self.values[0], index=None)
        columns = pandas.Index(list(levels), name=self.name)
        return pandas.DataFrame(self.weights.numpy(), columns=columns, index=self.container.index)

    @property
    def mode(self) -> Any:
        """The most probable level of each row, ``(B,)``, of the type of the column.

        Raises:
            InvalidInputError: If the column has no levels.
        """
        if not self.discrete:
            raise self._refusal("mode", "must consist of levels", "Use quantile(0.5).")
        return self._out(self.values.gather(1, self.weights.argmax(1, keepdim=True))[:, 0])

    @property
    def mean(self) -> Any:
        """Mean of each row, ``(B,)``: a date or duration for such a column, else a float.

        Raises:
            InvalidInputError: If the column consists of strings or categories.
        """
        self._check_numbers("mean")
        return self._out((self.values * self.weights).sum(1), integers=False)

    @property
    def std(self) -> Any:
        """Standard deviation of each row, ``(B,)`` floats; days for a date or a duration.

        Raises:
            InvalidInputError: If the column consists of strings or categories.
        """
        self._check_numbers("std")
        mean = (self.values * self.weights).sum(1, keepdim=True)
        deviation = ((self.values - mean).square() * self.weights).sum(1).sqrt()
        step = ColumnType(*self.type).step if self.type else 0
        return self._labelled((deviation * step / 86_400_000_000_000 if step else deviation).numpy())

    def quantile(self, p: float) -> Any:
        """The smallest value of each row up to which the probability is at least p, ``(B,)``, of the column's type.

        Args:
            p: Probability in (0, 1).

        Raises:
            InvalidInputError: If p is out of range, or the column consists of strings without an order.
        """
        if not 0 < p < 1:
            raise invalid("ColumnPrediction.quantile", "p must lie in (0, 1)", p)
        if self._of_strings and not ColumnType(*self.type).ordered:
            raise self._refusal("quantile", "must have an order", "Use probabilities or mode.")
        below = (self.weights.cumsum(1) < p - 1e-12).sum(1, keepdim=True).clamp_max(self.values.shape[1] - 1)
        return self._out(self.values.gather(1, below)[:, 0])

    def columns(self) -> dict[str, Any]:
        """Numbers and levels by name, for files: the probabilities, or mean, std and quantiles."""
        if self.discrete:
            names = self.probabilities.columns if self.type else [f"{x:g}" for x in self.values[0].tolist()]
            pairs = zip(names, self.weights.T.numpy(), strict=True)
            return {f"{self.name}_{level}": probability for level, probability in pairs}
        result = {
            "mean": self.mean,
            "std": self.std,
            **{f"{p:g}": self.quantile(p) for p in (0.05, 0.5, 0.95)},
        }
        return {f"{self.name}_{quantity}": np.asarray(x) for quantity, x in result.items()}

    def in_kind(self, container: Given) -> "ColumnPrediction":
        """The same with the row labels of the table."""
        return replace(self, container=container)

    def rows(self, rows: slice) -> "ColumnPrediction":
        """Predictions of the rows of a slice."""
        index = None if self.container.index is None else self.container.index[rows]
        return replace(
            self,
            values=self.values[rows],
            weights=self.weights[rows],
            container=replace(self.container, index=index),
        )

    @staticmethod
    def joined(parts: Sequence["ColumnPrediction"]) -> "ColumnPrediction":
        """Blocks of rows as one answer."""
        values, weights = (torch.cat([getattr(part, x) for part in parts]) for x in ("values", "weights"))
        return replace(parts[0], values=values, weights=weights)

    @property
    def _of_strings(self) -> bool:
        return bool(self.type) and ColumnType(*self.type).sort == STRING

    def _check_numbers(self, quantity: str) -> None:
        if self._of_strings:
            raise self._refusal(quantity, "must consist of numbers or dates", "Use probabilities or mode.")

    def _refusal(self, quantity: str, rule: str, remedy: str) -> Exception:
        received = "numbers" if not self.discrete else "strings" if self._of_strings else "levels"
        return invalid(f"ColumnPrediction.{quantity}", f"column {self.name!r} {rule}", received, remedy)

    def _restored(self, x: Tensor, index: Any) -> Any:
        return untyped(x[:, None].numpy(), [self.type], [self.name], index)[self.name]

    def _out(self, x: Tensor, *, integers: bool = True) -> Any:
        """Values ``(B,)`` in the type of the column; means of numbers as floats."""
        times = bool(self.type) and ColumnType(*self.type).sort in (DATE, SPAN)
        if self.type and (integers or times):
            return self._restored(x, self.container.index)
        return self._labelled(x.numpy())

    def _labelled(self, x: np.ndarray[Any, Any]) -> Any:
        if not self.type:
            return x
        pandas = require("pandas", by="ColumnPrediction")
        return pandas.Series(x, index=self.container.index, name=self.name)
