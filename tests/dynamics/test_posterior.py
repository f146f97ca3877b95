"""Posterior draws and branches of states, against the closed forms of a mixture in one dimension."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import ReverseNoise, sample, sample_posterior, sample_transition
from interpolants.dynamics.posterior import posterior_fields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import VE, VP, Linear, OneSidedLinear
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F = torch.float64
WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=F)
MEANS = torch.tensor([-2.0, 0.5, 2.0], dtype=F)
SD = torch.tensor([0.3, 0.2, 0.5], dtype=F)
DATA = GaussianMixture(WEIGHTS, MEANS[:, None], SD.square()[:, None, None])
# Largest distance of two distribution functions at the 99.9 % level: one exact, one of n draws.
LEVEL = 1.95


def fields_of(path):
    return GaussianMixtureBridge(path.base, DATA).fields(path)


class Exact:
    """Closed form of a later state given x at t: a mixture, by Bayes' rule for every component."""

    def __init__(self, path, x, t, later, rho):
        (a, a_later), (b, b_later) = (
            f(torch.tensor([t, later], dtype=F)).tolist() for f in (path.alpha, path.beta)
        )
        m = float(path.base.mean_like(torch.zeros(1, 1, dtype=F)))
        sd = float(path.base.root(torch.ones(1, 1, dtype=F)))
        rho = b * a_later / (b_later * a) if rho == "reverse" else 0.0 if rho == "renoise" else rho
        y, a, a_later, shift = x - a * m, a * sd, a_later * sd, a_later * m
        precision = 1 / SD.square() + b * b / a**2
        mean = (MEANS / SD.square() + b * y / a**2) / precision
        evidence = torch.distributions.Normal(b * MEANS, (a**2 + b * b * SD.square()).sqrt())
        self.weights = (WEIGHTS.log() + evidence.log_prob(torch.tensor(y, dtype=F))).softmax(0)
        c = b_later - rho * a_later / a * b
        self.means = shift + rho * a_later / a * y + c * mean
        self.sd = (c * c / precision + a_later**2 * (1 - rho**2)).sqrt()
        self.mean = float(self.weights @ self.means)
        self.var = float(self.weights @ (self.sd.square() + self.means.square())) - self.mean**2

    def distance(self, draws):
        z = draws.flatten().double().sort().values
        exact = torch.special.ndtr((z[:, None] - self.means) / self.sd) @ self.weights
        below = torch.arange(len(z), dtype=F) / len(z)
        return float(torch.maximum((exact - below).abs(), (exact - below - 1 / len(z)).abs()).max())


PATHS = {
    "linear": (OneSidedLinear(), 0.3, 0.4, 0.7),
    "vp": (VP(), 0.3, 0.7, 0.9),
    "ve": (VE(smax=8.0), 1.3, 0.6, 0.8),
    "wide base": (OneSidedLinear(base=Gaussian(mean=torch.tensor([1.0]), scale=2.0)), 0.8, 0.4, 0.7),
}


@pytest.mark.parametrize("rho", [0.0, "renoise", 2 / 7, "reverse", 0.9, 1.0, -0.5])
def test_moments_and_distribution_of_a_transition(rho):
    path, x, t, later = PATHS["linear"]
    exact, n = Exact(path, x, t, later, rho), 20_000
    draws = sample_transition(
        fields_of(path), torch.full((1, 1), x, dtype=F), t, later, rho=rho, draws=n, n_steps=30
    )
    assert draws.shape == (n, 1, 1)
    assert abs(float(draws.mean()) - exact.mean) < 4 * (exact.var / n) ** 0.5
    assert exact.distance(draws) < LEVEL / n**0.5
    assert float(draws.var()) == pytest.approx(exact.var, rel=4 * (2 / n) ** 0.5)


def test_the_closed_form_has_the_figures_of_the_family():
    moments = [Exact(OneSidedLinear(), 0.3, 0.4, 0.7, rho) for rho in (0.0, "reverse", 0.3, 0.9, 1.0)]
    assert [round(e.mean, 4) for e in moments] == [0.2957, 0.3144, 0.3153, 0.3546, 0.3612]
    assert [round(e.var, 4) for e in moments] == [0.8940, 0.7607, 0.7540, 0.4608, 0.4102]


@pytest.mark.parametrize("name", list(PATHS))
@pytest.mark.parametrize("rho", ["reverse", 0.6])
def test_every_path_and_base(name, rho):
    path, x, t, later = PATHS[name]
    n, state = 10_000, torch.full((1, 1), x, dtype=F)
    for stop in (later, 1.0):
        draws = sample_transition(fields_of(path), state, t, stop, rho=rho, draws=n, n_steps=30)
        assert Exact(path, x, t, stop, rho).distance(draws) < LEVEL / n**0.5


