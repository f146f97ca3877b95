"""The floor of a distance between sets of real data: which sets are compared, and how often."""

import pytest
import torch

from interpolants.metrics.estimate import Estimate
from interpolants.metrics.two_sample import SPLITS, real_floor


def recorded(pool, n, m):
    """Rows of both sets by split, and the floor of the difference of their means."""
    seen = []

    def distance(x, y, source):
        seen.append((x[:, 0].tolist(), y[:, 0].tolist()))
        return Estimate(float(x.mean() - y.mean()), 0.0, n, "difference of means")

    return seen, real_floor(distance, pool, n, m, seed=0)


@pytest.mark.parametrize(
    ("n", "m", "sizes"),
    [
        (4, 9, (4, 9)),
        (6, 14, (6, 14)),
        (1, 19, (1, 19)),
        (16, 24, (8, 12)),
        (40, 10, (16, 4)),
        (400, 8, (18, 2)),
        (8, 400, (2, 18)),
    ],
)
def test_sets_are_disjoint_of_the_sizes_told_and_shrink_alike_where_the_pool_is_too_small(n, m, sizes):
    pool = torch.arange(20.0)[:, None]
    seen, found = recorded(pool, n, m)
    assert len(seen) == SPLITS
    for x, y in seen:
        assert (len(x), len(y)) == sizes
        assert len({*x, *y}) == len(x) + len(y)
    assert found.n == min(sizes)


def test_the_floor_is_the_mean_over_splits_with_their_spread():
    pool = torch.randn(500, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seen, found = recorded(pool, 50, 100)
    values = torch.tensor([sum(x) / 50 - sum(y) / 100 for x, y in seen], dtype=torch.float64)
    assert found.value == pytest.approx(float(values.mean()))
    assert found.error == pytest.approx(float(values.std()))
    # Means of 50 and 100 of the rows: 1/50 + 1/100 of a variance, to a quarter by ten splits.
    assert found.error == pytest.approx((float(pool.var()) * 0.03) ** 0.5, rel=0.75)
