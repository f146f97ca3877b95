"""Regression by a fixed process, against the conditional Gaussian and the evidence."""

import re

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml import TargetProcess
from interpolants.sciml.bayes.target_process import draw_functions, squared_exponential

DOUBLE = {"dtype": torch.float64}


def rows():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(25, 2, generator=g, **DOUBLE)
    return x, 5 + 2 * torch.sin(x.sum(1)) + 0.3 * torch.randn(25, generator=g, **DOUBLE)


def test_it_is_the_conditional_gaussian_with_the_noise_of_the_greatest_evidence():
    x, y = rows()
    model = TargetProcess(lengthscale=1.2).fit(x, y)
    z, t = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    kernel = torch.exp(-0.5 * (z[:, None] - z).square().sum(2) / 1.2**2)
    noise, eye = float(model.state["noise"]), torch.eye(25, **DOUBLE)

    def evidence(noise):
        return float(MultivariateNormal(torch.zeros(25, **DOUBLE), kernel + noise * eye).log_prob(t))

    assert evidence(noise) > max(evidence(0.8 * noise), evidence(1.25 * noise))
    weights = torch.linalg.solve(kernel + noise * eye, kernel)
    found = model.predict(x)
    assert_close(found.mean, y.mean() + y.std() * weights.T @ t)
    assert_close(found.std, y.std() * (1 - (kernel * weights).sum(0) + noise).sqrt())
    together = kernel - kernel @ weights + noise * eye
    assert_close(model.predict(x, joint=True).covariance[0], y.var() * together)


def test_functions_have_the_covariance_of_the_kernel():
    x = torch.tensor([[0.0], [1.0]], **DOUBLE)
    covariance = squared_exponential(x, x, 1.0, 2.0)
    assert_close(covariance, torch.tensor([[4.0, 4 * 0.6065306597], [4 * 0.6065306597, 4.0]], **DOUBLE))
    drawn = draw_functions(covariance, 100_000, torch.Generator().manual_seed(0))
    assert_close(drawn.T @ drawn / len(drawn), covariance, rtol=0.02, atol=0)


def test_an_amplitude_beside_which_the_noise_is_lost_is_refused():
    """What is told to be the most still finds a sine."""
    x = torch.linspace(0, 1, 100, **DOUBLE)[:, None]
    truth = torch.sin(6 * x[:, 0])
    y = truth + 0.1 * torch.randn(100, generator=torch.Generator().manual_seed(0), **DOUBLE)
    with pytest.raises(InvalidInputError, match="small enough for float64 to resolve the noise") as refused:
        TargetProcess(lengthscale=1.0, amplitude=1e7).fit(x, y)
    most = float(re.search(r"below (\S+),", str(refused.value)).group(1))
    found = TargetProcess(lengthscale=1.0, amplitude=0.9 * most).fit(x, y)
    assert most > 1e3
    assert (found.predict(x).mean - truth).square().mean().sqrt() < 0.1


def test_a_constant_column_of_points_changes_nothing():
    x, y = rows()
    beside = torch.cat([x, torch.full((25, 1), 3.0, **DOUBLE)], 1)
    one, other = TargetProcess(lengthscale=1.2).fit(x, y), TargetProcess(lengthscale=1.2).fit(beside, y)
    assert_close(other.predict(beside).mean, one.predict(x).mean)


def test_eigenvalues_below_zero_by_rounding_do_not_decide_the_noise():
    """The lowest would be -2e-4; the least noise that is tried is 1e-4."""
    x = torch.linspace(0, 1, 100, **DOUBLE)[:, None]
    y = torch.randn(100, generator=torch.Generator().manual_seed(0), **DOUBLE)
    model = TargetProcess(lengthscale=1.0, amplitude=2e5).fit(x, y)
    assert float(model.state["values"].min()) == 0
    assert float(model.state["noise"]) == pytest.approx(1, rel=0.1)