def test_a_base_with_correlated_entries_and_a_mean():
    covariance = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=F)
    m0 = torch.tensor([1.0, -2.0], dtype=F)
    base = Gaussian(mean=m0, covariance=covariance)
    path, t, later, n = OneSidedLinear(base=base), 0.4, 0.7, 40_000
    data_covariance = torch.tensor([[0.5, -0.3], [-0.3, 1.0]], dtype=F)
    m1 = torch.tensor([3.0, 1.0], dtype=F)
    target = GaussianMixture(torch.ones(1, dtype=F), m1[None], data_covariance[None])
    x = torch.tensor([[1.2, 0.1]], dtype=F)
    draws = sample_transition(
        GaussianMixtureBridge(base, target).fields(path), x, t, later, rho=0.5, draws=n, n_steps=20
    )
    # Conditional of a Gaussian vector (x1, x_t, x_t'), without any formula of the module.
    noise = torch.tensor([[0.6**2, 0.5 * 0.6 * 0.3], [0.5 * 0.6 * 0.3, 0.3**2]], dtype=F)
    signal = torch.tensor([t, later], dtype=F)
    joint = torch.kron(noise, covariance) + torch.kron(torch.outer(signal, signal), data_covariance)
    mean = torch.cat([0.6 * m0 + t * m1, 0.3 * m0 + later * m1])
    gain = joint[2:, :2] @ torch.linalg.inv(joint[:2, :2])
    assert_close(draws[:, 0].mean(0), mean[2:] + gain @ (x[0] - mean[:2]), atol=4 / n**0.5, rtol=0)
    assert_close(torch.cov(draws[:, 0].T), joint[2:, 2:] - gain @ joint[:2, 2:], atol=0.01, rtol=0)


def test_pure_noise_says_nothing_of_the_data_point():
    n = 20_000
    draws = sample_posterior(
        fields_of(OneSidedLinear()), torch.full((1, 1), 1.7, dtype=F), 0.0, draws=n, n_steps=30
    )
    assert Exact(OneSidedLinear(), 1.7, 1e-12, 1.0, 0.0).distance(draws) < LEVEL / n**0.5


def test_two_observations_of_pure_noise_are_the_second_one():
    inner = posterior_fields(fields_of(OneSidedLinear()), 0.0)
    y = torch.tensor([[-1.0], [0.4]], dtype=F)
    cond = {"x_t": torch.full((2, 1), 1.7, dtype=F), "cond": None}
    values = inner.evaluate(y, torch.tensor(0.0, dtype=F), ("endpoint0", "denoised"), cond)
    assert_close(values["endpoint0"], y)
    assert_close(values["denoised"], (WEIGHTS @ MEANS).expand(2, 1))


def test_a_gaussian_posterior_is_a_shift_and_a_scale_of_the_noise():
    # One component: the inner flow from w ends at mu + sqrt(v) w, a map known to every digit.
    path, t, x = OneSidedLinear(), 0.4, 0.3
    target = GaussianMixture(
        torch.ones(1, dtype=F), torch.tensor([[0.5]], dtype=F), torch.tensor([[[0.25]]], dtype=F)
    )
    inner = posterior_fields(GaussianMixtureBridge(path.base, target).fields(path), t)
    w = torch.linspace(-2, 2, 6, dtype=F)[:, None]
    cond = {"x_t": torch.full((6, 1), x, dtype=F), "cond": None}
    ends = sample(inner, w, method="rk4", n_steps=200, cond=cond).x
    v = 1 / (1 / 0.25 + (t / 0.6) ** 2)
    assert_close(ends, v * (0.5 / 0.25 + t * x / 0.36) + math.sqrt(v) * w, atol=2e-4, rtol=0)


@pytest.mark.parametrize("rho", ["renoise", 0.5, 0.95])
def test_the_distribution_of_the_states_is_kept(rho):
    path, n = OneSidedLinear(), 20_000
    problem = GaussianMixtureBridge(path.base, DATA)
    x = problem.marginal(path, 0.4).sample(n, generator=torch.Generator().manual_seed(3))
    later = sample_transition(problem.fields(path), x, 0.4, 0.7, rho=rho, n_steps=20)[0]
    marginal = problem.marginal(path, 0.7)
    truth = marginal.sample(200_000, generator=torch.Generator().manual_seed(4)).flatten().sort().values
    z = later.flatten().sort().values
    below = torch.searchsorted(truth, z) / len(truth)
    assert float((below - (torch.arange(n) + 0.5) / n).abs().max()) < 2.05 / n**0.5


