import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes.kernels.fractional_gaussian import (
    increment_covariance,
    increment_spectrum,
    motion_covariance,
    periodogram,
    whittle_loss,
)
from interpolants.sciml.processes.problems.fractional_brownian import FractionalBrownianMotion

F64 = torch.float64


@pytest.mark.parametrize("hurst", [0.15, 0.5, 0.85])
def test_draws_have_the_covariance_of_the_motion(hurst, generator):
    motion = FractionalBrownianMotion(hurst, 6, step=0.5, scale=2.0, noise=0.3)
    x = motion.sample(20_000, generator=generator)[..., 0]
    by_hand = 4 * motion_covariance(hurst, 0.5 * torch.arange(1, 7, dtype=F64)) + 0.09 * torch.eye(6)
    error = (2 * by_hand.diagonal().outer(by_hand.diagonal()) / 20_000).sqrt()
    assert bool(((x.T.cov() - by_hand).abs() < 5 * error).all())
    assert_close(motion.covariance(), by_hand)


def test_a_motion_of_an_index_next_to_1_is_a_straight_line(generator):
    """The covariance tends to s t; the spectrum of its steps is 0 but at frequency 0, up to rounding of either sign."""
    motion = FractionalBrownianMotion(1 - 1e-12, 100)
    slopes = motion.sample(50, generator=generator)[..., 0] / motion.times
    assert_close(slopes, slopes[:, -1:].expand_as(slopes), atol=1e-4, rtol=0)
    assert float(slopes[:, -1].std()) == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_the_spectrum_is_that_of_the_covariance(hurst):
    """Covariances are integrals of the spectrum; the substitution f = pi s^10 takes the pole at 0 away."""
    nodes, weights = (torch.tensor(v) for v in np.polynomial.legendre.leggauss(400))
    s = (nodes + 1) / 2
    f, jacobian = math.pi * s**10, math.pi * 10 * s**9
    lags = torch.arange(4, dtype=F64)
    found = (weights / 2 * jacobian * increment_spectrum(hurst, f) * 2 * torch.cos(lags[:, None] * f)).sum(1)
    assert_close(found, increment_covariance(hurst, lags), rtol=1e-4, atol=1e-4)


def test_increments_of_the_motion_have_the_covariance_of_the_noise():
    times = torch.arange(6, dtype=F64)
    steps = torch.eye(6, dtype=F64)[1:] - torch.eye(6, dtype=F64)[:-1]
    found = steps @ motion_covariance(0.3, times) @ steps.T
    assert_close(found[0], increment_covariance(0.3, times[:5]))


def test_whittles_likelihood_is_greatest_near_the_truth(generator):
    x = FractionalBrownianMotion(0.3, 512).sample(40, generator=generator)[..., 0].diff(dim=1)
    frequency, power = periodogram(x)
    grid = torch.linspace(0.1, 0.6, 51, dtype=F64)
    one, none = torch.ones((), dtype=F64), torch.zeros((), dtype=F64)
    losses = torch.stack([whittle_loss(h, one, none, frequency, power) for h in grid])
    assert float(grid[losses.argmin()]) == pytest.approx(0.3, abs=0.02)


def test_densities_are_those_of_a_factor_by_hand_and_strange_paths_are_refused():
    motion = FractionalBrownianMotion(0.7, 2)
    # Var 1 and 2^1.4, covariance 2^0.4
    a, b, c = 1.0, 2**0.4, 2**1.4
    x = torch.tensor([[0.5], [-1.0]], dtype=F64)
    det = a * c - b * b
    q = (c * 0.25 - 2 * b * 0.5 * -1.0 + a * 1.0) / det
    by_hand = -0.5 * (q + math.log(det)) - math.log(2 * math.pi)
    assert float(motion.log_prob(x[None])) == pytest.approx(by_hand)
    with pytest.raises(InvalidInputError, match=r"paths must be \(n, 2, 1\), got \(1, 3, 1\)"):
        motion.log_prob(torch.zeros(1, 3, 1))
