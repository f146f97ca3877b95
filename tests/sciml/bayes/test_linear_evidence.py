"""Bayesian linear regression against its normal equations and its evidence."""

import warnings

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from interpolants.foundations.tell import FitWarning
from interpolants.sciml.bayes.linear_evidence import LinearEvidence

DOUBLE = {"dtype": torch.float64}


def rows(n=30, noise=0.5):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=g, **DOUBLE) * torch.tensor([1.0, 5.0, 0.1], **DOUBLE)
    return x, x @ torch.tensor([1.0, 0.2, -3.0], **DOUBLE) + 2 + noise * torch.randn(n, generator=g, **DOUBLE)


def log_evidence(model, x, y, ratio, noise):
    """Of the values without their mean, in a basis of the n - 1 directions that are left."""
    z = (x - x.mean(0)) / x.std(0)
    basis = torch.linalg.svd(torch.eye(len(x), **DOUBLE) - 1 / len(x))[0][:, :-1]
    covariance = basis.T @ (noise / ratio * z @ z.T) @ basis + noise * torch.eye(len(x) - 1, **DOUBLE)
    return float(
        MultivariateNormal(torch.zeros(len(x) - 1, **DOUBLE), covariance).log_prob(basis.T @ (y - y.mean()))
    )


def test_penalty_and_noise_are_those_of_the_greatest_evidence():
    x, y = rows()
    state = LinearEvidence().fit(x, y).state
    noise, ratio = float(state["noise"]), float(state["noise"] / state["unseen"])
    best = log_evidence(state, x, y, ratio, noise)
    others = [log_evidence(state, x, y, ratio * a, noise * b) for a in (0.5, 1, 2) for b in (0.9, 1, 1.1)]
    assert max(others) < best + 1e-2
    assert sum(other < best - 1e-3 for other in others) >= 7
    # The penalty is one of a grid, but the noise is the best one for it.
    assert all(log_evidence(state, x, y, ratio, noise * b) < best for b in (0.99, 1.01))


def test_the_posterior_is_that_of_the_normal_equations():
    x, y = rows()
    model = LinearEvidence().fit(x, y)
    noise, prior = float(model.state["noise"]), float(model.state["unseen"])
    z, new = (x - x.mean(0)) / x.std(0), (2 * x[:5] - x.mean(0)) / x.std(0)
    covariance = torch.linalg.inv(z.T @ z / noise + torch.eye(3, **DOUBLE) / prior)
    found = model.predict(2 * x[:5])
    assert_close(found.mean, y.mean() + new @ covariance @ z.T @ (y - y.mean()) / noise)
    spread = (new @ covariance * new).sum(1) + noise * (1 + 1 / 30)
    assert_close(found.std, spread.sqrt())
    together = new @ covariance @ new.T + noise / 30 + noise * torch.eye(5, **DOUBLE)
    assert_close(model.predict(2 * x[:5], joint=True).covariance[0], together)
    # Six rows of eight columns, of which two differ: some directions were not told of.
    some = x[:6, :2].repeat(1, 4)
    few = LinearEvidence().fit(some, torch.stack([y[:6], y[6:12] ** 2], 1))
    wide, at = few.state, (some[:5] + torch.arange(8) - few.state["mean_x"]) / few.state["scale"]
    known = wide["basis"].T @ torch.diag(wide["variance"][:, 1]) @ wide["basis"]
    rest = wide["unseen"][1] * (torch.eye(8, **DOUBLE) - wide["basis"].T @ wide["basis"])
    truth = at @ (known + rest) @ at.T + wide["noise"][1] * (1 / 6 + torch.eye(5, **DOUBLE))
    assert_close(few.predict(some[:5] + torch.arange(8), joint=True).covariance[1], truth)


def test_more_columns_than_rows_and_constant_columns_have_finite_answers():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 9, generator=g, **DOUBLE), torch.randn(4, 2, generator=g, **DOUBLE)
    x[:, 0] = 7
    found = LinearEvidence().fit(x, y).predict(x)
    assert bool(torch.isfinite(found.mean).all() & (found.std > 0).all())
    # Along directions that no row told of, the spread is that of the prior.
    far = LinearEvidence().fit(x, y).predict(x + 100 * torch.randn(4, 9, generator=g, **DOUBLE))
    assert bool((far.std > found.std).all())


def test_without_a_slope_the_noise_is_the_unbiased_variance_of_the_values():
    _, y = rows()
    state = LinearEvidence().fit(torch.ones(30, 1, **DOUBLE), y).state
    assert_close(state["noise"], y.var()[None])


def test_rows_that_lie_on_a_plane_because_they_are_few_are_told():
    x, y = rows(n=60)
    told = 0
    for k in range(20):
        few = slice(3 * k, 3 * k + 3)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            sure = float(LinearEvidence().fit(x[few, :2], y[few]).predict(x[:1, :2]).std) < 1e-2
        assert bool(caught) == sure
        told += sure
    assert told >= 5
    # Without noise more rows than that do tell.
    x, y = rows(n=5, noise=0.0)
    LinearEvidence().fit(x, y)
    with pytest.warns(FitWarning, match="4 rows of 3 columns"):
        LinearEvidence().fit(x[:4], y[:4])


def test_noise_and_predictions_are_those_of_scikit_learn():
    """Its evidence counts the mean as known, a relative difference of 1 / n; our penalty is one of a grid."""
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = rows(n=2000)
    model = LinearEvidence().fit(x, y)
    z = ((x - x.mean(0)) / x.std(0)).numpy()
    flat = dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0.0)
    theirs = linear.BayesianRidge(tol=1e-10, **flat).fit(z, y.numpy())
    assert_close(float(model.state["noise"]), 1 / theirs.alpha_, rtol=2e-3, atol=0)
    mean, std = (torch.from_numpy(part) for part in theirs.predict(z[:5], return_std=True))
    answer = model.predict(x[:5])
    assert_close(answer.mean.flatten(), mean, rtol=1e-3, atol=1e-3)
    assert_close(answer.std.flatten(), std, rtol=2e-3, atol=0)
