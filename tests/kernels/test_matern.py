"""Matern covariance and chain against the Bessel form, the matrix exponential, and quadrature of the SDE."""

import math

import pytest
import torch
from scipy.special import gamma, kv
from torch.testing import assert_close

from interpolants.kernels import SMOOTHNESS, Matern

each = pytest.mark.parametrize("smoothness", SMOOTHNESS)
GAPS = torch.tensor([0.0, 1e-3, 0.2, 1.0, 5.0], dtype=torch.float64)


def drift(kernel):
    """The companion matrix of (x + rate)^m."""
    m = kernel.size
    f = torch.diag(torch.ones(m - 1, dtype=torch.float64), 1)
    f[-1] = -torch.tensor([math.comb(m, i) * kernel.rate ** (m - i) for i in range(m)], dtype=torch.float64)
    return f


@each
def test_the_covariance_is_its_bessel_form(smoothness):
    lag = torch.tensor([0.01, 0.3, 1.0, 4.0], dtype=torch.float64)
    z = math.sqrt(2 * smoothness) * lag.numpy()
    expected = 2 ** (1 - smoothness) / gamma(smoothness) * z**smoothness * kv(smoothness, z)
    assert_close(Matern(smoothness).covariance(-lag), torch.from_numpy(expected), rtol=1e-12, atol=0)


@each
def test_a_step_is_the_exponential_of_the_drift_and_keeps_the_stationary_covariance(smoothness):
    kernel = Matern(smoothness)
    a, q = kernel.transition(GAPS)
    assert_close(a, torch.matrix_exp(drift(kernel) * GAPS[:, None, None]), rtol=1e-12, atol=1e-12)
    p = kernel.stationary
    assert_close(a @ p @ a.mT + q, p.expand_as(q), rtol=0, atol=1e-12)
    assert_close((a @ p)[:, 0, 0], kernel.covariance(GAPS), rtol=0, atol=1e-13)


@each
def test_the_stationary_covariance_solves_the_lyapunov_equation(smoothness):
    kernel = Matern(smoothness)
    f, p = drift(kernel), kernel.stationary
    rest = f @ p + p @ f.T
    assert float(p[0, 0]) == pytest.approx(1)
    assert float(-rest[-1, -1]) > 0
    rest[-1, -1] = 0
    assert_close(rest, torch.zeros_like(rest), rtol=0, atol=1e-12)


@each
def test_tiny_steps_keep_their_digits(smoothness):
    """The least variance of a step is of order gap^(2m - 1); P - A P A^T would be rounding alone."""
    m, gap = Matern(smoothness).size, 1e-7
    q = Matern(smoothness).transition(torch.tensor(gap, dtype=torch.float64))[1]
    least = (2 * Matern(smoothness).rate * gap) ** (2 * m - 1) / math.factorial(2 * m - 1)
    assert float(q[0, 0]) == pytest.approx(least, rel=1e-5)


@each
def test_an_infinite_step_forgets(smoothness):
    a, q = Matern(smoothness).transition(torch.tensor(torch.inf, dtype=torch.float64))
    assert_close(a, torch.zeros_like(a), rtol=0, atol=0)
    assert_close(q, Matern(smoothness).stationary)
