"""The ROC curve against pairs counted one by one, and the marking of samples between modes."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.metrics.beyond_modes import beyond_modes
from interpolants.metrics.roc import roc


def test_the_area_is_the_share_of_pairs_in_order_with_half_of_the_ties():
    source = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 8, (60,), generator=source).double()
    scores[5] = math.inf
    wanted = torch.rand(60, generator=source) < 0.3
    gap = scores[wanted][:, None] - scores[~wanted]
    pairs = ((gap > 0) + 0.5 * (scores[wanted][:, None] == scores[~wanted])).double()
    assert roc(scores, wanted).area == pytest.approx(float(pairs.mean()), abs=1e-12)


def test_the_error_is_the_spread_over_repetitions():
    areas, errors = [], []
    source = torch.Generator().manual_seed(1)
    for _ in range(400):
        scores = torch.randn(150, generator=source)
        scores[:30] += 1
        found = roc(scores, torch.arange(150) < 30)
        areas.append(found.area), errors.append(found.error)
    expected = 0.5 * (1 + math.erf(0.5))  # Phi(1 / sqrt(2))
    assert sum(areas) / 400 == pytest.approx(expected, abs=4 * sum(errors) / 400 / 20)
    assert sum(errors) / 400 == pytest.approx(torch.tensor(areas).std().item(), rel=0.15)


def test_the_error_of_an_area_of_a_half_is_that_of_mann_and_whitney():
    curve = roc(torch.tensor([0.0, 5.0, 1.0, 2.0, 3.0, 4.0]), torch.arange(6) < 2)
    assert curve.area == 0.5
    assert curve.error == pytest.approx(math.sqrt((2 + 4 + 1) / (12 * 2 * 4)))


def test_a_perfect_and_a_reversed_score():
    scores, wanted = torch.tensor([3.0, 2.0, 1.0, 0.0]), torch.tensor([True, True, False, False])
    best, worst = roc(scores, wanted), roc(-scores, wanted)
    assert (best.area, best.error, worst.area) == (1.0, 0.0, 0.0)
    assert best.found_at(1.0) == 1.0
    assert worst.found_at(1.0) == 0.0
    assert_close(best.true, torch.tensor([0, 0.5, 1, 1, 1]).double())
    assert_close(best.false, torch.tensor([0, 0, 0, 0.5, 1]).double())


def test_found_at_keeps_the_share_that_was_asked_for():
    scores = torch.cat([torch.arange(100.0), torch.tensor([95.5, 97.5, 50.0])])
    curve = roc(scores, torch.arange(103) >= 100)
    assert curve.found_at(0.96) == pytest.approx(2 / 3)  # four of a hundred may go, 96 to 99
    assert curve.found_at(0.97) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("scores", "wanted", "told"),
    [
        ([1.0, math.nan], [True, False], "must not be NaN, got 1 of 2"),
        ([1.0, 2.0], [True, True], "both classes must have rows, got 2 positive, 0 negative"),
        ([1.0, 2.0], [1.0, 0.0], "must be of one length"),
        ([1.0], [True, False], "must be of one length"),
    ],
)
def test_it_refuses_what_has_no_curve(scores, wanted, told):
    with pytest.raises(InvalidInputError, match=told):
        roc(torch.tensor(scores), torch.tensor(wanted))


def test_between_modes_and_nan_are_beyond():
    modes = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    x = torch.tensor([[0.05, 0.05], [1.0, 0.0], [2.0, 0.29], [2.0, 0.31], [math.nan, 0.0], [math.inf, 0.0]])
    assert beyond_modes(x, modes, 0.05).tolist() == [False, True, False, True, True, True]
    assert beyond_modes(x, modes, 0.05, reach=25).tolist() == [False, False, False, False, True, True]
    with pytest.raises(InvalidInputError, match=r"must have one D, got \(6, 2\) and \(2, 1\)"):
        beyond_modes(x, modes[:, :1], 0.05)


def test_the_area_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    source = torch.Generator().manual_seed(2)
    scores = torch.randint(0, 20, (500,), generator=source).double()
    wanted = torch.rand(500, generator=source) < 0.2 + scores / 40
    expected = metrics.roc_auc_score(wanted.numpy(), scores.numpy())
    assert roc(scores, wanted).area == pytest.approx(expected, abs=1e-12)
