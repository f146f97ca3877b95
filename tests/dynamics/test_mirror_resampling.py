"""Mirror resampling: the flow returns its input; the SDE resamples near it, as near as a closed form says."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import GammaNoise, sample
from interpolants.fields import LearnedFields
from interpolants.paths import BrownianEnvelope, Mirror, QuadraticEnvelope, SineSquaredEnvelope
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

F64 = torch.float64
STD, MEAN = 0.8, 1.5
GAUSSIAN = GaussianMixture(torch.ones(1, dtype=F64), torch.tensor([[MEAN]], dtype=F64),
                           torch.tensor([STD**2], dtype=F64))  # fmt: skip
TWO = GaussianMixture(
    torch.tensor([0.3, 0.7], dtype=F64),
    torch.tensor([[-2.0, 0.0], [2.0, 0.5]], dtype=F64),
    torch.tensor([0.1, 0.3], dtype=F64),
)


def fields(distribution, path):
    return GaussianMixtureBridge(distribution, distribution).fields(path)


def correlation(path, times, eps):
    """``exp(-int eps / (std^2 + gamma^2) dt)``: the linear SDE of a Gaussian, solved."""
    rate = eps / (STD**2 + path.envelope.gamma(times).square())
    return math.exp(-float(torch.trapezoid(rate, times)))


@pytest.mark.parametrize(
    "envelope", [BrownianEnvelope(scale=4.0), QuadraticEnvelope(), SineSquaredEnvelope()]
)
def test_the_flow_returns_its_input(envelope, generator):
    x = TWO.sample(100, generator=generator)
    found = sample(fields(TWO, Mirror(envelope=envelope)), x, method="rk4", n_steps=100)
    assert_close(found.x, x, rtol=0, atol=1e-4)
    # and it did move in between
    half = sample(fields(TWO, Mirror(envelope=envelope)), x, method="rk4", n_steps=50, stop=0.5)
    assert float((half.x - x).abs().mean()) > 0.03


@pytest.mark.parametrize("eps", [0.1, 0.5, 2.0, GammaNoise(1.0)])
def test_the_sde_forgets_its_start_as_fast_as_the_closed_form_says(eps):
    """x1 given x0 is N(m + r (x0 - m), s^2 (1 - r^2)); r from the noise that was used."""
    path = Mirror(envelope=BrownianEnvelope(scale=4.0))
    n, start = 6000, MEAN + 1.2
    found = sample(fields(GAUSSIAN, path), torch.full((n, 1), start, dtype=F64), eps=eps, n_steps=100, seed=4)
    assert found.eps is not None
    r = correlation(path, found.times, found.eps)
    spread = STD * math.sqrt(1 - r**2)
    assert abs(float(found.x.mean()) - MEAN - r * 1.2) < 4 * spread / math.sqrt(n) + 0.005
    assert float(found.x.std()) == pytest.approx(spread, rel=4 / math.sqrt(2 * n) + 0.01)


def test_the_integral_has_a_closed_form_for_the_brownian_envelope():
    """int dt / (s^2 + a t (1 - t)) = log((k + h) / (k - h)) / (2 k h), h = sqrt(a) / 2, k^2 = s^2 + h^2."""
    path = Mirror(envelope=BrownianEnvelope(scale=4.0))
    times = torch.linspace(0, 1, 20_001, dtype=F64)
    h = 1.0
    k = math.sqrt(STD**2 + h**2)
    truth = math.exp(-0.5 * math.log((k + h) / (k - h)) / (2 * k * h))
    assert correlation(path, times, torch.full_like(times, 0.5)) == pytest.approx(truth, abs=1e-6)


@pytest.mark.slow
def test_more_noise_leads_further_and_the_distribution_stays(generator):
    distribution, path = TWO, Mirror(envelope=BrownianEnvelope(scale=10.0))
    x, n = TWO.sample(4000, generator=generator), 4000
    label = distribution.responsibilities(x).argmax(1)
    moved, left = [], []
    for eps in (0.05, 0.5, 5.0):
        found = sample(fields(distribution, path), x, eps=eps, n_steps=100, seed=3).x
        moved.append(float((found - x).norm(dim=1).mean()))
        left.append(float((distribution.responsibilities(found).argmax(1) != label).double().mean()))
        assert_close(
            found.mean(0),
            distribution.mean,
            rtol=0,
            atol=4 * float(distribution.covariance.max().sqrt()) / n**0.5,
        )
        assert_close(torch.cov(found.T), distribution.covariance, rtol=0, atol=0.25)
    assert moved[0] < 0.6 * moved[1] < 0.6 * moved[2]
    assert left[0] < 0.03
    # two independent draws: 2 * 0.3 * 0.7 = 0.42 of them lie in different modes
    assert 0.15 < left[2] < 0.42


def test_one_learnt_noise_is_all_it_needs(generator):
    """The same through LearnedFields given the exact noise alone, in both directions."""
    path = Mirror(envelope=BrownianEnvelope(scale=4.0))
    exact = fields(TWO, path)
    learnt = LearnedFields(path, noise=exact.noise)
    x = TWO.sample(300, generator=generator)
    for options in ({"eps": 0.5}, {"eps": 0.5, "reverse": True}, {"eps": 0.0}):
        one, other = (sample(f, x, n_steps=50, seed=6, **options).x for f in (exact, learnt))
        assert_close(one, other, rtol=0, atol=0.05)
