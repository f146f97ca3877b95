"""The likelihood of a latent generator against the closed form of a linear one."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.latent_generator.marginal import MarginalLikelihood
from interpolants.problems import SubspaceGaussian

F64 = torch.float64
NOISE = 0.3


def linear(generator, latent, size=3):
    distribution = SubspaceGaussian(torch.randn(size, latent, generator=generator, dtype=F64), NOISE)
    return distribution, lambda z: z @ distribution.loading.T, torch.tensor(math.log(NOISE), dtype=F64)


def posterior(distribution):
    """The exact encoder: mean and log standard deviation of z given x, whose covariance is made diagonal."""
    inner = distribution.loading.T @ distribution.loading + NOISE**2 * torch.eye(
        distribution.loading.shape[1], dtype=F64
    )
    gain = torch.linalg.solve(inner, distribution.loading.T)
    spread = (NOISE**2 * torch.linalg.inv(inner)).diagonal().sqrt().log()
    return lambda x: torch.cat([x @ gain.T, spread.expand(len(x), -1)], 1)


def test_quadrature_is_the_density(generator):
    distribution, decoder, log_s = linear(generator, 1)
    x = distribution.sample(50, generator=generator)
    loss = MarginalLikelihood(1, "quadrature", points=4000)
    assert_close(-loss(decoder, x, log_s, generator=generator), distribution.log_prob(x), atol=2e-3, rtol=0)


def test_quadrature_over_a_uniform_prior_is_the_mean_of_kernels(generator):
    """A constant decoder: the density is one kernel, whatever the latents."""
    x = torch.randn(5, 2, generator=generator, dtype=F64)
    loss = MarginalLikelihood(1, "quadrature", "uniform", 10)
    found = -loss(lambda z: 0 * z.expand(-1, 2), x, torch.tensor(0.0, dtype=F64), generator=generator)
    assert_close(found, -0.5 * x.square().sum(1) - math.log(2 * math.pi))


def test_an_even_grid_as_wide_as_the_noise_gives_a_circle_its_exact_density(generator):
    """Uniform on a circle, plus noise: ``log p = -log(2 pi s^2) - (r - 1)^2/(2 s^2) + log i0e(r/s^2)``.

    64 points lie 0.098 apart at s = 0.1: the trapezoidal rule is off by ``2 exp(-2 pi^2 s^2 / h^2)``, below 1e-7. As
    many points with a shift each are off by 0.08 in the mean.
    """
    x = torch.randn(40, 2, generator=generator, dtype=F64)
    x = x * (0.9 + 0.2 * torch.rand(40, 1, generator=generator, dtype=F64)) / x.norm(dim=1, keepdim=True)
    r, s = x.norm(dim=1), 0.1
    truth = -math.log(2 * math.pi * s**2) - (r - 1) ** 2 / (2 * s**2) + torch.special.i0e(r / s**2).log()
    loss = MarginalLikelihood(1, "quadrature", "uniform", 64)

    def circle(z):
        return torch.cat([torch.cos(2 * math.pi * z), torch.sin(2 * math.pi * z)], 1)

    found = -loss(circle, x, torch.tensor(math.log(s), dtype=F64), generator=generator)
    assert_close(found, truth, atol=1e-7, rtol=0)


def test_with_the_exact_encoder_the_bound_is_the_density(generator):
    """One latent: the posterior is normal, every weight is p(x), and one draw is enough."""
    distribution, decoder, log_s = linear(generator, 1)
    x = distribution.sample(20, generator=generator)
    loss = MarginalLikelihood(1, "iwae", points=1)
    found = -loss(decoder, x, log_s, encoder=posterior(distribution), generator=generator)
    assert_close(found, distribution.log_prob(x), atol=1e-9, rtol=0)


def test_the_bound_lies_below_and_tightens_with_the_draws(generator):
    """Two latents, and an encoder that is too wide by a factor 1.65. 4 standard errors."""
    distribution, decoder, log_s = linear(generator, 2)
    x = distribution.sample(4000, generator=generator)
    truth, exact = distribution.log_prob(x), posterior(distribution)

    def wide(x):
        return exact(x) + torch.tensor([0.0, 0.0, 0.5, 0.5], dtype=F64)

    gaps = []
    for points in (1, 8, 64):
        loss = MarginalLikelihood(2, "iwae", points=points)
        gap = truth + loss(decoder, x, log_s, encoder=wide, generator=generator)
        gaps.append((float(gap.mean()), float(gap.std()) / math.sqrt(len(x))))
    assert all(mean > -4 * error for mean, error in gaps)
    assert gaps[0][0] > gaps[1][0] > gaps[2][0]


def test_a_number_says_what_it_is():
    assert (
        MarginalLikelihood(1, "quadrature", points=256).meaning
        == "log-likelihood by quadrature over 256 latents"
    )
    assert "lower bound" in MarginalLikelihood(3, points=4).meaning


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MarginalLikelihood(1, "iwea"), "Did you mean 'iwae'"),
        (lambda: MarginalLikelihood(1, prior="normall"), "Did you mean 'normal'"),
        (lambda: MarginalLikelihood(2, "quadrature"), "quadrature needs one latent dimension, got 2"),
        (lambda: MarginalLikelihood(2, "iwae", "uniform"), "the iwae bound needs a normal prior"),
        (lambda: MarginalLikelihood(0), "latent must be a whole number >= 1"),
        (
            lambda: MarginalLikelihood(1)(lambda z: z, torch.zeros(2, 1), torch.tensor(0.0)),
            "the iwae bound needs an encoder",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
