import math
import sys

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.metrics import c2st
from interpolants.metrics.c2st import _CLIP, _accuracy, _scaled, forest_auc
from interpolants.metrics.c2st import _folds as folds_of


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def bayes_rate(distance):
    """Phi(distance / 2): the best accuracy between two unit Gaussians."""
    return 0.5 * (1 + math.erf(distance / 2 / math.sqrt(2)))


@pytest.mark.parametrize("sizes", [(1000, 1000), (1500, 300)])
def test_equal_distributions_cannot_be_told_apart_whatever_the_sizes(sizes):
    x, y = (torch.randn(n, 2, generator=seeded(i)) for i, n in enumerate(sizes))
    found = c2st(x, y, judge="mlp", steps=100, generator=seeded(2))
    assert abs(found.value - 0.5) < 4 * found.error


@pytest.mark.parametrize("hidden", [(), (64, 64)])
@pytest.mark.parametrize("distance", [1.0, 3.0])
def test_shifted_gaussians_reach_the_bayes_rate(hidden, distance):
    x = torch.randn(2000, 2, generator=seeded(3))
    y = torch.randn(2000, 2, generator=seeded(4)) + torch.tensor([0.6, 0.8]) * distance
    found = c2st(x, y, judge="mlp", hidden=hidden, steps=150, generator=seeded(5))
    assert abs(found.value - bayes_rate(distance)) < 4 * found.error
    assert found.error < 0.012


def test_a_difference_of_shape_needs_the_hidden_layers():
    x = torch.randn(1000, 1, generator=seeded(6))
    y = 4 * torch.randn(1000, 1, generator=seeded(7))
    straight = c2st(x, y, judge="mlp", hidden=(), steps=100, generator=seeded(8))
    bent = c2st(x, y, judge="mlp", steps=100, generator=seeded(8))
    # Equal densities at |x| = c, c^2 = 2 ln 4 / (1 - 1/16): accuracy 1/2 + P(|X| < c)/2 - P(|Y| < c)/2.
    c = math.sqrt(2 * math.log(4) / (1 - 1 / 16))
    bayes = 0.5 + math.erf(c / math.sqrt(2)) / 2 - math.erf(c / 4 / math.sqrt(2)) / 2
    assert abs(straight.value - 0.5) < 5 * straight.error
    assert abs(bent.value - bayes) < 4 * bent.error


def test_disjoint_sets_score_one_and_still_have_an_error():
    x = torch.randn(50, 3, generator=seeded(9))
    found = c2st(x, x + 100, judge="mlp", steps=50, generator=seeded(10))
    assert found.value == 1
    assert 0 < found.error < 0.05


@pytest.mark.slow
def test_no_network_is_judged_on_what_it_was_trained_on():
    # In 200 dimensions 30 samples are separable whatever their labels: a leak would score near 1.
    x, y = torch.randn(30, 200, generator=seeded(11)), torch.randn(32, 200, generator=seeded(12))
    found = c2st(x, y, judge="mlp", steps=60, generator=seeded(13))
    assert abs(found.value - 0.5) < 4 * found.error


def test_result_follows_the_generator_alone():
    x, y = torch.randn(40, 2, generator=seeded(14)), torch.randn(40, 2, generator=seeded(15)) + 1
    first = c2st(x, y, judge="mlp", steps=20, generator=seeded(16))
    assert c2st(x, y, judge="mlp", steps=20, generator=seeded(16)) == first
    values = {c2st(x, y, judge="mlp", steps=20, generator=seeded(s)).value for s in range(17, 22)}
    assert len(values) > 1


def test_a_constant_feature_does_no_harm():
    x, y = torch.randn(40, 2, generator=seeded(22)), torch.randn(40, 2, generator=seeded(23)) + 5
    x[:, 1] = y[:, 1] = 3.0
    assert c2st(x, y, judge="mlp", steps=50, generator=seeded(24)).value > 0.9


