"""Weights of rows: draws in proportion to them, and equally weighted rows that stand for weighted ones."""

import torch
from torch import Generator, Tensor


class WeightedRows:
    """Independent draws of rows in proportion to their weights, with replacement.

    Args:
        weights: ``(N,)``, finite and positive, of any sum.
    """

    def __init__(self, weights: Tensor) -> None:
        # Rows are chosen on the CPU, whatever the device of the data.
        self.levels = torch.cat([torch.zeros(1, dtype=torch.float64), weights.cpu().double().cumsum(0)])

    def draw(self, n: int, generator: Generator | None) -> Tensor:
        """``n`` rows, ``(n,)`` int64."""
        return self.at(torch.rand(n, generator=generator, dtype=torch.float64))

    def at(self, shares: Tensor, first: Tensor | int = 0, end: Tensor | int | None = None) -> Tensor:
        """The row at each share in [0, 1) of the total weight of the rows ``first`` to ``end - 1``."""
        first, end = (torch.as_tensor(row) for row in (first, len(self.levels) - 1 if end is None else end))
        lower, upper = self.levels[first], self.levels[end]
        rows = torch.searchsorted(self.levels, lower + shares * (upper - lower), right=True) - 1
        return torch.clamp(rows, first, end - 1)


def even_rows(weights: Tensor, n: int, generator: Generator | None) -> Tensor:
    """``n`` rows that stand for weighted ones, ``(n,)`` ascending: each ``n w_i / sum w`` times, rounded down or up.

    Systematic resampling: the mean number of copies over the uniform draw is exact.

    Args:
        weights: ``(N,)``, finite and positive, of any sum.
        n: Number of rows.
        generator: Draws the uniform.

    Source: Douc, Cappe & Moulines (2005), arXiv:cs/0507025, section 2.4.
    """
    offset = torch.rand((), generator=generator, dtype=torch.float64)
    return WeightedRows(weights).at((torch.arange(n, dtype=torch.float64) + offset) / n)


def effective_rows(weights: Tensor) -> float:
    """``(sum w)^2 / sum w^2`` of weights ``(B,)``: equally weighted rows with as small an error of a mean (Kish)."""
    weights = weights.double()
    return float(weights.sum().square() / weights.square().sum())


def are_equal(weights: Tensor) -> bool:
    """Whether all weights are the same number."""
    return bool((weights == weights[0]).all())
