"""Values of states under a reward, against closed forms of Gaussian mixtures and brute force."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.guidance import value
from interpolants.guidance.value_function import StateValue
from interpolants.paths import VP, Linear, OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F = torch.float64
WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=F)
MEANS = torch.tensor([-2.0, 0.5, 2.0], dtype=F)
SD = torch.tensor([0.3, 0.2, 0.5], dtype=F)
DATA = GaussianMixture(WEIGHTS, MEANS[:, None], SD.square()[:, None, None])
FIELDS = GaussianMixtureBridge(OneSidedLinear().base, DATA).fields(OneSidedLinear())


def linear(strength):
    return lambda x1: strength * x1[:, 0]


def exact(x, t, strength):
    """``log E[exp(a x1) | x_t]`` of the mixture on the linear path: each posterior component is a Gaussian."""
    precision = 1 / SD.square() + t * t / (1 - t) ** 2
    mean = (MEANS / SD.square() + t * x[:, None] / (1 - t) ** 2) / precision
    evidence = torch.distributions.Normal(t * MEANS, ((1 - t) ** 2 + t * t * SD.square()).sqrt()).log_prob(
        x[:, None]
    )
    log_weights = (WEIGHTS.log() + evidence).log_softmax(1)
    return (log_weights + strength * mean + strength**2 / (2 * precision)).logsumexp(1)


def test_the_closed_form_has_the_figure_of_the_family():
    assert float(exact(torch.tensor([0.3], dtype=F), 0.4, 1.5)) == pytest.approx(1.9268, abs=1e-4)


@pytest.mark.parametrize("t", [0.2, 0.4, 0.8])
def test_values_and_gradients_of_a_mixture(t):
    x = torch.tensor([-0.8, 0.0, 0.3, 1.2], dtype=F).requires_grad_()
    truth = exact(x, t, 0.7)
    (slope,) = torch.autograd.grad(truth.sum(), x)
    found = value(FIELDS, x.detach()[:, None], t, reward=linear(0.7), draws=20_000, n_steps=20)
    assert ((found.value - truth).abs() < 4 * found.error + 2e-3).all()
    assert (found.error < 0.03).all()
    assert_close(found.gradient[:, 0], slope, atol=0.06, rtol=0.03)


@pytest.mark.parametrize("draws", [2, 4, 16])
def test_the_exponential_is_unbiased_and_the_jackknife_removes_most_of_the_logs_bias(draws):
    n, a = 60_000 // draws, 0.8
    x = torch.full((n, 1), 0.3, dtype=F)
    found = value(FIELDS, x, 0.4, reward=linear(a), draws=draws, n_steps=12)
    truth = float(exact(x[:1, 0], 0.4, a))
    means = (found.value - truth).exp()
    assert float(means.mean()) == pytest.approx(1.0, abs=4 * float(means.std()) / n**0.5 + 0.01)
    bias, corrected = (float((v - truth).mean()) for v in (found.value, found.jackknife))
    assert bias < 0
    assert abs(corrected) < 0.5 * abs(bias) + 0.01
    if draws == 16:  # to first order in 1 / M
        spread = float((found.value - found.value.mean()).square().mean().sqrt())
        assert float(found.error.mean()) == pytest.approx(spread, rel=0.1)


def test_the_formulas_are_those_of_brute_force():
    # The same draws, with means, leave-one-out estimates and weights by hand.
    x, a, count = torch.tensor([[0.3], [1.0]], dtype=F), 3.0, 5
    collected = []

    def reward(x1):
        collected.append(x1)
        return a * x1[:, 0]

    found = value(FIELDS, x, 0.4, reward=reward, draws=count)
    r = (a * collected[0][:, 0]).reshape(count, 2)
    w = r.exp()
    assert_close(found.value, w.mean(0).log())
    rest = torch.stack([(w.sum(0) - w[k]) / (count - 1) for k in range(count)])
    assert_close(found.jackknife, count * w.mean(0).log() - (count - 1) * rest.log().mean(0))
    assert_close(found.error, w.std(0) / w.mean(0) / count**0.5)
    assert_close(found.ess, w.sum(0) ** 2 / w.square().sum(0) / count)
    x1 = collected[0].reshape(count, 2)
    tilted = (w * x1).sum(0) / w.sum(0)
    assert_close(found.gradient[:, 0], 0.4 / 0.36 * (tilted - x1.mean(0)))


def test_one_weight_that_outweighs_all_others_has_a_finite_answer():
    found = value(FIELDS, torch.tensor([[0.3]], dtype=F), 0.4, reward=linear(500.0), draws=8)
    assert all(bool(part.isfinite().all()) for part in found)
    assert float(found.ess) == pytest.approx(1 / 8)
    assert float(found.error) == pytest.approx(1.0)


def test_a_constant_reward_is_its_own_value():
    found = value(
        FIELDS, torch.zeros(3, 1, dtype=F), 0.4, reward=lambda x1: x1.new_full((len(x1),), -3.0), draws=4
    )
    assert_close(found.value, torch.full((3,), -3.0, dtype=F))
    assert_close(found.jackknife, found.value)
    assert_close(found.error, torch.zeros(3, dtype=F), atol=1e-7, rtol=0)
    assert_close(found.ess, torch.ones(3, dtype=F))
    assert_close(found.gradient, torch.zeros(3, 1, dtype=F))


def test_the_gradient_of_a_base_with_correlated_entries():
    covariance = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=F)
    m0, m1, s1 = (torch.tensor(v, dtype=F) for v in ([1.0, -2.0], [3.0, 1.0], [[0.5, -0.3], [-0.3, 1.0]]))
    base = Gaussian(mean=m0, covariance=covariance)
    fields = GaussianMixtureBridge(base, GaussianMixture(torch.ones(1, dtype=F), m1[None], s1[None])).fields(
        OneSidedLinear(base=base)
    )
    slope, t = torch.tensor([0.5, -0.4], dtype=F), 0.6
    found = value(
        fields,
        torch.tensor([[2.0, 0.1]], dtype=F),
        t,
        reward=lambda x1: x1 @ slope,
        draws=100_000,
        n_steps=12,
    )
    # x1 given x_t is a Gaussian with mean m1 + K (x - ...), so the value is linear in x with the slope K^T a.
    gain = t * s1 @ torch.linalg.inv(t * t * s1 + (1 - t) ** 2 * covariance)
    assert_close(found.gradient[0], gain.T @ slope, atol=0.02, rtol=0.02)


def test_rows_are_the_same_in_every_batch_and_float32_answers():
    fields = GaussianMixtureBridge(VP().base, DATA).fields(VP())
    x = torch.linspace(-1, 1, 5)[:, None]
    whole = value(fields, x, 0.6, reward=linear(1.0), seed=3)
    part = value(fields, x[2:4], 0.6, reward=linear(1.0), seed=3, first_index=2)
    assert isinstance(whole, StateValue)
    assert whole.gradient.dtype == torch.float32
    assert whole.value.dtype == F
    for a, b in itertools.zip_longest(part, whole):
        assert_close(a, b[2:4], atol=1e-4, rtol=1e-4)


X = torch.zeros(2, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: value(FIELDS, X, 0.4, reward=linear(1.0), draws=1), "draws must"),
        (lambda: value(FIELDS, X, 1.0, reward=linear(1.0)), "t must"),
        (lambda: value(FIELDS, X, 0.4, reward=lambda x1: x1), "shape"),
        (lambda: value(FIELDS, X, 0.4, reward=lambda x1: 1.0), "shape"),
        (lambda: value(FIELDS, X, 0.4, reward=lambda x1: x1[:, 0].log()), "finite"),
        (
            lambda: value(GaussianMixtureBridge(DATA, DATA).fields(Linear()), X, 0.4, reward=linear(1.0)),
            "Gaussian base",
        ),
    ],
)
def test_calls_without_an_answer_are_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()
