"""Generalised Gaussian distributions against SciPy, against Gaussian and Laplace ones, and against their own draws."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import describe, rebuild
from interpolants.paths import OneSidedLinear
from interpolants.sciml.rl.generalized_gaussian import (
    GeneralizedGaussian,
    entropy,
    excess_kurtosis,
    fit_generalized_gaussian,
    kl_divergence,
    log_density,
    variance,
)

F64 = torch.float64
POWERS = torch.tensor([0.8, 1.0, 1.5, 2.0, 4.0], dtype=F64)
ONE = torch.ones((), dtype=F64)


def test_moments_and_density_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    x = torch.linspace(-3, 3, 11, dtype=F64)
    for b in POWERS:
        law = stats.gennorm(float(b), scale=1.7)
        squared, kurtosis = law.stats("vk")
        a = 1.7 * ONE
        assert_close(variance(b, a), torch.tensor(float(squared), dtype=F64), rtol=1e-10, atol=1e-10)
        assert_close(excess_kurtosis(b), torch.tensor(float(kurtosis), dtype=F64), rtol=1e-10, atol=1e-10)
        assert_close(log_density(x, b, a), torch.tensor(law.logpdf(x.numpy())), rtol=1e-10, atol=1e-10)
        assert_close(entropy(b, a), torch.tensor(float(law.entropy()), dtype=F64), rtol=1e-9, atol=1e-9)


def test_it_is_gaussian_laplace_and_nearly_a_box():
    assert_close(excess_kurtosis(torch.tensor([2.0, 1.0, 500.0], dtype=F64)),
                 torch.tensor([0.0, 3.0, -1.2], dtype=F64), atol=2e-4, rtol=0)  # fmt: skip
    assert_close(variance(POWERS[[1, 3]], ONE), torch.tensor([2.0, 0.5], dtype=F64))


def test_divergence_is_that_of_a_sum_over_a_grid_and_of_two_gaussians():
    x = torch.linspace(-60, 60, 400_001, dtype=F64)
    b, a, c, s = (torch.tensor(v, dtype=F64) for v in (1.3, 0.7, 1.8, 1.1))
    p, q = log_density(x, b, a), log_density(x, c, s)
    assert_close(kl_divergence(b, a, c, s), torch.trapezoid(p.exp() * (p - q), x), rtol=1e-6, atol=0)
    two = torch.tensor(2.0, dtype=F64)
    gaussians = math.log(2.0) + 1 / 8 - 1 / 2  # standard deviations 1 and 2
    assert float(kl_divergence(two, 2**0.5 * ONE, two, 8**0.5 * ONE)) == pytest.approx(gaussians)
    assert float(kl_divergence(b, a, b, a)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("power", [0.8, 1.3, 2.0])
def test_power_and_scale_of_draws_are_found_again(power):
    """20000 draws, seed 0; the error of a power is near 2 power / sqrt(n), 3 % is twice that."""
    law = GeneralizedGaussian(power, (1,), scale=0.4)
    x = law.sample(20_000, generator=torch.Generator().manual_seed(0)).double()
    found, scale = fit_generalized_gaussian(x)
    assert found == pytest.approx(power, rel=0.03)
    assert scale == pytest.approx(0.4, rel=0.05)
    assert float(x.var()) == pytest.approx(float(variance(power * ONE, 0.4 * ONE)), rel=0.06)


def test_the_score_is_the_slope_and_steepness_its_mean():
    law = GeneralizedGaussian(1.5, scale=0.6)
    x = law.noise((200_000, 1), generator=torch.Generator().manual_seed(1), dtype=F64).requires_grad_(True)
    (slope,) = torch.autograd.grad(law.log_prob(x).sum(), x)
    assert_close(law.score(x.detach()), slope)
    assert float(slope.square().mean()) == pytest.approx(law.steepness(1), rel=0.01)
    assert GeneralizedGaussian(2.0, scale=2**0.5).steepness(3) == pytest.approx(1.0)


def test_it_is_a_base_that_files_hold():
    law = GeneralizedGaussian(1.2, (3,), scale=2.0)
    again = rebuild(describe(law, "test"))
    x = torch.randn(4, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    assert_close(again.log_prob(x), law.log_prob(x))
    assert OneSidedLinear(base=law).base is law


def test_bad_input_is_refused():
    with pytest.raises(InvalidInputError, match=r"power must be finite and > 0\.5"):
        GeneralizedGaussian(0.5)
    with pytest.raises(InvalidInputError, match="scale must be finite and > 0"):
        GeneralizedGaussian(1.0, scale=0.0)
    with pytest.raises(InvalidInputError, match="event shape"):
        GeneralizedGaussian(1.0, (2,)).log_prob(torch.zeros(4, 3))
    with pytest.raises(InvalidInputError, match="at least two nonzero entries"):
        fit_generalized_gaussian(torch.zeros(5))
