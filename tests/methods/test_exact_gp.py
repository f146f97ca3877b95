"""Exact regression and the mean against algebra by hand."""

import math

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.kernels import Matern
from interpolants.methods import ExactGP, MeanValue
from interpolants.methods.rivals.exact_gp import evidence


def rows(n=60):
    g = torch.Generator().manual_seed(0)
    x = torch.rand(n, 2, dtype=torch.float64, generator=g)
    y = torch.sin(6 * x[:, 0]) * (1 + x[:, 1]) + 0.1 * torch.randn(n, dtype=torch.float64, generator=g)
    return x, 5 + y


def by_hand(state, a, b):
    scales, kernel = state["log_shape"].exp(), Matern(1.5)
    first, second = (kernel.covariance((a[:, None, k] - b[:, k]) / scales[k]) for k in range(2))
    return state["log_variance"].exp() * first * second


def test_it_is_the_conditional_gaussian():
    x, y = rows()
    model = ExactGP(steps=15).fit(x, y)
    state, new = (
        model.state,
        torch.rand(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)),
    )
    scaled = (y - y.mean()) / y.std()
    noisy = by_hand(state, x, x) + state["log_noise"].exp() * torch.eye(60, dtype=torch.float64)
    mean = by_hand(state, new, x) @ torch.linalg.solve(noisy, scaled)
    across = by_hand(state, new, x)
    variance = state["log_variance"].exp() - (across * torch.linalg.solve(noisy, across.T).T).sum(1)
    found = model.predict(new, noise=False)
    assert_close(found.mean, y.mean() + y.std() * mean, rtol=0, atol=1e-5)
    assert_close(found.std, y.std() * variance.sqrt(), rtol=0, atol=1e-5)
    assert_close(model.predict(new).std.square(), found.std.square() + model.noise_std**2)


def test_its_evidence_is_a_density_and_the_search_raises_it():
    x, y = rows()
    model = ExactGP(steps=30).fit(x, y)
    scaled, none = (y - y.mean()) / y.std(), torch.zeros(2, dtype=torch.bool)
    state, eye = model.state, torch.eye(60, dtype=torch.float64)
    least = 1e-8 * (1 + state["log_variance"].exp())
    noisy = by_hand(state, x, x) + (state["log_noise"].exp() + least) * eye
    law = torch.distributions.MultivariateNormal(torch.zeros(60, dtype=torch.float64), noisy)
    reached = evidence(x, scaled[:, None], none, Matern(1.5), model.state)
    assert_close(reached, law.log_prob(scaled))
    for name in ("log_shape", "log_variance", "log_noise"):
        for step in (-0.2, 0.2):
            other = {**model.state, name: model.state[name] + step}
            assert evidence(x, scaled[:, None], none, Matern(1.5), other) < reached
    assert float(model.noise_std) == pytest.approx(0.1, rel=0.4)


def test_words_have_one_correlation():
    x, y = rows()
    table = pd.DataFrame({"place": ["a", "b", "c"] * 20, "x": x[:, 0].numpy()})
    shift = table.place.map({"a": 0.0, "b": 0.3, "c": 0.1})
    model = ExactGP().fit(table, pd.Series(y.numpy() / 10 + shift, name="y"))
    one = pd.DataFrame({"place": ["b", "c"], "x": [0.5, 0.5]})
    first, second = model.predict(one).mean
    assert first - second == pytest.approx(0.2, abs=0.1)


def test_columns_share_the_kernel():
    x, y = rows()
    both = ExactGP(steps=10).fit(x, torch.stack([y, 100 - 3 * y], 1)).predict(x[:7])
    alone = ExactGP(steps=10).fit(x, y).predict(x[:7])
    assert_close(both.mean, torch.stack([alone.mean, 100 - 3 * alone.mean], 1), rtol=1e-5, atol=0)
    assert_close(both.std, torch.stack([alone.std, 3 * alone.std], 1), rtol=1e-4, atol=0)


def test_too_many_entries_are_refused_with_their_memory():
    with pytest.raises(InvalidInputError, match=r"at most 5000 rows, got 6000, whose matrices take 1.1 GiB"):
        ExactGP().fit(torch.zeros(6000, 1).double(), torch.zeros(6000).double())
    with pytest.raises(InvalidInputError, match="smoothness must be one of"):
        ExactGP(smoothness=1.0)


def test_the_mean_has_the_moments_of_the_values():
    x, y = rows()
    found = MeanValue().fit(x, y).predict(x[:3])
    assert_close(found.mean, y.mean().expand(3))
    assert_close(found.std, y.std().expand(3))
    assert float(found.log_prob(y[:3])[0]) == pytest.approx(
        -0.5 * float(((y[0] - y.mean()) / y.std()) ** 2)
        - math.log(float(y.std()))
        - 0.5 * math.log(2 * math.pi)
    )


def test_values_without_noise_are_fitted_and_come_back():
    x = torch.linspace(0, 1, 25, dtype=torch.float64)[:, None]
    model = ExactGP(smoothness=2.5).fit(x, x[:, 0])
    found = model.predict(x[:-1] + 0.02, noise=False)
    assert_close(found.mean, x[:-1, 0] + 0.02, rtol=0, atol=1e-4)
    assert bool((found.std > 0).all() & (found.std < 1e-3).all())


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
def test_evidence_and_predictions_are_those_of_gpytorch(smoothness):
    """The second opinion on a rival: the same hyperparameters in the exact GP of another library."""
    gpytorch = pytest.importorskip("gpytorch")
    x, y = rows()
    fitted = ExactGP(smoothness=smoothness, steps=15).fit(x, y)
    state, scaled = fitted.state, (y - y.mean()) / y.std()
    new = torch.rand(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    columns = [gpytorch.kernels.MaternKernel(nu=smoothness, active_dims=(k,)) for k in range(2)]
    kernel = gpytorch.kernels.ScaleKernel(columns[0] * columns[1]).double()
    kernel.outputscale = state["log_variance"].exp()
    for column, scale in zip(columns, state["log_shape"].exp(), strict=True):
        column.lengthscale = scale
    least = gpytorch.constraints.GreaterThan(1e-12)
    likelihood = gpytorch.likelihoods.GaussianLikelihood(noise_constraint=least).double()
    likelihood.noise = state["log_noise"].exp() + 1e-8 * (1 + state["log_variance"].exp())

    class Process(gpytorch.models.ExactGP):
        def forward(self, points):
            return gpytorch.distributions.MultivariateNormal(points.new_zeros(len(points)), kernel(points))

    process = Process(x, scaled, likelihood).double()
    with torch.no_grad(), gpytorch.settings.fast_computations(False, False, False):
        total = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, process)(process(x), scaled) * len(x)
        process.eval(), likelihood.eval()
        theirs = process(new)
        ours = fitted.predict(new, noise=False)
        none = torch.zeros(2, dtype=torch.bool)
        assert_close(evidence(x, scaled[:, None], none, Matern(smoothness), state), total)
        assert_close(ours.mean, y.mean() + y.std() * theirs.mean)
        assert_close(ours.std, y.std() * theirs.variance.sqrt())
