"""Benchmark tasks: likelihoods against PyTorch, posteriors against grids and closed forms."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.posterior.priors import Normal
from interpolants.apps.posterior.problems.benchmark_tasks import (
    SIR,
    SLCP,
    GaussianMixtureMean,
    LotkaVolterraRates,
    annealed,
)

G = torch.Generator


def test_annealed_particles_have_the_moments_of_the_conjugate_posterior():
    prior = Normal([0.0, 1.0], [1.0, 2.0])
    x = torch.tensor([0.5, 3.0], dtype=torch.float64)
    draws = annealed(
        prior, lambda theta: -0.5 * ((x - theta) / 0.1).square().sum(1), 4000, G().manual_seed(0)
    )
    variance = 1 / (1 / torch.tensor([1.0, 4.0]).double() + 100)
    mean = variance * (torch.tensor([0.0, 0.25]).double() + 100 * x)
    assert_close(draws.mean(0), mean, rtol=0, atol=5 * float(variance.max() / 4000) ** 0.5 * 2)
    assert_close(draws.var(0), variance, rtol=0.12, atol=0)


def test_the_mixture_posterior_is_that_of_the_two_normal_distributions_cut_to_the_box():
    x = torch.tensor([9.8, 0.0], dtype=torch.float64)
    draws = GaussianMixtureMean().posterior_sample(x, 40_000, generator=G().manual_seed(0))
    inside = [torch.special.ndtr(torch.tensor(0.2 / std)).item() for std in (1.0, 0.1)]
    near = ((draws - x).abs().max(1).values < 0.3).double().mean()
    # Within 0.3 of x: the narrow one nearly always, the wide one by its probability there.
    wide = (inside[0] - torch.special.ndtr(torch.tensor(-0.3)).item()) * math.erf(0.3 / 2**0.5)
    narrow = (inside[1] - torch.special.ndtr(torch.tensor(-3.0)).item()) * math.erf(3 / 2**0.5)
    assert abs(float(near) - (wide + narrow) / sum(inside)) < 0.012
    assert float(draws[:, 0].max()) <= 10


def test_the_likelihood_of_four_normal_draws_is_that_of_pytorch_and_its_posterior_has_four_modes():
    problem = SLCP()
    drawn = problem.sample(50, generator=G().manual_seed(0))
    theta, x = drawn["theta"], drawn["x"][3]
    law = torch.distributions.MultivariateNormal(theta[:, :2], scale_tril=problem._root(theta))
    exact = sum(law.log_prob(x[2 * k : 2 * k + 2]) for k in range(4))
    assert_close(problem.log_likelihood(theta, x), exact, rtol=1e-9, atol=1e-9)
    draws = problem.posterior_sample(x, 1000, generator=G().manual_seed(1))
    assert bool(problem.prior.inside(draws).all())
    modes = torch.bincount((draws[:, 2] > 0).long() + 2 * (draws[:, 3] > 0).long(), minlength=4)
    assert int(modes.min()) > 200


@pytest.mark.slow
def test_the_posterior_of_an_epidemic_is_that_of_a_grid():
    problem = SIR()
    x = problem.sample(1, generator=G().manual_seed(3))["x"][0]
    theta = problem.prior.sample(5, generator=G().manual_seed(0))
    exact = torch.distributions.Binomial(1000, problem._fraction(theta)).log_prob(x).sum(1)
    assert_close(problem.log_likelihood(theta, x), exact, rtol=1e-9, atol=1e-9)
    draws = problem.posterior_sample(x, 1000, generator=G().manual_seed(0)).log()
    mean, std = draws.mean(0), draws.std(0)
    sides = [
        torch.linspace(float(m - 6 * s), float(m + 6 * s), 41).double()
        for m, s in zip(mean, std, strict=True)
    ]
    grid = torch.cartesian_prod(*sides)
    logs = problem.log_likelihood(grid.exp(), x) + problem.prior.log_prob(grid.exp()) + grid.sum(1)
    weights = logs.softmax(0)[:, None]
    exact = (weights * grid).sum(0)
    spread = (weights * (grid - exact).square()).sum(0).sqrt()
    assert ((mean - exact).abs() < 0.15 * spread).all()
    assert_close(std, spread, rtol=0.1, atol=0)


def test_prey_and_predators_keep_the_constant_of_their_equations():
    problem = LotkaVolterraRates()
    theta = problem.prior.sample(200, generator=G().manual_seed(0))
    prey, predators = problem._log_numbers(theta).exp().reshape(-1, 2, 10).unbind(1)
    growth, eaten, loss, gain = (rate[:, None] for rate in theta.unbind(1))
    constant = gain * prey - loss * prey.log() + eaten * predators - growth * predators.log()
    assert_close(constant, constant[:, :1].expand_as(constant), rtol=1e-3, atol=1e-3)
    x = problem.simulate(theta[:1], generator=G().manual_seed(0))[0]
    law = torch.distributions.LogNormal(problem._log_numbers(theta[:3]), 0.1)
    assert_close(problem.log_likelihood(theta[:3], x), law.log_prob(x).sum(1), rtol=1e-9, atol=1e-9)


def test_an_epidemic_ends_at_the_size_that_its_rates_imply():
    """The final size z of the equations: log(1 - z) = -R z, here when it has ended by day 153."""
    theta = torch.tensor([[1.0, 0.25]], dtype=torch.float64)
    fraction = SIR()._fraction(theta)
    assert float(fraction[0, 0]) == pytest.approx(1e-6)
    # Between infection and recovery: I = 1 - S + log(S) / R, at its peak with S = 1 / R.
    peak = 1 - 0.25 + math.log(0.25) * 0.25
    assert float(fraction.max()) <= peak
    assert float(fraction[0, -1]) < 1e-6


def test_an_epidemic_that_dies_out_leaves_counts_with_a_chance():
    """The fraction falls to exp(-5 x 17 k); counts stay possible, with the smallest chance that is kept."""
    theta = torch.tensor([[0.01, 5.0]], dtype=torch.float64)
    fraction = SIR()._fraction(theta)
    assert float(fraction.min()) == 1e-12
    assert bool(SIR().log_likelihood(theta, torch.full((1, 10), 2.0).double()).isfinite().all())
