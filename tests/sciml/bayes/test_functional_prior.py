"""Priors matched to processes whose parameters are known, and posteriors in closed form."""

from dataclasses import dataclass

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

import interpolants
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import FitWarning, SettingWarning
from interpolants.framework.questions import ask
from interpolants.framework.task import Task
from interpolants.sciml import ChainConvergence, FunctionalPrior, TargetProcess
from interpolants.sciml.bayes.nets.weight_vectors import WeightVectors
from interpolants.sciml.bayes.prior_matching import Matching, Places, Target, covariance_gap, sliced_distance
from interpolants.sciml.bayes.target_process import squared_exponential
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
    more = model.predict(x).std.square() - model.predict(x, noise=False).std.square()
    assert_close(more, torch.full_like(more, 0.25), rtol=0.25, atol=0)


def test_chains_that_do_not_agree_are_told():
    x, y = line()
    model = FunctionalPrior(hidden=(5,), prior="standard", samples=10, thin=1, burn_in=1, step=0.001)
    with pytest.warns(FitWarning, match=r"do not agree, R-hat .* Use a longer burn_in"):
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
    with pytest.raises(InvalidInputError, match=r"batch_size must be .* >= 2, got 1.*Or 0, for all rows"):
        FunctionalPrior(batch_size=1)
    settings = {"step": 0.5, "friction": 0.01, "batch_size": 2, "burn_in": 30, "match_steps": 0}
    with pytest.raises(InvalidInputError, match="must not have a negative variance"):
        FunctionalPrior(noise=0.05, **settings).fit(x, y)


SHORT = {"chains": 2, "samples": 4, "thin": 1, "burn_in": 2}


def quiet(**settings):
    return FunctionalPrior(**{**SHORT, **settings})


def test_functions_of_a_hierarchical_prior_have_its_tails():
    """At 0 a linear network is its bias: Student's t with 2 alpha = 8 degrees of freedom, not a Gaussian."""
    x, y = line()
    model = quiet(hidden=(), prior="hierarchical", match_steps=0).fit(x, y)
    alpha, beta = (one[1] for one in model.fitted_prior.shape_and_rate())
    assert_close(alpha, torch.tensor(4.0, **DOUBLE))
    drawn = model.functions_of_prior(torch.zeros(1, 2, **DOUBLE), 20_000)[:, 0]
    assert stats.kstest(drawn, stats.t(8, scale=float(beta / alpha) ** 0.5).cdf).pvalue > 0.01
    assert stats.kstest(drawn, stats.norm(scale=float(drawn.std())).cdf).pvalue < 1e-4


@pytest.mark.parametrize("prior", ["gaussian", "hierarchical", "flow"])
def test_the_fitted_prior_is_kept_saved_and_used_on_other_data(prior, tmp_path):
    x, y = line()
    settings = {"hidden": (5,), "prior": prior}
    model = quiet(match_steps=12, functions=20, places=10, **settings).fit(x, y)
    start = make_prior(prior, model._net(2), 0).state_dict()
    kept = model.fitted_prior.state_dict()
    assert any(not torch.equal(kept[name], start[name]) for name in kept)
    again = interpolants.load(model.save(tmp_path / "model"))
    grid = torch.linspace(-1, 1, 6, **DOUBLE).reshape(3, 2)
    functions = model.functions_of_prior(grid, 50)
    assert torch.equal(again.functions_of_prior(grid, 50), functions)
    source = generator(0, "functions of the prior")
    assert torch.equal(functions, model._net(2)(model.fitted_prior.draw(50, source), grid)[..., 0])
    stages = {}
    other = quiet(**settings).fit(
        -3 * x, 100 * y, model=again, watch=lambda stage, k, steps: stages.setdefault(stage, steps)
    )
    assert "prior" not in stages
    assert torch.equal(other.functions_of_prior(grid, 50), functions)
    twice = quiet(hidden=(5,)).fit(x, y, model=other)
    assert torch.equal(twice.functions_of_prior(grid, 50), functions)