@pytest.mark.parametrize(
    ("t", "later", "x"), [(0.2, 0.8, 0.4), (0.4, 0.7, 0.3), (0.3, 1.0, 0.0), (0.6, 0.9, 0.8)]
)
def test_branches_cost_fewer_evaluations_than_ancestral_steps(t, later, x):
    fields, n = fields_of(OneSidedLinear()), 40_000
    exact, state = Exact(OneSidedLinear(), x, t, later, "reverse"), torch.full((1, 1), x, dtype=F)
    for calls, bound in ((6, 0.8), (12, 0.5)):
        ours = sample_transition(fields, state, t, later, draws=n, n_steps=calls // 2)
        many = state.expand(n, 1).contiguous()
        rival = sample(fields, many, start=t, stop=later, method="ancestral", n_steps=calls, seed=1).x
        assert exact.distance(ours) < bound * exact.distance(rival)


def test_the_sde_has_the_transition_of_reverse():
    fields, n = fields_of(OneSidedLinear()), 20_000
    many = torch.full((n, 1), 0.3, dtype=F)
    by_sde = sample(fields, many, start=0.4, stop=0.7, eps=ReverseNoise(), n_steps=100, seed=1).x
    assert Exact(OneSidedLinear(), 0.3, 0.4, 0.7, "reverse").distance(by_sde) < LEVEL / n**0.5


def test_noise_in_the_solver_keeps_the_posterior():
    n = 20_000
    state = torch.full((1, 1), 0.3, dtype=F)
    draws = sample_posterior(fields_of(OneSidedLinear()), state, 0.4, draws=n, n_steps=60, eps=0.5)
    assert Exact(OneSidedLinear(), 0.3, 0.4, 1.0, 0.0).distance(draws) < LEVEL / n**0.5


def test_draws_do_not_depend_on_the_batch():
    fields = fields_of(VP())
    x = torch.linspace(-2, 2, 7)[:, None]
    whole = sample_transition(fields, x, 0.5, 0.8, draws=3, seed=5)
    assert whole.shape == (3, 7, 1)
    assert whole.dtype == torch.float32
    part = sample_transition(fields, x[2:5], 0.5, 0.8, draws=3, seed=5, first_index=2)
    assert_close(part, whole[:, 2:5], atol=1e-6, rtol=0)
    assert_close(sample_transition(fields, x, 0.5, 0.8, draws=3, seed=5, chunk=4), whole, atol=1e-6, rtol=0)
    assert not torch.equal(sample_transition(fields, x, 0.5, 0.8, draws=3, seed=6), whole)


def test_float32_has_the_same_distribution():
    n = 10_000
    draws = sample_posterior(fields_of(VP()), torch.full((1, 1), 0.3), 0.6, draws=n, n_steps=30)
    assert draws.dtype == torch.float32
    assert Exact(VP(), 0.3, 0.6, 1.0, 0.0).distance(draws) < LEVEL / n**0.5


X = torch.zeros(2, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: sample_posterior(f, X, 1.0), "t must"),
        (lambda f: sample_posterior(f, X, -0.1), "t must"),
        (lambda f: sample_transition(f, X, 0.4, 0.4), "later must"),
        (lambda f: sample_transition(f, X, 0.4, 1.1), "later must"),
        (lambda f: sample_transition(f, X, 0.4, 0.7, rho=1.2), "rho must"),
        (lambda f: sample_transition(f, X, 0.4, 0.7, rho="ddpm"), "rho must"),
        (lambda f: sample_posterior(f, X, 0.4, draws=0), "draws must"),
        (lambda f: sample_posterior(f, X[0], 0.4), r"\(B, \*D\)"),
        (lambda f: sample_posterior(f, X + torch.nan, 0.4), "x must be finite"),
        (lambda f: sample_posterior(f, X, 0.4, reverse=True), "reverse has no meaning"),
        (lambda f: sample_posterior(f, X, 0.4, stop=0.5), "stop has no meaning"),
        (lambda f: posterior_fields(f, 1.0), "t must"),
    ],
)
def test_calls_without_an_answer_are_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call(fields_of(OneSidedLinear()))


def test_a_path_between_two_data_sets_is_refused():
    fields = GaussianMixtureBridge(DATA, DATA).fields(Linear())
    with pytest.raises(InvalidInputError, match="from a Gaussian base"):
        sample_transition(fields, X, 0.4, 0.7)
