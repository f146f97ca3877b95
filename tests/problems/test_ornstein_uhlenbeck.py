import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.problems import GaussianMixture, OrnsteinUhlenbeck, get_problem

F64 = torch.float64
PROCESS = OrnsteinUhlenbeck(torch.tensor([0.7, 2.0]), torch.tensor([1.0, -0.5]), torch.tensor([0.8, 1.5]))


def states(n, seed=0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_transition_density_obeys_the_fokker_planck_equation():
    # dp/dh = div(theta (y - mu) p) + sigma^2/2 laplace p, written for log p.
    x, y = states(8), states(8, 1).requires_grad_()
    h = torch.linspace(0.2, 2.0, 8, dtype=F64).requires_grad_()
    log_p = PROCESS.log_transition(y, x, h)
    slope, rate = torch.autograd.grad(log_p.sum(), (y, h), create_graph=True)
    bend = torch.stack(
        [torch.autograd.grad(slope[:, k].sum(), y, retain_graph=True)[0][:, k] for k in (0, 1)], 1
    )
    inflow = (PROCESS.theta + PROCESS.theta * (y - PROCESS.mu) * slope).sum(1)
    spread = (0.5 * PROCESS.sigma.square() * (bend + slope.square())).sum(1)
    assert_close(rate, inflow + spread)


def test_two_steps_are_one():
    x = states(5)
    whole = PROCESS.transition(x, 1.3)
    first = PROCESS.transition(x, 0.4)
    second = PROCESS.transition(first.mean, 0.9)
    carried = torch.exp(-PROCESS.theta * 0.9) * first.std
    assert_close(second.mean, whole.mean)
    assert_close((carried.square() + second.std.square()).sqrt(), whole.std)


def test_a_short_step_is_the_equation():
    x, h = states(3), 1e-6
    step = PROCESS.transition(x, h)
    assert_close((step.mean - x) / h, -PROCESS.theta * (x - PROCESS.mu), rtol=1e-5, atol=1e-5)
    assert_close(step.std / h**0.5, PROCESS.sigma, rtol=1e-5, atol=1e-5)


def test_the_stationary_distribution_stays_and_is_reached():
    distribution = PROCESS.stationary()
    assert_close(distribution.mean, PROCESS.mu)
    assert_close(PROCESS.marginal(distribution, 0.6).covariance, distribution.covariance)
    start = GaussianMixture.random(3, 2, seed=1)
    assert_close(PROCESS.marginal(start, 60.0).mean, distribution.mean)
    assert_close(PROCESS.marginal(start, 60.0).covariance, distribution.covariance)
    x = states(4)
    # Detailed balance: p(x) p(y | x) is symmetric.
    y = states(4, 1)
    there = PROCESS.log_prob(x) + PROCESS.log_transition(y, x, 0.8)
    assert_close(there, PROCESS.log_prob(y) + PROCESS.log_transition(x, y, 0.8))
    assert_close(PROCESS.score(x), -2 * PROCESS.theta / PROCESS.sigma**2 * (x - PROCESS.mu))


def test_paths_have_the_covariance_of_the_process():
    n, times = 40_000, torch.tensor([0.5, 1.25], dtype=F64)
    start = PROCESS.sample(n, generator=torch.Generator().manual_seed(4))
    path = PROCESS.sample_path(start, times, generator=torch.Generator().manual_seed(5))
    assert path.shape == (n, 2, 2)
    variance = PROCESS.sigma**2 / (2 * PROCESS.theta)
    for k in (0, 1):  # stationary: Cov(X_s, X_t) = variance exp(-theta |t - s|)
        joint = torch.cat([start[:, k : k + 1], path[:, :, k]], 1).T.cov()
        at = torch.tensor([0.0, 0.5, 1.25], dtype=F64)
        wanted = variance[k] * torch.exp(-PROCESS.theta[k] * (at[:, None] - at).abs())
        slack = ((variance[k] ** 2 + wanted**2) / n).sqrt()
        assert bool(((joint - wanted).abs() <= 4 * slack).all())


def test_the_density_of_a_path_is_that_of_its_joint_gaussian():
    one = OrnsteinUhlenbeck(theta=0.9, mu=0.3, sigma=1.1)
    times = torch.tensor([0.4, 1.0, 1.1], dtype=F64)
    x = torch.tensor([[0.7]], dtype=F64)
    path = torch.tensor([[[0.2], [0.9], [0.5]]], dtype=F64)
    mean = 0.3 + torch.exp(-0.9 * times) * 0.4
    lag, both = (times[:, None] - times).abs(), times[:, None] + times
    cov = 1.1**2 / 1.8 * (torch.exp(-0.9 * lag) - torch.exp(-0.9 * both))
    wanted = torch.distributions.MultivariateNormal(mean, cov).log_prob(path[0, :, 0])
    assert_close(one.log_path(x, path, times), wanted[None])


def test_marginals_of_both_kinds_of_mixture_agree():
    axes = GaussianMixture([0.5, 0.5], [[0.0, 1.0], [2.0, 0.0]], [[0.5, 1.0], [1.0, 2.0]]).to(dtype=F64)
    full = GaussianMixture(axes.weights, axes.means, axes.covariances)
    x = states(4)
    assert_close(PROCESS.marginal(axes, 0.7).log_prob(x), PROCESS.marginal(full, 0.7).log_prob(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"theta": 0.0}, r"theta must be finite and > 0, got 0\.0"),
        ({"sigma": -1.0}, "sigma must be finite and > 0"),
        ({"mu": float("nan")}, "mu must be finite"),
        (
            {"mu": torch.zeros(3), "theta": torch.ones(2)},
            r"mu must be a number or have shape \(2,\), got \(3,\)",
        ),
    ],
)
def test_bad_parameters_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        OrnsteinUhlenbeck(**settings)


def test_bad_times_are_refused():
    with pytest.raises(InvalidInputError, match="h must be >= 0, got -1"):
        PROCESS.transition(states(1), -1.0)
    with pytest.raises(InvalidInputError, match="times must be >= 0 and ascending"):
        PROCESS.sample_path(states(1), torch.tensor([1.0, 0.5]))
    assert get_problem("ornstein_uhlenbeck", dim=3).event_shape == (3,)
