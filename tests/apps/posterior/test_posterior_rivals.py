import torch
from torch.testing import assert_close

from interpolants.apps.posterior import GaussianLinear, LinearPosterior, NearestSimulations

G = torch.Generator


def test_the_regression_is_the_posterior_of_a_linear_simulator():
    problem = GaussianLinear(dim=2)
    drawn = problem.sample(20_000, generator=G().manual_seed(0))
    draws = LinearPosterior().fit(drawn["theta"], drawn["x"]).sample(20_000, x=[0.4, -0.4])
    assert_close(torch.as_tensor(draws).mean(0), torch.tensor([0.2, -0.2]).double(), rtol=0, atol=0.01)
    assert_close(torch.as_tensor(draws).var(0), torch.full((2,), 0.05).double(), rtol=0.05, atol=0)


def test_accepted_simulations_are_the_nearest_and_all_of_them_are_the_prior():
    drawn = GaussianLinear(dim=2).sample(500, generator=G().manual_seed(0))
    theta, x = drawn["theta"], drawn["x"]
    near = NearestSimulations(accepted=1).fit(theta, x).sample(5, x=x[3])
    assert_close(torch.as_tensor(near), theta[3].expand(5, 2))
    every = NearestSimulations(accepted=500).fit(theta, x).sample(20_000, x=x[3])
    assert_close(torch.as_tensor(every).mean(0), theta.mean(0), rtol=0, atol=0.01)


def test_neither_rival_feels_the_units_of_the_simulations():
    drawn = GaussianLinear(dim=2).sample(500, generator=G().manual_seed(0))
    theta, x = drawn["theta"], drawn["x"]
    for method in (NearestSimulations(accepted=20), LinearPosterior()):
        plain, other = (
            method.clone().fit(theta, to(x)).sample(50, x=to(x[3])) for to in (lambda x: x, _moved)
        )
        assert_close(torch.as_tensor(plain), torch.as_tensor(other), rtol=1e-6, atol=1e-6)


def _moved(x):
    return 1000 * x + 5e4
