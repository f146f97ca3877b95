import math
from functools import partial

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import (
    Estimate,
    bootstrap_error,
    c2st,
    energy_distance,
    floor,
    kde_kl,
    mmd,
    sliced_wasserstein,
    two_halves,
    wasserstein,
)
from interpolants.metrics.estimate import root


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_an_estimate_reads_as_value_and_error():
    assert str(Estimate(0.123456, 0.0123, 50, "W2")) == "W2: 0.1235 ± 0.012 (n = 50)"


def test_bootstrap_error_of_a_difference_of_means_is_the_textbook_one():
    x, y = torch.randn(400, generator=seeded(0)), 3 * torch.randn(200, generator=seeded(1))
    textbook = math.sqrt(float(x.var() / 400 + y.var() / 200))
    found = bootstrap_error(
        lambda a, b: float(a.mean() - b.mean()), x, y, n_bootstrap=400, generator=seeded(2)
    )
    assert abs(found / textbook - 1) < 4 / math.sqrt(2 * 400)


def test_bootstrap_error_is_zero_for_constant_samples_and_refuses_a_single_draw():
    ones = torch.ones(10, 2)
    assert bootstrap_error(lambda a, b: float((a + b).sum()), ones, ones, n_bootstrap=3) == 0
    with pytest.raises(InvalidInputError, match="n_bootstrap must be a whole number >= 2, got 1"):
        bootstrap_error(lambda a, b: 0.0, ones, ones, n_bootstrap=1)


def test_bootstrap_asks_the_statistic_as_often_as_told():
    counted = iter(range(1, 100))
    found = bootstrap_error(lambda a, b: next(counted), torch.ones(4), torch.ones(4), n_bootstrap=12)
    assert found == pytest.approx(math.sqrt(12 * 13 / 12))  # variance n (n + 1) / 12 of 1 ... n
    assert next(counted) == 13


def test_the_root_of_a_square_and_its_error_are_those_of_a_distance():
    assert root(9.0, 0.36) == pytest.approx((3.0, 0.1))  # 3.1^2 is 9.6, to first order
    assert root(0.0, 0.0) == (0.0, 0.0)
    assert root(-1e-9, 1e-9) == (0.0, 0.0)
    spread = 3 + 0.01 * torch.randn(4000, generator=seeded(3), dtype=torch.float64)
    distance, error = root(float(spread.square().mean()), float(spread.square().var()))
    assert distance == pytest.approx(3, rel=1e-3)
    assert error == pytest.approx(0.01, rel=0.05)


def test_halves_are_disjoint_equal_in_size_and_random():
    x = torch.arange(11.0).reshape(11, 1)
    first, second = two_halves(x, seeded(3))
    assert len(first) == len(second) == 5
    assert len(set(first.flatten().tolist()) | set(second.flatten().tolist())) == 10
    assert not torch.equal(first, x[:5].double())
    again, _ = two_halves(x, seeded(3))
    assert torch.equal(first, again)


METRICS = {
    "energy": (energy_distance, 0.0),
    "mmd": (mmd, 0.0),
    "c2st": (partial(c2st, judge="mlp", steps=50), 0.5),
    "kde_kl": (kde_kl, 0.0),
    "sliced": (partial(sliced_wasserstein, n_directions=32), None),
    "wasserstein": (wasserstein, None),
}


@pytest.mark.parametrize("name", METRICS)
def test_floor_is_the_metric_of_two_halves_and_near_the_value_of_equal_distributions(name):
    metric, null = METRICS[name]
    x = torch.randn(600, 2, generator=seeded(4))
    found = floor(metric, x, seeded(5))
    generator = seeded(5)
    first, second = two_halves(x, generator)
    direct = metric(first, second, generator=generator)
    assert found == Estimate(direct.value, direct.error, direct.n, f"{direct.name} (floor)")
    shifted = metric(first, second + 1.0, generator=seeded(6))
    assert shifted.value > found.value + 4 * shifted.error
    if null is not None:
        assert abs(found.value - null) < 4 * found.error
