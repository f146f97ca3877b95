"""Permutation tests of two tables: each column, pairs of columns, and whole rows, corrected for their number.

Notation: N pooled rows, of which n belong to the first table; B permutations; K distinct values of a column. A
permutation reassigns the rows to the two tables, the same way for all columns, so that columns that depend on each
other are corrected for jointly (the single-step maxT procedure).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from torch import Generator, Tensor

About = Literal["values", "missing", "correlation", "rows"]

# Cut points of a column's distribution function; more are thinned to evenly spaced ranks.
_MOST_CUTS = 2000
# Features for which all pairs are tested, rows for pairs, and rows for distances between whole rows.
_MOST_FEATURES, _PAIR_ROWS, _DISTANCE_ROWS = 64, 8000, 2000
# Numbers of one block of permutations.
_BLOCK = 2**23


@dataclass(frozen=True)
class PooledColumn:
    """One column of the rows of both tables, those of the first one first.

    Attributes:
        values: Numbers ``(N,)``, float64, NaN where a cell is missing; or codes of words, ``(N,)`` int64.
        categorical: Whether the values are codes, whose order means nothing.
    """

    values: Tensor
    categorical: bool = False


@dataclass(frozen=True)
class ColumnTest:
    """Test of one property of the two tables.

    Attributes:
        about: ``values`` of a column, its ``missing`` cells, the ``correlation`` of two columns, or whole ``rows``.
        columns: Indices of the columns; none for rows.
        distance: Values of numbers: Kolmogorov-Smirnov distance. Values of words and missing cells: total variation
            distance. Correlation: absolute difference of the correlations of normal scores. Rows: energy distance of
            normal scores.
        floor: Mean of the distance over the permutations: its value if the tables differ by sampling noise only.
        p_value: Corrected for the number of tests.
    """

    about: About
    columns: tuple[int, ...]
    distance: float
    floor: float
    p_value: float


@dataclass(frozen=True)
class _Statistic:
    """Statistic and distance of a test for the observed tables, then for each permutation, ``(1 + B,)``."""

    about: About
    columns: tuple[int, ...]
    statistic: Tensor
    distance: Tensor


def column_tests(
    columns: Sequence[PooledColumn], n: int, *, permutations: int = 999, generator: Generator
) -> list[ColumnTest]:
    """Test whether the rows of two tables have the same distribution.

    Numbers are compared by their ranks, with the statistic of Anderson and Darling, which is sensitive to tails; words
    and missing cells by Pearson's chi-squared statistic. Columns are one family of tests; pairs of columns, by the
    correlations of their normal scores, and whole rows, by their energy distance, are another. Within a family the
    p value of a test is the fraction of permutations whose largest standardised statistic is at least that of the test;
    with two families it is doubled.

    Args:
        columns: Columns of N pooled rows.
        n: Number of rows of the first table, between 1 and N - 1.
        permutations: B; the smallest p value is ``1 / (1 + B)``.
        generator: Source of the permutations.

    Source: Westfall & Young (1993), Resampling-Based Multiple Testing, for maxT; Anderson & Darling (1952), Ann. Math.
    Stat. 23; Szekely & Rizzo (2013), J. Statist. Plann. Inference 143.
    """
    labels = _labels(len(columns[0].values), n, permutations, generator)
    single = [result for k, column in enumerate(columns) for result in _of_column(k, column, labels)]
    joint = list(_of_rows(columns, n, labels)) if len(columns) > 1 else []
    families = [family for family in (single, joint) if family]
    return [result for family in families for result in _corrected(family, len(families))]


def _labels(rows: int, n: int, permutations: int, generator: Generator) -> Tensor:
    """Mask of the rows of the first table, ``(1 + B, N)`` uint8: as observed, then permuted."""
    labels = torch.zeros(1 + permutations, rows, dtype=torch.uint8)
    labels[0, :n] = 1
    for label in labels[1:]:
        label[torch.randperm(rows, generator=generator)[:n]] = 1
    return labels


def _corrected(family: Sequence[_Statistic], families: int) -> list[ColumnTest]:
    # The cube root makes chi-squared statistics nearly normal, so that one scale suits all tests.
    roots = torch.stack([result.statistic.clamp(min=0).double().pow(1 / 3) for result in family])
    std = roots.std(1, keepdim=True)
    varies = std > 1e-12 * roots.abs().amax(1, keepdim=True)
    scores = torch.where(varies, (roots - roots.mean(1, keepdim=True)) / std.clamp(min=1e-300), 0.0)
    largest = scores.amax(0)
    # The observed tables are one of the equally likely assignments; 1e-9 keeps ties equal after rounding.
    p_values = (largest >= scores[:, :1] - 1e-9).double().mean(1)
    return [
        ColumnTest(
            result.about,
            result.columns,
            float(result.distance[0]),
            float(result.distance[1:].mean()),
            min(1.0, families * p),
        )
        for result, p in zip(family, p_values.tolist(), strict=True)
    ]


# --- single columns ------------------------------------------------------------------------------------------


def _of_column(index: int, column: PooledColumn, labels: Tensor) -> Iterator[_Statistic]:
    values = column.values
    if column.categorical:
        yield _Statistic("values", (index,), *_compared(values, labels, _categories))
        return
    missing = torch.isnan(values)
    if bool((~missing).any()):
        present = labels[:, ~missing] if bool(missing.any()) else labels
        yield _Statistic("values", (index,), *_compared(values[~missing], present, _distribution))
    if bool(missing.any()):
        yield _Statistic("missing", (index,), *_compared(missing.long(), labels, _categories))


_Counts = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _compared(values: Tensor, labels: Tensor, compare: _Counts) -> tuple[Tensor, Tensor]:
    """Statistic and distance, from the counts of rows up to each distinct value."""
    ordered, order = values.sort()
    last = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool)])
    cut_points = last.nonzero()[:, 0]
    if compare is _distribution and len(cut_points) > _MOST_CUTS:
        cut_points = cut_points[torch.linspace(0, len(cut_points) - 1, _MOST_CUTS).long()]
    parts = []
    for block in torch.split(labels, max(1, _BLOCK // len(values))):
        first = block[:, order].cumsum(1, dtype=torch.int32)[:, cut_points].double()
        total = (cut_points + 1).double()
        n, m = first[:, -1:], total[-1] - first[:, -1:]
        statistic, distance = compare(first, total, n.clamp(min=1), m.clamp(min=1))
        empty = ((n == 0) | (m == 0))[:, 0]  # all present cells are in one table: only the missing ones tell
        parts.append((statistic.masked_fill(empty, 0.0), distance.masked_fill(empty, 0.0)))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _distribution(first: Tensor, total: Tensor, n: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """Anderson-Darling statistic, and Kolmogorov-Smirnov distance, of cumulative counts ``(B, K)``."""
    difference = first / n - (total - first) / m
    pooled = total / total[-1]
    weight = torch.diff(pooled, prepend=pooled.new_zeros(1)) / (pooled * (1 - pooled)).clamp(min=1e-300)
    weight[-1] = 0.0  # both distribution functions are 1
    return (n * m)[:, 0] / total[-1] * (difference.square() @ weight), difference.abs().amax(1)


def _categories(first: Tensor, total: Tensor, n: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
    """Chi-squared statistic, and total variation distance, of cumulative counts ``(B, K)``."""
    counts = torch.diff(first, dim=1, prepend=first.new_zeros(len(first), 1))
    sizes = torch.diff(total, prepend=total.new_zeros(1))
    difference = counts / n - (sizes - counts) / m
    return (n * m)[:, 0] * (difference.square() @ (1 / sizes)), difference.abs().sum(1) / 2


# --- several columns -----------------------------------------------------------------------------------------


def _of_rows(columns: Sequence[PooledColumn], n: int, labels: Tensor) -> Iterator[_Statistic]:
    scored = [(k, score) for k, column in enumerate(columns) for score in _scores(column)]
    if len({k for k, _ in scored}) < 2:
        return
    owners = [k for k, _ in scored]
    features = torch.stack([score for _, score in scored], 1)
    if len(owners) <= _MOST_FEATURES:
        rows = _first_rows(n, len(features), _PAIR_ROWS)
        yield from _correlations(features[rows], owners, labels[:, rows])
    rows = _first_rows(n, len(features), _DISTANCE_ROWS)
    yield _energy(features[rows], labels[:, rows])


def _first_rows(n: int, total: int, max_rows: int) -> Tensor:
    """Indices of the first rows of both tables, in proportion, at most ``max_rows``."""
    fraction = min(1.0, max_rows / total)
    parts = [
        torch.arange(max(2, round(fraction * n))),
        n + torch.arange(max(2, round(fraction * (total - n)))),
    ]
    return torch.cat(parts)


def _scores(column: PooledColumn) -> list[Tensor]:
    """Normal scores of numbers, 0 where missing; indicators of the most frequent words, standardised."""
    if not column.categorical:
        present = ~torch.isnan(column.values)
        _, codes, sizes = torch.unique(column.values[present], return_inverse=True, return_counts=True)
        middle = (sizes.cumsum(0) - (sizes - 1) / 2 - 0.5) / max(int(sizes.sum()), 1)
        score = torch.zeros(len(present), dtype=torch.float64)
        score[present] = torch.special.ndtri(middle.double())[codes]
        return [score] if len(sizes) > 1 else []
    codes, sizes = torch.unique(column.values, return_counts=True)
    frequent = codes[sizes.argsort(descending=True)[:10]]
    indicators = [(column.values == code).double() for code in frequent]
    varying = [indicator for indicator in indicators if 0 < float(indicator.mean()) < 1]
    # Two words are one indicator and its opposite.
    return [
        (indicator - indicator.mean()) / indicator.std()
        for indicator in (varying[:1] if len(codes) == 2 else varying)
    ]


def _correlations(features: Tensor, owners: Sequence[int], labels: Tensor) -> Iterator[_Statistic]:
    """Differences of the correlations of features; the largest of those that belong to the same two columns."""
    pairs = [(i, j) for i, j in combinations(range(len(owners)), 2) if owners[i] != owners[j]]
    first_index, second_index = torch.tensor(pairs).T
    moments = torch.cat(
        [features, features.square(), features[:, first_index] * features[:, second_index]], 1
    )
    result = []
    for block in torch.split(labels, max(1, _BLOCK // len(features))):
        weights = block.double()
        n = weights.sum(1, keepdim=True)
        sums = weights @ moments
        size = len(owners)
        first = _correlation(sums / n, size, first_index, second_index)
        second = _correlation((moments.sum(0) - sums) / (len(features) - n), size, first_index, second_index)
        result.append((first - second).abs())
    differences = torch.cat(result)
    by_columns: dict[tuple[int, int], list[int]] = {}
    for index, (i, j) in enumerate(pairs):
        by_columns.setdefault((owners[i], owners[j]), []).append(index)
    for owned, indices in by_columns.items():
        difference = differences[:, indices].amax(1)
        yield _Statistic("correlation", owned, difference.square(), difference)


def _correlation(moments: Tensor, size: int, first_index: Tensor, second_index: Tensor) -> Tensor:
    mean, square, product = moments[:, :size], moments[:, size : 2 * size], moments[:, 2 * size :]
    std = (square - mean.square()).clamp(min=1e-12).sqrt()
    return (product - mean[:, first_index] * mean[:, second_index]) / (
        std[:, first_index] * std[:, second_index]
    )


def _energy(features: Tensor, labels: Tensor) -> _Statistic:
    """Energy distance of whole rows, the V-statistic."""
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    weights = labels.double()
    n = weights.sum(1, keepdim=True)
    signed = weights / n - (1 - weights) / (len(features) - n)
    result = -((signed @ distances) * signed).sum(1)
    return _Statistic("rows", (), result, result)
