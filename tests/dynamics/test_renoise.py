"""Ways between two times: noise keeps marginals, and the flow comes back."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics.renoise import invert, renoise, sample_between
from interpolants.dynamics.sample import sample
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.gaussian import Gaussian
from interpolants.paths import VP, Linear, OneSidedLinear, OneSidedTrigonometric
from interpolants.problems import GaussianMixture, GaussianMixtureBridge

PATHS = {"vp": VP(), "linear": OneSidedLinear(), "trigonometric": OneSidedTrigonometric()}
COVARIANCE = torch.tensor([[1.0, 0.7], [0.7, 0.8]], dtype=torch.float64)


def bridge(path):
    target = GaussianMixture(torch.ones(1).double(), torch.tensor([[2.0, -1.0]]).double(), COVARIANCE[None])
    return GaussianMixtureBridge(Gaussian(), target), target


@pytest.mark.parametrize("name", PATHS)
def test_the_marginals_are_kept(name):
    path = PATHS[name]
    problem, _ = bridge(path)
    n = 40_000
    x = problem.marginal(path, 0.7).sample(n, generator=torch.Generator().manual_seed(0))
    found = renoise(path, x, 0.7, 0.3, seed=1)
    truth = problem.marginal(path, 0.3).sample(n, generator=torch.Generator().manual_seed(2))
    scale = truth.std(0)
    assert_close(found.mean(0) / scale, truth.mean(0) / scale, atol=5 * (2 / n) ** 0.5, rtol=0)
    assert_close(torch.cov(found.T), torch.cov(truth.T), atol=0.03, rtol=0.03)


def test_a_base_with_a_mean_and_no_step_at_all():
    path = OneSidedLinear(base=Gaussian(mean=torch.tensor([3.0, -2.0])))
    x1 = torch.randn(50_000, 2, generator=torch.Generator().manual_seed(0))
    x = path.sample(x1=x1, t=torch.full((len(x1),), 0.8), generator=torch.Generator().manual_seed(1)).x_t
    found = renoise(path, x, 0.8, 0.2, seed=3)
    assert_close(found.mean(0), 0.8 * torch.tensor([3.0, -2.0]), atol=0.02, rtol=0)
    assert_close(renoise(path, x, 0.8, 0.8, seed=3), x)


def test_rows_have_their_own_noise():
    x = torch.zeros(100, 2)
    whole = renoise(VP(), x, 1.0, 0.4, seed=5)
    assert torch.equal(renoise(VP(), x[70:80], 1.0, 0.4, seed=5, first_index=70), whole[70:80])


def test_the_flow_comes_back_and_parts_make_a_whole():
    problem, target = bridge(VP())
    fields = problem.fields(VP())
    x1 = target.sample(20, generator=torch.Generator().manual_seed(0))
    early = invert(fields, x1, 0.3, n_steps=400)
    assert_close(sample_between(fields, early, 0.3, 1.0, n_steps=400), x1, atol=1e-3, rtol=0)
    grid = torch.linspace(0, 1, 11).double().numpy()
    x0 = torch.randn(20, 2).double()
    half = sample_between(fields, x0, 0.0, grid[5], time_grid=grid[:6])
    whole = sample(fields, x0, time_grid=grid).x
    assert_close(sample_between(fields, half, grid[5], 1.0, time_grid=grid[5:]), whole)


@pytest.mark.parametrize(
    ("path", "times", "message"),
    [
        (Linear(), (0.7, 0.3), "from a Gaussian base by one schedule"),
        (None, (0.7, 0.3), "from a Gaussian base"),
        (VP(), (0.3, 0.7), "0 <= t_to <= t_from <= 1"),
        (VP(), (1.3, 0.7), "0 <= t_to <= t_from <= 1"),
    ],
)
def test_what_does_not_fit_is_refused(path, times, message):
    with pytest.raises(InvalidInputError, match=message):
        renoise(path, torch.zeros(3, 2), *times, seed=0)
