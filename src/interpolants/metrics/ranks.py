"""Rank correlation: how far two quantities rise together, whatever their scales."""

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid


def rank_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Correlation of the ranks of two sets of numbers ``(n,)``, a number in [-1, 1]; equal values share a mean rank.

    Raises:
        InvalidInputError: If shapes differ, values are not finite, there are fewer than two, or all of one are equal.

    Source: Spearman (1904).
    """
    who = "rank_correlation"
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise invalid(
            who,
            "a and b must be vectors of the same length, at least 2",
            f"shapes {tuple(a.shape)}, {tuple(b.shape)}",
        )
    if not (bool(a.isfinite().all()) and bool(b.isfinite().all())):
        raise invalid(who, "numbers must be finite", "nan or inf", "Leave those entries out of both.")
    x, y = (_ranks(one) for one in (a, b))
    scale = x.norm() * y.norm()
    if float(scale) == 0:
        raise invalid(who, "neither set may be constant", "equal numbers")
    found: Tensor = x @ y / scale
    return found


def _ranks(x: Tensor) -> Tensor:
    """Ranks with mean 0, float64."""
    _, place, counts = torch.unique(x, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks = last - (counts.double() - 1) / 2
    found: Tensor = ranks[place]
    centred: Tensor = found - found.mean()
    return centred
