"""Priors matched to processes whose parameters are known, and posteriors in closed form."""

from dataclasses import dataclass

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.questions import ask
from interpolants.framework.task import Task
from interpolants.nets.weight_vectors import WeightVectors
from interpolants.sciml import ChainConvergence, FunctionalPrior
from interpolants.sciml.bayes.functional_prior import ConvergenceWarning
from interpolants.sciml.bayes.prior_matching import Matching, Places, Target, covariance_gap, sliced_distance
from interpolants.sciml.bayes.weight_priors import FlowPrior, GaussianPrior, HierarchicalPrior, make_prior

DOUBLE = {"dtype": torch.float64}


@dataclass(frozen=True)
class Lines:
    """``f(x) = w x + b`` with standard deviations 2 and 1/2."""

    def covariance(self, x):
        return 4 * x @ x.T + 0.25


def matched_to_lines(distance, steps, lr, **settings):
    net = WeightVectors(inputs=1, outputs=1, hidden=())
    prior, g = GaussianPrior(net), torch.Generator().manual_seed(0)
    optimizer = torch.optim.RMSprop(prior.parameters(), lr)
    places = Places(torch.linspace(-1, 1, 50, **DOUBLE)[:, None], 16)
    matching = Matching(net, prior, Lines(), places, 128, optimizer, distance, **settings)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for k in range(steps):
        matching.step(k, g)
        schedule.step()
    return prior.spreads()


def test_spreads_of_lines_are_found_by_sorted_projections():
    assert_close(matched_to_lines("sliced", 200, 0.05), torch.tensor([2.0, 0.5], **DOUBLE), rtol=0.05, atol=0)


@pytest.mark.slow
def test_spreads_of_lines_are_found_by_a_critic():
    found = matched_to_lines("critic", 40, 0.15, critic_steps=20)
    assert_close(found, torch.tensor([2.0, 0.5], **DOUBLE), rtol=0.2, atol=0)


def test_the_sliced_distance_of_shifted_samples_is_that_of_the_shift():
    """Mean over directions of |shift . d|: in M dimensions E|d_1| = sqrt(2 / (pi M)) for large M."""
    g = torch.Generator().manual_seed(0)
    f = torch.randn(50, 100, generator=g, **DOUBLE)
    shift = torch.zeros(100, **DOUBLE)
    shift[0] = 3.0
    found = [float(sliced_distance(f + shift, f, g)) for _ in range(20)]
    assert_close(sum(found) / 20, 3 * (2 / torch.pi) ** 0.5, rtol=0.05, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "hierarchical", "flow"])
def test_functions_of_a_deep_network_come_closer_to_the_process(kind):
    net, g = WeightVectors(inputs=1, outputs=1, hidden=(30, 30)), torch.Generator().manual_seed(0)
    x = torch.linspace(-1.5, 1.5, 20, **DOUBLE)[:, None]
    target, prior = Target(0.6, 1.0), make_prior(kind, net, 0)
    standard = covariance_gap(net, make_prior("standard", net, 0), target, x, g)
    optimizer = torch.optim.RMSprop(prior.parameters(), 0.05 if kind != "flow" else 0.02)
    matching = Matching(net, prior, target, Places(x, 30), 100, optimizer)
    for k in range(80):
        matching.step(k, g)
    assert covariance_gap(net, prior, target, x, g) < standard / 2


def test_a_hierarchical_prior_draws_scales_for_every_function_and_their_posterior_is_exact():
    net, g = WeightVectors(inputs=20, outputs=1, hidden=()), torch.Generator().manual_seed(0)
    prior = HierarchicalPrior(net).requires_grad_(False)
    scales = prior.scales(20_000, g)
    alpha, beta = prior.shape_and_rate()
    assert_close(scales.square().mean(0), prior.spreads().square(), rtol=0.05, atol=0)
    assert float(scales[:, 0].std()) > 0.1
    w = torch.full((20_000, net.count), 0.7, **DOUBLE)
    u, fresh = prior.resampled(w, torch.ones(20_000, 2, **DOUBLE), g)
    assert_close(prior.weights(u, fresh), w)
    expected = (beta[0] + 20 * 0.49 / 2) / (alpha[0] + 10 - 1)
    assert_close(fresh[:, 0].square().mean(), expected, rtol=0.02, atol=0)


