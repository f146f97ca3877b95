"""Diagnostics of chains against chains whose dependence is known."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.bayes.mcmc.convergence import effective_sample_size, split_r_hat


def autoregression(chains, n, rho, width=()):
    g = torch.Generator().manual_seed(0)
    noise = torch.randn(chains, n, *width, dtype=torch.float64, generator=g)
    x = [noise[:, 0]]
    for k in range(1, n):
        x.append(rho * x[-1] + math.sqrt(1 - rho**2) * noise[:, k])
    return torch.stack(x, 1)


def test_r_hat_of_four_numbers_by_hand():
    """Halves (0, 2) and (1, 5): W = (2 + 8) / 2, variance of the means 1 and 3 is 2, n = 2."""
    draws = torch.tensor([[0.0, 2.0, 1.0, 5.0]])
    assert_close(float(split_r_hat(draws)), math.sqrt((0.5 * 5 + 2) / 5))


def test_r_hat_of_shifted_chains_is_that_of_the_shift():
    """Two chains of variance 1 at -1 and 1: the four halves have means of variance 4 / 3."""
    x = autoregression(2, 40_000, 0.0) + torch.tensor([[-1.0], [1.0]])
    assert_close(float(split_r_hat(x)), math.sqrt(1 + 4 / 3), rtol=0.01, atol=0)


def test_r_hat_sees_a_chain_that_drifts_and_is_one_for_independent_draws():
    x = autoregression(4, 2000, 0.0)
    assert float(split_r_hat(x)) < 1.01
    # Halves of a line from 0 to 5 have means 1.25 and 3.75, and variance 2.5^2 / 12 within.
    expected = math.sqrt(1 + 8 / 7 * 1.25**2 / (1 + 2.5**2 / 12))
    assert_close(float(split_r_hat(x + torch.linspace(0, 5, 2000))), expected, rtol=0.02, atol=0)


def test_chains_that_never_moved_do_not_pass_for_converged():
    assert torch.isnan(split_r_hat(torch.ones(4, 10)))
    assert torch.isinf(split_r_hat(torch.arange(4.0)[:, None].expand(4, 10)))
    assert torch.isnan(effective_sample_size(torch.ones(4, 10)))


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5, 0.9])
def test_effective_size_of_an_autoregression(rho):
    x = autoregression(4, 5000, rho, (20,))
    expected = x.shape[0] * x.shape[1] * (1 - rho) / (1 + rho)
    assert_close(float(effective_sample_size(x).mean()), expected, rtol=0.06, atol=0)


def test_effective_sizes_of_few_draws_by_hand():
    """Halves (0, 2) and (1, 5) as above: rho_1 = 1 - (5 + 1.25) / 4.5 = -7/18; the number 4 / (2/9) is above the most.

    Halves (0, 0, 2, 2) and (1, 1, 3, 3): autocovariances 1, 1/4, -1/2, -1/4, total 1 + 1/2, W = 4/3; rho is 1, 5/18,
    -2/9, -1/18.
    """
    found = effective_sample_size(torch.tensor([[0.0, 2.0, 1.0, 5.0]]))
    assert_close(float(found), 4 * math.log10(4))
    found = effective_sample_size(torch.tensor([[0.0, 0.0, 2.0, 2.0, 1.0, 1.0, 3.0, 3.0]]))
    assert_close(float(found), 8 / (2 * (1 + 5 / 18) - 1))


def test_chains_apart_have_few_effective_draws():
    x = autoregression(4, 1000, 0.0) + 5 * torch.arange(4.0)[:, None]
    assert float(effective_sample_size(x)) < 10


@pytest.mark.parametrize("shape", [(4,), (4, 3), (0, 8)])
def test_too_few_draws_are_refused(shape):
    with pytest.raises(InvalidInputError, match=r"draws must have shape \(chains, draws, \*D\)"):
        split_r_hat(torch.zeros(shape))


def test_draws_that_are_not_finite_are_refused():
    with pytest.raises(InvalidInputError, match="draws must be finite"):
        effective_sample_size(torch.full((2, 8), math.nan))


@pytest.mark.parametrize(("n", "rho"), [(500, 0.0), (501, 0.7), (300, 0.9)])
def test_r_hat_and_effective_samples_are_those_of_arviz(n, rho):
    stats = pytest.importorskip("arviz_stats.base").array_stats
    x = autoregression(4, n, rho, width=(3,))
    x[..., 1] += 0.1 * torch.arange(4.0)[:, None]  # chains that disagree
    axes = {"chain_axis": 0, "draw_axis": 1}
    r_hat = torch.as_tensor(stats.rhat(x.numpy(), **axes, method="split"))
    independent = torch.as_tensor(stats.ess(x.numpy(), **axes, method="mean"))
    assert_close(split_r_hat(x), r_hat, rtol=1e-10, atol=0)
    assert_close(effective_sample_size(x), independent, rtol=1e-8, atol=0)