@pytest.mark.slow
def test_a_posterior_with_the_prior_of_another_fit_is_that_of_bayesian_regression():
    x, y = line()
    taken = quiet(hidden=(), match_steps=60, lengthscale=3.0).fit(*line(20))
    spreads = taken.fitted_prior.spreads()
    settings = {"chains": 8, "samples": 100, "thin": 10, "burn_in": 300, "step": 0.1, "friction": 0.2}
    model = FunctionalPrior(hidden=(), noise=2.0, **settings).fit(x, y, model=taken)
    z, t, noise = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std(), (2.0 / y.std()) ** 2
    design = torch.cat([spreads[0] * z / 2**0.5, spreads[1] * torch.ones(len(z), 1, **DOUBLE)], 1)
    covariance = torch.linalg.inv(torch.eye(3, **DOUBLE) + design.T @ design / noise)
    mean, std = design @ covariance @ design.T @ t / noise, (design @ covariance * design).sum(1).sqrt()
    found = model.predict(x, noise=False)
    assert bool(((found.mean - (y.mean() + y.std() * mean)).abs() < 0.3 * y.std() * std).all())
    assert bool(((found.std / (y.std() * std) - 1).abs() < 0.2).all())


def test_a_prior_of_another_network_is_refused():
    x, y = line()
    model = quiet(hidden=(3,), prior="standard").fit(x, y)
    with pytest.raises(
        InvalidInputError, match=r"same network and as many columns, got a network of \(4,\).*hidden=\(3,\)"
    ):
        quiet(hidden=(4,)).fit(x, y, model=model)
    with pytest.raises(
        InvalidInputError, match=r"model must be a fitted FunctionalPrior .*, got TargetProcess"
    ):
        quiet().fit(x, y, model=TargetProcess().fit(x, y))


def test_fewer_functions_than_places_warn():
    x, y = line()
    with pytest.warns(SettingWarning, match="5 functions are compared at 8 places"):
        quiet(hidden=(), match_steps=1, functions=5, places=8).fit(x, y)
    quiet(hidden=(), match_steps=0, functions=5, places=8).fit(x, y)
    quiet(hidden=(), match_steps=1, functions=8, places=8).fit(x, y)


def test_a_lengthscale_for_each_column():
    x, y = line()
    z = (x - x.mean(0)) / x.std(0)
    kernel = squared_exponential(z, z, torch.tensor([0.5, 2.0], **DOUBLE), 1.3)
    apart = (z[:, None] - z) / torch.tensor([0.5, 2.0], **DOUBLE)
    assert_close(kernel, 1.69 * torch.exp(-0.5 * apart.square().sum(-1)))
    process = TargetProcess(lengthscale=[0.5, 2.0]).fit(x, y)
    truth = TargetProcess(lengthscale=1.0)._kernel(z, z)
    assert not torch.allclose(process._kernel(z, z), truth)
    assert_close(process._kernel(z, z) * 1.69, kernel)
    one, same = TargetProcess(lengthscale=[0.7, 0.7]).fit(x, y), TargetProcess(lengthscale=0.7).fit(x, y)
    assert_close(one.predict(x).mean, same.predict(x).mean)
    assert FunctionalPrior(lengthscale=[0.5, 2.0])._target(2).covariance(z).shape == (40, 40)
    with pytest.raises(InvalidInputError, match="one entry per column, 2, got 3"):
        TargetProcess(lengthscale=[1.0, 1.0, 1.0]).fit(x, y)


def test_a_folder_from_before_has_its_gaussian_prior_and_says_so_where_it_has_none():
    x, y = line()
    grid = torch.linspace(-1, 1, 6, **DOUBLE).reshape(3, 2)
    for prior in ("gaussian", "hierarchical"):
        model = quiet(hidden=(), prior=prior, match_steps=5, functions=20, places=10).fit(x, y)
        old = {name: value for name, value in model.state.items() if name not in ("prior", "family")}
        again = model.clone().take_over({**model.learnt(), "state": old})
        if prior == "gaussian":
            assert_close(again.functions_of_prior(grid, 9), model.functions_of_prior(grid, 9))
        else:
            with pytest.raises(InvalidInputError, match=r"must be kept in the folder.*Fit it again"):
                again.functions_of_prior(grid, 9)


def test_flows_begin_small_with_pushes_that_are_not_their_directions():
    prior = FlowPrior(WeightVectors(inputs=1, outputs=1, hidden=(3,)), flows=2)
    assert float(prior.along.detach().abs().max()) < 0.1
    assert not torch.equal(prior.along, prior.push)
