"""Regression of factors on images: what a judge that has seen real images alone reads in others."""

import torch
from torch import Tensor

from interpolants.foundations.checks import positive, whole
from interpolants.foundations.errors import invalid


class FactorRegression:
    """Kernel ridge regression of factors on the pixels of real images; the same numbers whenever it is made.

    The kernel is Gaussian, its length the median distance between images.

    Args:
        x: Real images, or vectors, ``(N, *D)``.
        factors: Their factors ``(N, n)``; NaN where unknown, which leaves the row out for that factor.
        penalty: Added to the diagonal of the kernel matrix.
        most: Most rows to learn from: the cost grows with their cube.

    Raises:
        InvalidInputError: If shapes do not fit, or a factor is known of fewer than two rows.

    Source: Saunders, Gammerman & Vovk (1998), Ridge regression learning algorithm in dual variables.
    """

    def __init__(self, x: Tensor, factors: Tensor, *, penalty: float = 1e-3, most: int = 1500) -> None:
        positive("FactorRegression", "penalty", penalty), whole("FactorRegression", "most", most, at_least=2)
        if factors.ndim != 2 or len(x) != len(factors):
            found = f"{tuple(x.shape)} and {tuple(factors.shape)}"
            raise invalid("FactorRegression", "factors must be (N, n), a row for each image", found)
        self.penalty, self.most = penalty, most
        self._parts = [
            self._fitted(x.flatten(1).double(), factors[:, k].double()) for k in range(factors.shape[1])
        ]

    def _fitted(self, x: Tensor, y: Tensor) -> tuple[Tensor, float, Tensor, Tensor]:
        """Rows, length, weights, and mean of a factor."""
        known = (~y.isnan()).nonzero()[:, 0][: self.most]
        if len(known) < 2:
            raise invalid("FactorRegression", "each factor must have values in at least two rows", len(known))
        rows, y = x[known], y[known]
        gaps = _distances(rows, rows)
        # Where most images are the same, of those that differ; any length will do where all are.
        length = float(gaps.median()) or (float(gaps[gaps > 0].median()) if bool((gaps > 0).any()) else 1.0)
        gram = _kernel(gaps, length) + self.penalty * torch.eye(len(rows), dtype=x.dtype)
        return rows, length, torch.linalg.solve(gram, (y - y.mean())[:, None]), y.mean()

    def read(self, x: Tensor) -> Tensor:
        """Factors ``(B, n)`` of images ``(B, *D)``, float64."""
        flat = x.flatten(1).double()
        found = [
            _kernel(_distances(flat, rows), length) @ weights + mean
            for rows, length, weights, mean in self._parts
        ]
        return torch.cat(found, 1)


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _kernel(gaps: Tensor, length: float) -> Tensor:
    return torch.exp(-0.5 * (gaps / length).square())