@pytest.mark.slow  # 20 s
def test_error_is_the_spread_over_repetitions():
    generator = seeded(25)
    runs = [
        c2st(
            torch.randn(400, 2, generator=generator),
            torch.randn(200, 2, generator=generator) + 1,
            judge="mlp",
            steps=150,
            generator=generator,
        )
        for _ in range(60)
    ]
    spread = float(torch.tensor([run.value for run in runs]).std())
    claimed = float(torch.tensor([run.error for run in runs]).square().mean().sqrt())
    assert 0.6 < claimed / spread < 1.4


@pytest.mark.parametrize(
    "bad", [{"folds": 2}, {"judge": "mlp", "steps": 0}, {"judge": "mlp", "hidden": (8, 0)}]
)
def test_bad_options_are_refused(bad):
    with pytest.raises(
        InvalidInputError,
        match=r"c2st: (folds|steps|every hidden width) must be a whole number >= \d, got [012]",
    ):
        c2st(torch.randn(9, 2), torch.randn(9, 2), **bad)


def test_each_fold_needs_a_sample_of_each_set():
    with pytest.raises(InvalidInputError, match="y must contain at least 5 samples"):
        c2st(torch.randn(9, 2), torch.randn(4, 2))


def test_the_accuracy_does_not_depend_on_units():
    x, y = (torch.randn(60, 2, generator=torch.Generator().manual_seed(k)).double() + 3 * k for k in (0, 1))
    found = [
        c2st(s * x, s * y, judge="mlp", steps=30, generator=torch.Generator().manual_seed(0)).value
        for s in (1.0, 1e-19)
    ]
    assert found[0] == pytest.approx(found[1], abs=0.02)
    assert found[0] > 0.9


def extreme(n, seed, shift):
    """Columns over many orders of magnitude, the first of which differs: a few rows decide every standard deviation."""
    x, y = (torch.randn(n, 8, generator=seeded(seed + k)).double() for k in (0, 1))
    y[:, 0] += shift
    return torch.exp(12 * x), torch.exp(12 * y)


@pytest.mark.slow
@pytest.mark.parametrize("judge", ["forest", "mlp"])
def test_a_difference_that_standard_deviations_hide_is_found(judge):
    x, y = extreme(400, 30, 0.9)
    found = c2st(x, y, judge=judge, generator=seeded(32))
    assert found.value > 0.6
    assert abs(found.value - bayes_rate(0.9)) < 4 * found.error


@pytest.mark.slow
def test_a_corner_is_found_by_the_forest():
    x, y = (torch.rand(600, 6, generator=seeded(k)) for k in (33, 34))
    inside = (y[:, :2] > 0.5).all(1)  # there, y is in its lower left quarter alone
    y[inside, :2] = 0.75 + (y[inside, :2] - 1) / 2
    found = c2st(x, y, generator=seeded(35))
    bayes = 0.5 + 0.25 * 0.75 / 2
    assert 0.56 < found.value < bayes + 4 * found.error


@pytest.mark.slow
@pytest.mark.parametrize("judge", ["forest", "mlp"])
def test_copies_across_the_sets_and_within_one_tell_nothing(judge):
    some = torch.randn(60, 4, generator=seeded(36))
    same = c2st(some, some.flip(0), judge=judge, generator=seeded(37))
    assert same.value == pytest.approx(0.5, abs=1e-9)
    # 40 rows of each, five times: a classifier that had seen four of five copies would score near 1.
    x, y = (torch.randn(40, 4, generator=seeded(k)).repeat(5, 1) for k in (38, 39))
    found = c2st(x, y, judge=judge, generator=seeded(40))
    assert abs(found.value - 0.5) < 3 * found.error
    assert found.error > 0.02  # of 40 rows, not of 200, which would have 0.018


def test_folds_keep_copies_together_and_share_both_sets_out_evenly():
    labels = torch.arange(61) >= 30
    groups = torch.arange(61)
    groups[[40, 50, 60]] = 3
    parts = folds_of(labels, groups, 5, seeded(41))
    assert len(set(parts[[3, 40, 50, 60]].tolist())) == 1
    for side in (labels, ~labels):
        counts = torch.bincount(parts[side], minlength=5)
        assert counts.max() - counts.min() <= 4


