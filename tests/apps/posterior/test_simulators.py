import torch
from torch.testing import assert_close

from interpolants.apps.posterior.problems.simulators import GaussianLinear, TwoMoons
from interpolants.foundations.registry import build

G = torch.Generator


def test_moments_of_the_moons_are_those_of_a_grid():
    # The likelihood of the crescent in polar coordinates, on a grid over the box.
    side = torch.linspace(-1, 1, 1601, dtype=torch.float64)
    theta = torch.cartesian_prod(side, side)
    shift = torch.stack([-theta.sum(1).abs(), theta[:, 1] - theta[:, 0]], 1) / 2**0.5
    u, v = (torch.zeros(2, dtype=torch.float64) - shift).unbind(1)
    u = u - 0.25
    radius = (u.square() + v.square()).sqrt()
    weight = torch.exp(-0.5 * ((radius - 0.1) / 0.01) ** 2) / radius.clamp_min(1e-9) * (u > 0)
    weight = weight / weight.sum()
    found = TwoMoons().posterior_sample(torch.zeros(2), 200_000, generator=G().manual_seed(0))
    exact = (weight[:, None] * theta.square()).sum(0)
    assert_close(found.square().mean(0), exact, rtol=0.01, atol=0)
    assert_close((found.prod(1)).mean(), (weight * theta.prod(1)).sum(), rtol=0.01, atol=0)
    assert_close(exact, torch.full((2,), 0.05221, dtype=torch.float64), rtol=2e-3, atol=0)


def test_ranks_among_exact_draws_are_uniform():
    """Parameters and simulations belong to the posterior that is sampled."""
    moons, g = TwoMoons(), G().manual_seed(1)
    drawn = moons.sample(400, generator=g)
    draws = torch.stack([moons.posterior_sample(x, 19, generator=g) for x in drawn["x"]])
    ranks = (draws < drawn["theta"][:, None]).double().mean(1)
    assert_close(ranks.mean(0), torch.full((2,), 0.5, dtype=torch.float64), rtol=0, atol=4 * 0.29 / 20)
    assert_close(
        ranks.std(0), torch.full((2,), (1 / 12 + 1 / 114) ** 0.5, dtype=torch.float64), rtol=0.1, atol=0
    )


def test_the_linear_posterior_is_the_conjugate_one():
    problem, g = GaussianLinear(dim=2, variance=0.1), G().manual_seed(0)
    drawn = problem.sample(100_000, generator=g)
    theta, x = drawn["theta"], drawn["x"]
    # Of a joint Gaussian: regression slope and residual variance.
    assert_close((theta * x).mean(0) / x.square().mean(0), torch.full((2,), 0.5).double(), rtol=0, atol=0.01)
    found = problem.posterior_sample(torch.tensor([1.0, -1.0]), 100_000, generator=g)
    assert_close(found.mean(0), torch.tensor([0.5, -0.5]).double(), rtol=0, atol=0.003)
    assert_close(found.var(0), torch.full((2,), 0.05).double(), rtol=0.02, atol=0)


def test_problems_are_known_by_name():
    assert isinstance(build("problem", "two_moons"), TwoMoons)
    assert build("problem", "gaussian_linear", dim=3).dim == 3
