import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.posterior import Box, LogNormal, Normal
from interpolants.apps.posterior.priors import choose_prior
from interpolants.foundations.errors import InvalidInputError

distributions = torch.distributions
PAIRS = (
    (
        Box([-1.0, 0.0], [1.0, 3.0]),
        distributions.Uniform(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 3.0])),
    ),
    (
        Normal([1.0, 0.0], [0.5, 2.0]),
        distributions.Normal(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 2.0])),
    ),
    (
        LogNormal([1.0, 0.0], [0.5, 2.0]),
        distributions.LogNormal(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 2.0])),
    ),
)


@pytest.mark.parametrize(("prior", "known"), PAIRS)
def test_densities_and_draws_are_those_of_pytorch(prior, known):
    g = torch.Generator().manual_seed(0)
    theta = prior.sample(20_000, generator=g)
    assert bool(prior.inside(theta).all())
    assert_close(prior.log_prob(theta), known.log_prob(theta.float()).double().sum(1), rtol=1e-4, atol=1e-5)
    uniform = known.cdf(theta.float())
    assert_close(prior.levels(theta), uniform.double(), rtol=0, atol=1e-5)
    assert_close(uniform.mean(0), torch.full((2,), 0.5), rtol=0, atol=4 * (1 / 12 / 20_000) ** 0.5)
    assert choose_prior("test", distributions.Independent(known, 1)) == prior


def test_outside_the_density_is_zero():
    off = torch.tensor([[2.0, 1.0], [0.0, -0.1]], dtype=torch.float64)
    assert Box([-1.0, 0.0], [1.0, 3.0]).log_prob(off).tolist() == [-math.inf, -math.inf]
    assert LogNormal([0.0, 0.0], [1.0, 1.0]).log_prob(off).tolist()[1] == -math.inf


def test_bad_settings_are_refused_with_their_values():
    with pytest.raises(InvalidInputError, match="Box: low must lie below high, got 1 and 1"):
        Box([0.0, 1.0], [1.0, 1.0])
    with pytest.raises(InvalidInputError, match="same length, got 1 and 2"):
        Box([0.0], [1.0, 1.0])
    with pytest.raises(InvalidInputError, match=r"Normal: std must be positive, got 0\.0"):
        Normal([0.0], [0.0])
    with pytest.raises(InvalidInputError, match="one finite number"):
        Box([0.0, math.nan], [1.0, 1.0])
    with pytest.raises(InvalidInputError, match=r"PyTorch, got Gamma. Pass prior=None"):
        choose_prior("test", distributions.Gamma(torch.ones(2), torch.ones(2)))


def test_levels_of_points_outside_a_box_are_those_of_its_sides():
    levels = Box([0.0, 2.0], [1.0, 4.0]).levels(torch.tensor([[-1.0, 5.0], [0.25, 3.0]]).double())
    assert_close(levels, torch.tensor([[0.0, 1.0], [0.25, 0.5]]).double())
