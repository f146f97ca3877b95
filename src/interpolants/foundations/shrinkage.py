"""Correlation of standardised rows, shrunk towards the identity by the likelihood of held-out rows."""

import torch
from torch import Tensor

from interpolants.foundations.row_access import Rows, pieces

# Shares of the identity that are tried, over so many folds of at most so many rows; above so many columns one is taken.
SHARES = (0.0, 1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0)
_FOLDS, _MOST_ROWS, _MOST_COLUMNS, _USUAL = 5, 5000, 1024, 1e-3
# Least variance in a direction of standardised columns: what varies less counts as this.
LEAST_VARIANCE = 1e-5


def shrunk_correlation(z: Rows) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``(D,)`` and vectors ``(D, D)`` of ``(1 - share) C + share I``, C the covariance of ``z (N, D)``.

    The share is that of `SHARES` under which rows are likeliest as normal rows, each by the moments of the other four
    fifths. Too few rows for their columns, and outliers, make it large.

    Args:
        z: Standardised rows, float64, without gaps; a tensor, or rows that are read in pieces.
    """
    products = sum(piece.T @ piece for piece in pieces(z))
    values, vectors = torch.linalg.eigh(products / max(len(z) - 1, 1))
    return _shrunk(values, _best_share(z[:_MOST_ROWS])), vectors


def _shrunk(values: Tensor, share: float) -> Tensor:
    return ((1 - share) * values + share).clamp_min(LEAST_VARIANCE)


def _best_share(z: Tensor) -> float:
    if z.shape[1] > _MOST_COLUMNS or len(z) < 2 * _FOLDS:
        return _USUAL
    fold = torch.arange(len(z)) % _FOLDS
    scores = torch.zeros(len(SHARES), dtype=torch.float64)
    for k in range(_FOLDS):
        rest, left = z[fold != k], z[fold == k]
        values, vectors = torch.linalg.eigh(rest.T @ rest / len(rest))
        power = (left @ vectors).square().sum(0)
        for n, share in enumerate(SHARES):
            spread = _shrunk(values, share)
            scores[n] -= (power / spread).sum() + len(left) * spread.log().sum()
    return SHARES[int(scores.argmax())]
