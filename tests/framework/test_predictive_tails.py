"""Predictive distributions whose rows have tails of their own: each row is what it is alone."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.answers import Predictive

pytest.importorskip("scipy")
TAILS = torch.tensor([1.5, 4.0, 30.0, math.inf], dtype=torch.float64)
LOC = torch.tensor([0.0, 1.0, -2.0, 3.0], dtype=torch.float64).reshape(1, 4, 1)
SCALE = torch.tensor([1.0, 0.5, 2.0, 0.1], dtype=torch.float64).reshape(1, 4, 1)
MIXED = Predictive(loc=LOC, scale=SCALE, df=TAILS)


def alone(i):
    return Predictive(loc=LOC[:, i : i + 1], scale=SCALE[:, i : i + 1], df=float(TAILS[i]))


@pytest.mark.parametrize("i", [0, 1, 2])
def test_a_row_has_the_density_and_the_quantiles_that_it_has_alone(i):
    y = LOC[0] + 0.7
    assert_close(MIXED.log_prob(y)[i : i + 1], alone(i).log_prob(y[i : i + 1]))
    assert_close(MIXED.cdf(y)[i], alone(i).cdf(y[i])[0])
    for p in (0.001, 0.5, 0.95):
        assert_close(MIXED.quantile(p)[i], alone(i).quantile(p)[0], rtol=1e-9, atol=1e-9)
    assert_close(MIXED.std[i], alone(i).std[0])


def test_infinite_variances_are_told_as_such():
    assert math.isinf(float(MIXED.std[0]))
    assert float(MIXED.std[1]) == pytest.approx(0.5 * math.sqrt(2))


def test_rows_are_cut_and_joined_with_their_tails():
    again = Predictive.joined([MIXED.rows(slice(0, 1)), MIXED.rows(slice(1, 4))])
    assert torch.equal(again.df, TAILS)
    assert torch.equal(again.quantile(0.9), MIXED.quantile(0.9))


def test_draws_follow_the_tails_of_their_row():
    drawn = MIXED.rows(slice(0, 3)).sample(4000, seed=1)[..., 0]
    for i in range(3):
        below = (drawn[:, i] < float(alone(i).quantile(0.9))).double().mean()
        assert float(below) == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 4000))


def test_as_many_tails_as_rows():
    with pytest.raises(InvalidInputError, match="df must be a number, or one for each of 4 rows"):
        Predictive(loc=LOC, scale=SCALE, df=TAILS[:2])
