"""Predictive distributions whose rows have tails of their own: each row is what it is alone."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.data.arrays import Kind
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
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
    with pytest.warns(FitWarning, match="1 of 4 rows"):
        spread = MIXED.std[i]
    assert_close(
        spread,
        (SCALE[0, i] * (TAILS[i] / (TAILS[i] - 2)).sqrt()) if i else torch.full((1,), math.inf).double(),
    )


def test_infinite_variances_are_told_as_such():
    with pytest.warns(FitWarning, match=r"have 1.5 <= 2 degrees of freedom.*quantile"):
        spread = MIXED.std
    assert math.isinf(float(spread[0]))
    assert float(spread[1]) == pytest.approx(0.5 * math.sqrt(2))


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
    with pytest.raises(InvalidInputError, match="df must be a number, or one per row, 4"):
        Predictive(loc=LOC, scale=SCALE, df=TAILS[:2])


def test_values_to_judge_are_known_by_name_and_shape():
    pandas = pytest.importorskip("pandas")
    loc = torch.tensor([[[0.0, 10.0], [1.0, 20.0], [2.0, 30.0]]], dtype=torch.float64)
    given = Kind("pandas", "float64", columns=("a", "b"))
    answer = Predictive(loc=loc, scale=torch.ones_like(loc), given=given)
    table = pandas.DataFrame(loc[0].numpy() + 1, columns=["a", "b"])
    at = answer.log_prob(table)
    assert_close(at, torch.full((3,), -1.0 - math.log(2 * math.pi), dtype=torch.float64))
    assert_close(answer.log_prob(table[["b", "a"]]), at)
    assert_close(answer.log_prob(table.to_numpy()), at)
    with pytest.raises(InvalidInputError, match="must have the columns a, b, got no 'b'"):
        answer.log_prob(table[["a"]])
    for other in (loc[0].T, 1.0, loc[0, :2]):
        with pytest.raises(InvalidInputError, match=r"y must have shape \(3, 2\)"):
            answer.log_prob(other)


def test_an_infinite_value_is_impossible_and_nan_is_not_seen():
    answer = Predictive(loc=torch.zeros(2, 2, 1), scale=torch.ones(2, 2, 1))
    found = answer.log_prob(torch.tensor([math.inf, math.nan]))
    assert found.tolist() == [-math.inf, 0.0]


def test_a_wide_component_that_weighs_nothing_moves_no_quantile():
    """Nodes of a quadrature over scales reach far beyond all that counts."""
    scale = torch.tensor([1e-27, 0.5, 1e24], dtype=torch.float64).reshape(3, 1, 1)
    weight = torch.tensor([1e-40, 1.0, 1e-40], dtype=torch.float64).log().reshape(3, 1)
    wide = Predictive(loc=torch.zeros_like(scale) + 2.0, scale=scale, log_weight=weight)
    one = Predictive(loc=wide.loc[1:2], scale=scale[1:2])
    for p in (0.001, 0.5, 0.95):
        assert_close(wide.quantile(p), one.quantile(p), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("df", [0.3, 2.0, math.inf])
def test_the_distribution_function_of_a_quantile_is_its_level(df):
    """Light and heavy components, of which some count in one tail alone."""
    loc = torch.tensor([0.0, 5.0, -3.0], dtype=torch.float64).reshape(3, 1, 1)
    weight = torch.tensor([1.0, 1e-3, 1e-9], dtype=torch.float64).log().reshape(3, 1)
    mixed = Predictive(loc=loc, scale=loc.abs() + 0.1, df=df, log_weight=weight)
    for p in (1e-6, 0.02, 0.5, 0.9995):
        assert float(mixed.cdf(mixed.quantile(p))) == pytest.approx(p, rel=1e-6)