@pytest.mark.slow
def test_few_values_are_no_copies():
    x, y = (torch.rand(300, 1, generator=seeded(k)).round() for k in (42, 43))
    y[:60] = 1.0
    assert c2st(x, y, generator=seeded(44)).value > 0.53  # folds by value would have found nothing


@pytest.mark.slow  # 2 minutes
@pytest.mark.parametrize("judge", ["forest", "mlp"])
def test_one_distribution_scores_a_half_within_its_error_over_seeds(judge):
    scores = []
    for seed in range(40):
        x, y = (torch.randn(150, 3, generator=seeded(100 + 2 * seed + k)) for k in (0, 1))
        found = c2st(x, y, judge=judge, generator=seeded(seed))
        scores.append((found.value - 0.5) / found.error)
    z = torch.tensor(scores)
    assert abs(float(z.mean())) < 3 / math.sqrt(40)
    assert float(z.square().mean().sqrt()) < 1.5


@pytest.mark.parametrize("setting", [{"steps": 50}, {"hidden": (8,)}])
def test_settings_of_the_networks_are_refused_by_the_forest(setting):
    x = torch.randn(9, 2)
    with pytest.raises(InvalidInputError, match=r"is a setting of judge='mlp'.*Pass judge='mlp'"):
        c2st(x, x, **setting)


def test_without_scikit_learn_the_forest_names_the_networks(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    x = torch.randn(9, 2, generator=seeded(45))
    with pytest.raises(MissingExtraError, match=r"judge='forest', unlike judge='mlp', needs scikit-learn"):
        c2st(x, x)
    assert c2st(x, x + 9, judge="mlp", steps=20, generator=seeded(46)).value > 0.9


def test_folds_that_disagree_widen_the_error():
    """Twenty rows a fold, ten a side: right in all of the first three folds, wrong in all of the last."""
    labels = (torch.arange(80) % 2).bool()
    parts = torch.arange(80) // 20
    hits = (parts < 3).double()
    found = _accuracy(hits, labels, torch.arange(80), parts)
    assert found.value == pytest.approx(0.75)
    assert found.error == pytest.approx(float(torch.tensor([1.0, 1.0, 1.0, 0.0]).std()) / 2)


def test_a_far_row_reaches_no_further_than_the_clip():
    rows = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    rows[0, 0] = 1e9
    found = _scaled(rows)
    assert float(found.abs().max()) <= _CLIP


def test_the_error_of_an_accuracy_over_copies_counts_each_group_once():
    """50 groups of 4 copies a set, 60 % and 80 % of them right in every fold: the error is that of 50 + 50 draws."""
    groups = torch.arange(400) // 4
    labels, parts = groups >= 50, groups % 5
    right = torch.where(labels, (groups // 5) % 10 < 8, (groups // 5) % 10 < 6)
    found = _accuracy(right.double(), labels, groups, parts)
    assert found.value == pytest.approx(0.7)
    assert found.error == pytest.approx(math.sqrt((0.6 * 0.4 + 0.8 * 0.2) / 50 / 4))


def test_the_error_of_the_area_is_hanley_and_mcneils(monkeypatch):
    votes = torch.tensor([0.1, 0.3, 0.6, 0.2, 0.9, 0.4, 0.7, 0.8, 0.3, 0.5], dtype=torch.float64)
    monkeypatch.setattr(sys.modules["interpolants.metrics.c2st"], "_forest", lambda *_: votes)
    x, y = torch.randn(5, 1, generator=seeded(0)), torch.randn(5, 1, generator=seeded(1))
    found = forest_auc(x, y, folds=3, generator=seeded(2))
    pairs = [(float(b > a) + float(b >= a)) / 2 for a in votes[:5] for b in votes[5:]]
    area = sum(pairs) / 25
    assert found.value == pytest.approx(area)
    assert 0.5 < area < 0.9
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + 4 * (one - area**2) + 4 * (two - area**2)) / 25
    assert found.error == pytest.approx(math.sqrt(variance))