def test_planar_flows_can_be_inverted():
    net = WeightVectors(inputs=1, outputs=1, hidden=())
    prior = FlowPrior(net, flows=1).requires_grad_(False)
    prior.along.copy_(torch.tensor([[1.0, 0.0]]))
    prior.push.copy_(torch.tensor([[-5.0, 0.3]]))
    u = torch.linspace(-4, 4, 2001, **DOUBLE)[:, None].expand(-1, 2)
    w = prior.weights(u, torch.ones(2001, 2, **DOUBLE))
    assert bool((w[1:, 0] > w[:-1, 0]).all())


def line(n=40):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, 2, generator=g, **DOUBLE)
    return x, x @ torch.tensor([1.0, -0.5], **DOUBLE) + 3 + 0.5 * torch.randn(n, generator=g, **DOUBLE)


@pytest.mark.parametrize("batch_size", [0, pytest.param(10, marks=pytest.mark.slow)])
def test_the_posterior_of_a_linear_network_is_that_of_bayesian_regression(batch_size):
    x, y = line()
    settings = {"chains": 8, "samples": 150, "thin": 10, "burn_in": 300, "step": 0.1, "friction": 0.2}
    if batch_size:
        settings |= {"step": 0.05, "thin": 30}
    model = FunctionalPrior(hidden=(), prior="standard", noise=0.5, batch_size=batch_size, **settings).fit(
        x, y
    )
    z, t, noise = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std(), (0.5 / y.std()) ** 2
    design = torch.cat([z / 2**0.5, torch.ones(len(z), 1, **DOUBLE)], 1)
    covariance = torch.linalg.inv(torch.eye(3, **DOUBLE) + design.T @ design / noise)
    mean, std = design @ covariance @ design.T @ t / noise, (design @ covariance * design).sum(1).sqrt()
    found = model.predict(x, noise=False)
    assert bool(((found.mean - (y.mean() + y.std() * mean)).abs() < 0.25 * y.std() * std).all())
    assert bool(((found.std / (y.std() * std) - 1).abs() < 0.15).all())
    assert model.r_hat < 1.1
    assert model.effective_samples > 60


def test_the_noise_is_found_with_the_weights():
    x, y = line(200)
    model = FunctionalPrior(hidden=(), prior="standard", samples=40, thin=10, burn_in=300, step=0.05).fit(
        x, y
    )
    assert_close(model.noise_std, 0.5, rtol=0.12, atol=0)


def test_chains_that_do_not_agree_are_told():
    x, y = line()
    model = FunctionalPrior(hidden=(5,), prior="standard", samples=10, thin=1, burn_in=1, step=0.001)
    with pytest.warns(ConvergenceWarning, match=r"do not agree, R-hat .* Take a longer burn_in"):
        model.fit(x, y)
    task = Task.of(model.roles(), {"points": x, "values": y})
    found = ask(ChainConvergence(), model, task)
    assert found["r_hat"].value == model.r_hat > 1.1
    assert "do not agree" in found.findings[0].text


def test_what_does_not_fit_is_refused():
    x, y = line()
    with pytest.raises(InvalidInputError, match="the spread of the values must be finite and > 0"):
        FunctionalPrior().fit(x, torch.ones(40))
    with pytest.raises(InvalidInputError, match=r"values \(N,\) or \(N, 1\)"):
        FunctionalPrior().fit(x, torch.stack([y, y], 1))
    with pytest.raises(InvalidInputError, match="batch_size must be 0 or at least 2"):
        FunctionalPrior(batch_size=1)
    with pytest.raises(InvalidInputError, match=r"lengthscale must be finite and > 0.*take 'auto'"):
        FunctionalPrior(lengthscale=0.0)
    settings = {"step": 0.5, "friction": 0.01, "batch_size": 2, "burn_in": 30, "match_steps": 0}
    with pytest.raises(InvalidInputError, match="must not have a negative variance"):
        FunctionalPrior(noise=0.05, **settings).fit(x, y)
