"""Distance of two batches in a feature space, as a loss: squared maximum mean discrepancy, without bias.

``MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)`` is zero on average where
the distributions agree, and may be negative then. It fits a map of noise to data as a whole, without an adversary.

Source: Gretton et al., JMLR 13 (2012), lemma 6; as a loss of few-step samplers Aiello et al. (2024), arXiv:2301.07969.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import MinLen
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Each, Positive, Real


class FeatureKernel(Checked, ABC):
    """A positive kernel on features."""

    @abstractmethod
    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """``(n, F), (m, F) -> (n, m)``."""


@dataclass(frozen=True)
class PolynomialKernel(FeatureKernel):
    """``(x . y / F + offset)^degree``; it grows with the features, so scale them, and one outlier can dominate."""

    degree: Count = 3
    """3 is that of the kernel inception distance; 1 compares means alone."""
    offset: Real = 1.0
    """> 0 for all lower degrees too."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Values for all pairs."""
        values: Tensor = (x @ y.T / x.shape[1] + self.offset) ** self.degree
        return values


@dataclass(frozen=True)
class GaussianKernels(FeatureKernel):
    """``mean_b exp(-|x - y|^2 / (2 b^2 F))`` over some widths b, in units of a feature."""

    widths: Annotated[tuple[Positive, ...], MinLen(1), Each("every width")] = (0.5, 1.0, 2.0)
    """Widths; multiples of the median distance per feature are usual."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Values for all pairs."""
        squared = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square() / x.shape[1]
        return torch.stack([torch.exp(squared / (-2 * b**2)) for b in self.widths]).mean(0)


def mmd_loss(
    kernel: FeatureKernel, x: Tensor, y: Tensor, labels: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Unbiased squared MMD of features, a scalar with a gradient.

    Args:
        kernel: The kernel.
        x: Features ``(n, F)``, n >= 2.
        y: Features ``(m, F)``, m >= 2; another number of rows is fine.
        labels: Labels of both: pairs of different labels then count 0, so that each class is matched.

    Raises:
        InvalidInputError: If a batch has fewer than two rows, or the widths differ.
    """
    if len(x) < 2 or len(y) < 2 or x.ndim != 2 or x.shape[1:] != y.shape[1:]:
        rule = "both must be features (n, F) of one width with two rows or more"
        raise invalid("mmd_loss", rule, (tuple(x.shape), tuple(y.shape)))
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    if labels is not None:
        a, b = labels
        xx, yy, xy = xx * (a[:, None] == a), yy * (b[:, None] == b), xy * (a[:, None] == b)
    n, m = len(x), len(y)
    own = (xx.sum() - xx.diagonal().sum()) / (n * (n - 1))
    other = (yy.sum() - yy.diagonal().sum()) / (m * (m - 1))
    return own + other - 2 * xy.mean()
