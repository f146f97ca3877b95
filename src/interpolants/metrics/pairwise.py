"""Kernel two-sample statistics in one pass over blocks of pairs, with their variance.

``k`` kernel, ``k_c`` the kernel centred under each set's own distribution, ``E_xx`` mean over pairs i != j of one set.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Pairs a block: 8 MB of float64, small enough for the allocator to reuse.
_PAIRS = 2**20
# Up to this width the differences are formed one by one, which is exact for coincident points and no slower.
_NARROW = 16


@dataclass(frozen=True)
class Discrepancy:
    """``E_xx k + E_yy k - 2 E_xy k`` and its standard error."""

    value: float
    error: float


def row_blocks(x: Tensor, columns: int) -> Iterator[Tensor]:
    """Blocks of rows of ``x`` for a table with ``columns`` columns."""
    size = max(1, _PAIRS // columns)
    for start in range(0, len(x), size):
        yield x[start : start + size]


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """``|x_i - y_j|^2``: (N, D), (M, D) -> (N, M).

    Wide samples use the expansion into a matrix product; in float64 and about a common centre, which the
    caller subtracts, it errs by 1e-16 of the data's squared radius.
    """
    if x.shape[1] <= _NARROW:
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square_()
    squares = x.square().sum(1, keepdim=True) + y.square().sum(1)
    return squares.addmm_(x, y.T, alpha=-2).clamp_(min=0)


def discrepancy(
    x: Tensor, y: Tensor, kernel: Callable[[Tensor], Tensor], *, at_zero: float, unbiased: bool
) -> Discrepancy:
    """Squared MMD of two sets under a kernel of the squared distance.

    The variance follows from the decomposition into a linear and a quadratic part. With
    ``h(x_i) = mean_j k(x_i, x_j) - mean_j k(x_i, y_j)`` (and likewise for y) and the squares of ``k_c``,

        linear    = 4 (var h(x) / N + var h(y) / M)
        quadratic = 2 (E_xx k_c^2 / N^2 + E_yy k_c^2 / M^2 + 2 E_xy k_c^2 / (N M))

    The noise in ``h`` itself adds ``2 quadratic`` to ``linear``, so the estimate is ``linear - quadratic``,
    and at least ``quadratic``: right to leading order, and a little above when the two distributions agree. A
    bootstrap lacks the correction and is sqrt(3) too large when they agree.

    Args:
        x: (N, D), float64.
        y: (M, D), float64.
        kernel: Elementwise function of squared distances.
        at_zero: The kernel of a point with itself.
        unbiased: Leave the pairs of a sample with itself out (U-statistic), or keep them (V-statistic).
    """
    centre = (x.sum(0) + y.sum(0)) / (len(x) + len(y))
    x, y = x - centre, y - centre
    n, m = len(x), len(y)
    rows_x, squares_x = _within(x, kernel)
    rows_y, squares_y = _within(y, kernel)
    cross_x, cross_y, squares_xy = _between(x, y, kernel)

    terms = []
    for rows, size in ((rows_x, n), (rows_y, m)):
        terms.append(rows.mean() / (size - 1) if unbiased else (rows.mean() + at_zero) / size)
    value = float(terms[0] + terms[1] - 2 * cross_x.mean() / m)

    linear = 4 * _variance(rows_x / (n - 1) - cross_x / m) / n
    linear += 4 * _variance(rows_y / (m - 1) - cross_y / n) / m
    quadratic = 2 * _centred_within(rows_x / (n - 1), squares_x) / n**2
    quadratic += 2 * _centred_within(rows_y / (m - 1), squares_y) / m**2
    quadratic += 4 * _centred_between(cross_x / m, cross_y / n, squares_xy) / (n * m)
    return Discrepancy(value, math.sqrt(max(linear - quadratic, quadratic, 0.0)))


def nearest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Distance from each ``x`` to its nearest ``y``, and its index: (N, D), (M, D) -> (N,), (N,)."""
    centre = y.mean(0)
    wide, targets = x - centre, y - centre
    found = [squared_distances(block, targets).argmin(1) for block in row_blocks(wide, len(y))]
    index = torch.cat(found)
    return (x - y[index]).square().sum(1).sqrt(), index  # anew, so that a copy is at distance 0 exactly


def _within(x: Tensor, kernel: Callable[[Tensor], Tensor]) -> tuple[Tensor, float]:
    """Row sums over j != i, (N,), and the mean square over pairs; each pair is visited once."""
    n = len(x)
    sums, squares = x.new_zeros(n), 0.0
    size = max(1, _PAIRS // n)
    for start in range(0, n, size):
        stop = min(start + size, n)
        block = kernel(squared_distances(x[start:stop], x[start:]))
        square, rest = block[:, : stop - start], block[:, stop - start :]
        square.fill_diagonal_(0.0)
        sums[start:stop] += block.sum(1)
        sums[stop:] += rest.sum(0)
        squares += float(square.square().sum() + 2 * rest.square().sum())
    return sums, squares / (n * (n - 1))


def _between(x: Tensor, y: Tensor, kernel: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, float]:
    """Row sums (N,), column sums (M,) and the mean square over pairs."""
    over_y, over_x, squares = [], y.new_zeros(len(y)), 0.0
    for part in row_blocks(x, len(y)):
        block = kernel(squared_distances(part, y))
        over_y.append(block.sum(1))
        over_x += block.sum(0)
        squares += float(block.square().sum())
    return torch.cat(over_y), over_x, squares / (len(x) * len(y))


def _variance(h: Tensor) -> float:
    return float(h.var())


def _centred_within(row_means: Tensor, mean_square: float) -> float:
    """``E_xx k_c^2`` for ``k_c(i, j) = k(i, j) - r_i - r_j + r``, from the row means r_i over j != i."""
    n, mean, second = len(row_means), float(row_means.mean()), float(row_means.square().mean())
    distinct = (n * mean**2 - second) / (n - 1)  # mean of r_i r_j over i != j
    return max(mean_square - 2 * second + 2 * distinct - mean**2, 0.0)


def _centred_between(rows: Tensor, columns: Tensor, mean_square: float) -> float:
    """``E_xy k_c^2`` for ``k_c(i, j) = k(i, j) - r_i - c_j + r``."""
    seconds = float(rows.square().mean() + columns.square().mean())
    return max(mean_square - seconds + float(rows.mean()) ** 2, 0.0)
