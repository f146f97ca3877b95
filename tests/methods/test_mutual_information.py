"""Mutual information of Gaussian pairs, whose value is known, by exact and by learnt predictions, and by rivals."""

import math

import pytest
import torch

import interpolants as itp
from interpolants.foundations.errors import InvalidInputError
from interpolants.methods import mutual_information as module
from interpolants.paths import OneSidedLinear

F64 = torch.float64


def pairs(dim, correlation, n, seed=0):
    source = torch.Generator().manual_seed(seed)
    x, e = (torch.randn(n, dim, generator=source, dtype=F64) for _ in range(2))
    return x, correlation * x + math.sqrt(1 - correlation**2) * e


def truth(dim, correlation):
    return -dim / 2 * math.log(1 - correlation**2)


class Exact:
    """Predictions of the noise for Gaussian pairs, with an error that depends on y added to those that see y."""

    path = OneSidedLinear()

    def __init__(self, correlation, wrong=0.0):
        self.correlation, self.wrong = correlation, wrong

    def evaluate(self, x, t, want, cond=None):
        alpha, beta = (part(t)[:, None] for part in (self.path.alpha, self.path.beta))
        if cond is None:
            return {"noise": alpha * x / (alpha**2 + beta**2)}
        rest = alpha**2 + beta**2 * (1 - self.correlation**2)
        wrong = self.wrong * torch.sin(40 * cond)
        return {"noise": alpha * (x - beta * self.correlation * cond) / rest + wrong}


def forms(fields, x, y):
    without, with_y = module.noise_of(fields), module.noise_of(fields, y.float())
    return module.information_forms(fields.path, without, with_y, x.float(), 0).means


def test_exact_predictions_give_the_known_value_in_each_form():
    for value, error in forms(Exact(0.8), *pairs(1, 0.8, 3000)):
        assert abs(value - truth(1, 0.8)) < 4 * error
        assert error < 0.02


def test_an_error_of_the_prediction_with_y_cancels_in_the_mean_of_the_forms():
    (mean, error), (squared, _), (difference, _) = forms(Exact(0.8, 0.15), *pairs(1, 0.8, 3000))
    excess = 14 * 0.15**2 / 2 / 2  # mean square of a sine is a half
    assert squared - truth(1, 0.8) == pytest.approx(excess, abs=0.03)
    assert difference - truth(1, 0.8) == pytest.approx(-excess, abs=0.06)
    assert abs(mean - truth(1, 0.8)) < 4 * error
    assert mean == pytest.approx((squared + difference) / 2, abs=1e-9)


def test_the_squared_form_does_not_notice_wrong_pairs_and_the_difference_does():
    x, y = pairs(1, 0.8, 3000)
    (mean, error), (squared, _), (difference, _) = forms(Exact(0.8), x, y.roll(1, 0))
    assert squared > truth(1, 0.8)
    assert difference < -truth(1, 0.8)
    assert abs(mean) < 4 * error


@pytest.mark.parametrize(("dim", "correlation", "low", "high"), [(1, 0.8, 0.95, 1.06), (5, 0.7, 0.6, 0.82)])
def test_neighbours_are_right_for_one_column_and_low_for_five(dim, correlation, low, high):
    assert low < module.ksg_information(*pairs(dim, correlation, 2000)) / truth(dim, correlation) < high


def test_the_gaussian_value_is_that_of_the_correlations():
    x, y = pairs(5, 0.7, 20_000)
    turn = torch.eye(5, dtype=F64) + 0.3
    assert module.gaussian_information(x @ turn, y) == pytest.approx(truth(5, 0.7), rel=0.02)


def test_normal_scores_depend_on_ranks_alone_and_equal_values_share_one():
    x, _ = pairs(2, 0.5, 500)
    scores = module.normal_scores(x)
    assert torch.equal(module.normal_scores(x.exp()), scores)
    assert float(scores.std()) == pytest.approx(1, abs=0.01)
    tied = module.normal_scores(torch.tensor([[1.0], [2.0], [2.0], [5.0]], dtype=F64)).flatten()
    assert tied[1] == tied[2] == pytest.approx(0.0, abs=1e-12)


def test_cubed_columns_give_the_same_answer_in_bits_and_nats(monkeypatch):
    monkeypatch.setattr(module, "_STATES", 2000)
    x, y = pairs(1, 0.8, 300)
    nats = itp.mutual_information(x, y, steps=20)
    bits = itp.mutual_information(x**3, y.exp(), steps=20, unit="bits")
    for name in ("value", "squared", "difference", "shuffled_squared", "gaussian", "ksg"):
        assert getattr(bits, name) == pytest.approx(getattr(nats, name) / math.log(2), rel=1e-6, abs=1e-9)
    assert nats.n == 60
    assert "KSG" in str(nats)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x, y[:-1]), "must have equally many rows, got .300, 299"),
        (lambda x, y: (x[:1], y[:1]), "x must have at least 100 rows, got 1"),
        (lambda x, y: (x, y * 0), "columns of y must be continuous, got column 0 with 1 distinct"),
        (lambda x, y: (x.round(), y), "columns of x must be continuous, got column 0"),
        (lambda x, y: (x.clamp(min=0), y), "columns of x must be continuous.*one of them 1"),
        (lambda x, y: (x / 0, y), "x"),
    ],
    ids=["rows", "one_row", "constant", "discrete", "half_constant", "infinite"],
)
def test_what_has_no_mutual_information_is_refused(change, words):
    with pytest.raises(InvalidInputError, match=f"mutual_information: .*{words}"):
        itp.mutual_information(*change(*pairs(1, 0.8, 300)))


@pytest.mark.slow
def test_learnt_predictions_come_near_the_value_where_neighbours_are_a_quarter_low():
    found = itp.mutual_information(*pairs(5, 0.7, 4000))
    assert found.value == pytest.approx(truth(5, 0.7), rel=0.08)
    assert found.squared == pytest.approx(truth(5, 0.7), rel=0.2)
    assert found.difference == pytest.approx(truth(5, 0.7), rel=0.2)
    assert found.ksg < 0.82 * truth(5, 0.7)
    assert found.shuffled_squared > 2
    assert found.shuffled_difference < -2
    assert abs(found.shuffled) < 0.2


@pytest.mark.slow
def test_independent_pairs_have_none_and_a_function_of_y_has_no_more_than_y():
    x, y = pairs(2, 0.7, 3000)
    none = itp.mutual_information(x, y.roll(1, 0))
    assert abs(none.difference) <= 3 * none.difference_error + 0.02
    assert abs(none.value) < 0.02
    whole, part = itp.mutual_information(x, y), itp.mutual_information(x, y[:, :1])
    assert part.value < whole.value - 0.2
    assert part.value == pytest.approx(truth(1, 0.7), abs=0.06)
