import math

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics import c2st
from interpolants.metrics.c2st import _draw as draws


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def bayes_rate(distance):
    """Phi(distance / 2): the best accuracy between two unit Gaussians."""
    return 0.5 * (1 + math.erf(distance / 2 / math.sqrt(2)))


@pytest.mark.parametrize("sizes", [(1000, 1000), (1500, 300)])
def test_equal_distributions_cannot_be_told_apart_whatever_the_sizes(sizes):
    x, y = (torch.randn(n, 2, generator=seeded(i)) for i, n in enumerate(sizes))
    found = c2st(x, y, steps=100, generator=seeded(2))
    assert abs(found.value - 0.5) < 4 * found.error


@pytest.mark.parametrize("hidden", [(), (64, 64)])
@pytest.mark.parametrize("distance", [1.0, 3.0])
def test_shifted_gaussians_reach_the_bayes_rate(hidden, distance):
    x = torch.randn(2000, 2, generator=seeded(3))
    y = torch.randn(2000, 2, generator=seeded(4)) + torch.tensor([0.6, 0.8]) * distance
    found = c2st(x, y, hidden=hidden, steps=150, generator=seeded(5))
    assert abs(found.value - bayes_rate(distance)) < 4 * found.error
    assert found.error < 0.012


def test_a_difference_of_shape_needs_the_hidden_layers():
    x = torch.randn(1000, 1, generator=seeded(6))
    y = 4 * torch.randn(1000, 1, generator=seeded(7))
    straight = c2st(x, y, hidden=(), steps=100, generator=seeded(8))
    bent = c2st(x, y, steps=100, generator=seeded(8))
    # Equal densities at |x| = c, c^2 = 2 ln 4 / (1 - 1/16): accuracy 1/2 + P(|X| < c)/2 - P(|Y| < c)/2.
    c = math.sqrt(2 * math.log(4) / (1 - 1 / 16))
    bayes = 0.5 + math.erf(c / math.sqrt(2)) / 2 - math.erf(c / 4 / math.sqrt(2)) / 2
    assert abs(straight.value - 0.5) < 5 * straight.error
    assert abs(bent.value - bayes) < 4 * bent.error


def test_disjoint_sets_score_one_and_still_have_an_error():
    x = torch.randn(50, 3, generator=seeded(9))
    found = c2st(x, x + 100, steps=50, generator=seeded(10))
    assert found.value == 1
    assert 0 < found.error < 0.05


def test_no_network_is_judged_on_what_it_was_trained_on():
    # In 200 dimensions 30 samples are separable whatever their labels: a leak would score near 1.
    x, y = torch.randn(30, 200, generator=seeded(11)), torch.randn(32, 200, generator=seeded(12))
    found = c2st(x, y, steps=60, generator=seeded(13))
    assert abs(found.value - 0.5) < 4 * found.error


def test_result_follows_the_generator_alone():
    x, y = torch.randn(40, 2, generator=seeded(14)), torch.randn(40, 2, generator=seeded(15)) + 1
    first = c2st(x, y, steps=20, generator=seeded(16))
    assert c2st(x, y, steps=20, generator=seeded(16)) == first
    values = {c2st(x, y, steps=20, generator=seeded(s)).value for s in range(17, 22)}
    assert len(values) > 1


def test_a_constant_feature_does_no_harm():
    x, y = torch.randn(40, 2, generator=seeded(22)), torch.randn(40, 2, generator=seeded(23)) + 5
    x[:, 1] = y[:, 1] = 3.0
    assert c2st(x, y, steps=50, generator=seeded(24)).value > 0.9


@pytest.mark.slow  # 20 s
def test_error_is_the_spread_over_repetitions():
    generator = seeded(25)
    runs = [
        c2st(
            torch.randn(400, 2, generator=generator),
            torch.randn(200, 2, generator=generator) + 1,
            steps=150,
            generator=generator,
        )
        for _ in range(60)
    ]
    spread = float(torch.tensor([run.value for run in runs]).std())
    claimed = float(torch.tensor([run.error for run in runs]).square().mean().sqrt())
    assert 0.6 < claimed / spread < 1.4


@pytest.mark.parametrize("bad", [{"folds": 1}, {"steps": 0}, {"hidden": (8, 0)}])
def test_bad_options_are_refused(bad):
    with pytest.raises(
        InvalidInputError,
        match=r"c2st: (folds|steps|every hidden width) must be a whole number >= \d, got [01]",
    ):
        c2st(torch.randn(9, 2), torch.randn(9, 2), **bad)


def test_each_fold_needs_a_sample_of_each_set():
    with pytest.raises(InvalidInputError, match="y must hold at least 5 samples"):
        c2st(torch.randn(9, 2), torch.randn(4, 2))


def test_the_accuracy_does_not_depend_on_units():
    x, y = (torch.randn(60, 2, generator=torch.Generator().manual_seed(k)).double() + 3 * k for k in (0, 1))
    found = [
        c2st(s * x, s * y, steps=30, generator=torch.Generator().manual_seed(0)).value for s in (1.0, 1e-19)
    ]
    assert found[0] == pytest.approx(found[1], abs=0.02)
    assert found[0] > 0.9


@pytest.mark.parametrize("rows", [10, 11, 12])
def test_a_fold_is_trained_on_all_rows_of_the_others(rows):
    z = torch.arange(float(rows))[:, None]
    batches = [draws(z, 3, torch.Generator().manual_seed(seed)) for seed in range(20)]
    for fold in range(3):
        found = set(torch.cat([one[fold].flatten() for one in batches]).long().tolist())
        assert found == {row for row in range(rows) if row % 3 != fold}
