"""Zero-mean subspace: points ``(B, *n, D)`` whose mean over all n is zero, as translations leave them.

The projection ``P x = x - mean(x)`` has rank ``(n - 1) D``. Densities on the subspace are taken in the coordinates of
an orthonormal basis, so that their dimension is that rank.

Source: Koehler, Klein & Noe (2020), arXiv:2006.02425, section 5; Han et al. (2024), arXiv:2410.13027, section 3.
"""

import torch
from torch import Tensor

from interpolants.foundations.checks import whole


def mean_point(x: Tensor, present: Tensor | None = None) -> Tensor:
    """Mean over all points of each item, ``(B, *n, D)`` -> ``(B, *1, D)``.

    Args:
        x: Points.
        present: Which points are there, ``(B, *n)``; all if None. The mean of none is zero.
    """
    axes = tuple(range(1, x.ndim - 1))
    if present is None:
        return x.mean(axes, keepdim=True)
    mask = present[..., None].to(x)
    return (x * mask).sum(axes, keepdim=True) / mask.sum(axes, keepdim=True).clamp_min(1)


def without_mean(x: Tensor, present: Tensor | None = None) -> Tensor:
    """``P x``, the points less their mean; what is not there is zero.

    Args:
        x: Points, ``(B, *n, D)``.
        present: Which points are there, ``(B, *n)``; all if None.
    """
    moved = x - mean_point(x, present)
    return moved if present is None else moved * present[..., None].to(x)


class ZeroMeanBasis:
    """Orthonormal coordinates of the zero-mean subspace of n points: ``(B, *n, D)`` <-> ``(B, n - 1, D)``.

    Coordinate k compares point k + 1 with the mean of those before it (Helmert's basis), in O(n) per point.

    Args:
        n: Number of points, >= 2, over all axes.

    Raises:
        InvalidInputError: If there are fewer than two points: the subspace is then a point.
    """

    def __init__(self, n: int) -> None:
        self.n = whole("ZeroMeanBasis", "n", n, at_least=2)
        k = torch.arange(1, n, dtype=torch.float64)
        rows = torch.tril(torch.ones(n - 1, n, dtype=torch.float64))
        rows[torch.arange(n - 1), torch.arange(1, n)] = -k
        self.matrix = rows / (k * (k + 1)).sqrt()[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """Coordinates ``(B, n - 1, D)`` of points ``(B, *n, D)``; a common shift changes nothing."""
        return self.matrix.to(x) @ x.flatten(1, -2)

    def inverse(self, y: Tensor) -> Tensor:
        """Points ``(B, n, D)`` with mean zero, of coordinates ``(B, n - 1, D)``."""
        return self.matrix.to(y).T @ y
