"""The bound of the hierarchy against draws, and against the marginal likelihood that it amounts to."""

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.bayes.normal_inverse_wishart import (
    divergence,
    excess,
    expected_divergence,
    local_posterior,
    log_marginal,
)

DOUBLE = {"dtype": torch.float64}


def positive(d, g):
    a = torch.randn(d, d + 2, generator=g, **DOUBLE)
    return a @ a.T / d


def test_the_expected_divergence_is_that_of_draws():
    g = torch.Generator().manual_seed(0)
    d, n0, l0 = 3, 7, 2.0
    m, m0 = torch.randn(2, d, generator=g, **DOUBLE)
    v, v0 = positive(d, g), positive(d, g)
    # Sums of n0 squares of N(0, V0^-1) are draws of the precision Sigma^-1.
    white = torch.randn(200_000, n0, d, generator=g, **DOUBLE)
    rows = torch.linalg.solve_triangular(torch.linalg.cholesky(v0).T, white.mT, upper=True).mT
    precision = rows.mT @ rows
    noise = torch.randn(200_000, d, 1, generator=g, **DOUBLE)
    factor = torch.linalg.cholesky(l0 * precision)
    apart = m - m0 - torch.linalg.solve_triangular(factor.mT, noise, upper=True)[..., 0]
    each = (precision * v).sum((1, 2)) + (apart[:, None] @ precision @ apart[..., None])[:, 0, 0] - d
    each = 0.5 * (each - torch.logdet(precision) - torch.logdet(v))
    error = float(each.std()) / len(each) ** 0.5
    assert_close(float(expected_divergence(m, v, m0, v0, n0, l0)), float(each.mean()), atol=3 * error, rtol=0)


@pytest.mark.parametrize("n0", [5.0, 40.0, 1e6])
def test_the_bound_of_a_quadratic_task_is_its_marginal_likelihood_but_for_a_function_of_n0(n0):
    g = torch.Generator().manual_seed(1)
    d = 4
    abar, s = 0.1 + 3 * torch.rand(2, d, generator=g, **DOUBLE)
    mbar, m0 = torch.randn(2, d, generator=g, **DOUBLE)
    m, v = local_posterior(mbar, abar, m0, s)
    expected_loss = 0.5 * (abar * (v + (m - mbar).square())).sum()
    bound = expected_loss + expected_divergence(m, v.diag(), m0, (n0 * s).diag(), n0)
    total = 1 / abar + s
    evidence = 0.5 * (total.log() + (mbar - m0).square() / total + abar.log()).sum()
    assert_close(float(bound), float(evidence) + excess(n0, d), rtol=1e-8, atol=1e-8)


def test_the_excess_falls_to_zero():
    values = [excess(n0, 4) for n0 in (4.0, 10.0, 100.0, 1e5)]
    assert values == sorted(values, reverse=True)
    assert 0 < values[-1] < 1e-4


def test_the_local_posterior_is_the_minimum():
    g = torch.Generator().manual_seed(2)
    abar, s = 0.1 + 3 * torch.rand(2, 5, generator=g, **DOUBLE)
    mbar, m0 = torch.randn(2, 5, generator=g, **DOUBLE)

    def bound(m, v):
        return 0.5 * (abar * (v + (m - mbar).square())).sum() + divergence(m, v, m0, s)

    m, v = (x.requires_grad_() for x in local_posterior(mbar, abar, m0, s))
    slopes = torch.autograd.grad(bound(m, v), (m, v))
    assert_close(torch.stack(slopes), torch.zeros(2, 5, **DOUBLE), atol=1e-10, rtol=0)


def test_log_marginal_is_that_of_torch():
    g = torch.Generator().manual_seed(3)
    covariance, y = positive(4, g)[None], torch.randn(1, 4, 2, generator=g, **DOUBLE)
    theirs = MultivariateNormal(torch.zeros(4, **DOUBLE), covariance[0]).log_prob(y[0].T).sum()
    assert_close(log_marginal(y, covariance)[0][0], theirs)


def test_too_few_degrees_of_freedom_are_refused():
    with pytest.raises(InvalidInputError, match="n0 must exceed d - 1 = 3"):
        excess(3.0, 4)
