"""Rounds on theta ~ N(0, I), x = theta + n / 10: the posterior at x_o is N(x_o / 1.01, 0.01 / 1.01)."""

import functools
import math

import pytest
import torch
from torch.testing import assert_close

import interpolants as itp
from interpolants.apps.posterior import Box, Normal, Posterior
from interpolants.apps.posterior.rounds import inside, restricted
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.capabilities import NotAbleError

X_O = torch.tensor([0.8, -0.4], dtype=torch.float64)
STD = (0.01 / 1.01) ** 0.5
SMALL = {"net": {"kind": "mlp", "width": 32, "depth": 2}, "steps": 300, "batch_size": 128}


def simulator(theta):
    noise = torch.randn(theta.shape, generator=torch.Generator().manual_seed(len(theta)), dtype=torch.float64)
    return (theta + 0.1 * noise).numpy()


@functools.cache
def fitted():
    prior = Normal([0.0, 0.0], [1.0, 1.0])
    return Posterior(prior, rounds=2, **SMALL).fit(simulator=simulator, x_o=X_O, budget=2400)


def test_the_second_round_simulates_where_the_posterior_is_and_finds_the_exact_one():
    first, second = fitted().about["rounds"]
    assert (first["simulations"], second["simulations"], first["prior"]) == (1200, 1200, 1.0)
    assert second["prior"] < 0.25
    draws = torch.as_tensor(fitted().sample(1000, x=X_O))
    assert_close(draws.mean(0), X_O / 1.01, rtol=0, atol=0.05)
    assert float(draws.std(0).max()) < 2.5 * STD


@pytest.mark.slow
def test_its_check_is_over_the_prior_within_the_region():
    report = fitted().check(n=120)
    theta, _ = fitted().held_out_simulations()
    assert bool(inside(fitted().state["regions"], fitted().prior, theta).all())
    outside = next(check for check in report.checks if check.name.startswith("mass outside"))
    assert outside.value == pytest.approx(0.001)


def test_it_answers_at_its_observation_only(tmp_path):
    for ask in (
        lambda post: post.sample(5, x=X_O + 0.1),
        lambda post: post.log_prob(X_O[None], x=X_O + 0.1),
    ):
        with pytest.raises(
            InvalidInputError, match=r"x must be the x_o of the fit .*check\(\) tests it over"
        ):
            ask(fitted())
    with pytest.raises(InvalidInputError, match="rounds must be 1 for a new prior"):
        fitted().with_prior(Normal([0.5, 0.0], [0.1, 0.1]))
    with pytest.raises(NotAbleError, match="several rounds hold at one observation"):
        fitted().infer(X_O[None])
    again = itp.load(fitted().save(tmp_path / "rounds"))
    assert_close(torch.as_tensor(again.sample(20, x=X_O)), torch.as_tensor(fitted().sample(20, x=X_O)))


def test_the_density_is_that_of_the_region_and_zero_elsewhere():
    far = torch.as_tensor(fitted().log_prob(torch.tensor([[-1.0, 1.0]]), x=X_O))
    assert float(far) == -math.inf
    exact = -math.log(2 * math.pi * STD**2)
    found = float(fitted().log_prob(X_O[None] / 1.01, x=X_O))
    assert abs(found - exact) < 1.5


def test_parameters_of_a_region_are_those_of_the_prior_within_it():
    """The region of one observation by rejection from the prior itself."""
    prior, (region,) = fitted().prior, fitted().state["regions"]
    drawn, fraction = restricted(prior, [region], 1000, torch.Generator().manual_seed(1))
    every = prior.sample(40_000, generator=torch.Generator().manual_seed(2))
    kept = every[inside([region], prior, every)]
    low, high = region["box"]
    assert fraction < 0.95 * float((high - low).prod())  # the density cuts corners of the box
    error = kept.std(0) * (1 / len(kept) + 1 / 1000) ** 0.5
    assert ((drawn.mean(0) - kept.mean(0)).abs() < 4 * error).all()
    assert abs(fraction - len(kept) / 40_000) < 4 * (fraction / 40_000) ** 0.5 + 4 * fraction / 1000**0.5


def test_one_round_is_a_fit_to_simulations_of_the_prior():
    prior = Box([-1.0, -1.0], [1.0, 1.0])
    tiny = {**SMALL, "steps": 3}
    post = Posterior(prior, **tiny).fit(simulator=simulator, budget=1200)
    assert post.about["rounds"] == [{"simulations": 1200, "prior": 1.0}]
    assert torch.as_tensor(post.sample(3, x=[0.1, 0.2])).shape == (3, 2)


def test_bad_input_is_refused_with_its_value():
    prior, theta = fitted().prior, torch.zeros(1200, 2)
    many, single = Posterior(prior, rounds=3, **SMALL), Posterior(prior, **SMALL)
    with pytest.raises(InvalidInputError, match=r"simulator must be passed for rounds, got rounds = 3"):
        many.fit(theta, theta)
    with pytest.raises(InvalidInputError, match=r"simulator must be passed for rounds, got x_o"):
        single.fit(theta, theta, x_o=X_O)
    with pytest.raises(InvalidInputError, match=r"x_o must be passed for 3 rounds"):
        many.fit(simulator=simulator, budget=1000)
    with pytest.raises(InvalidInputError, match=r"at least 100 simulations per round, got 299 for 3"):
        many.fit(simulator=simulator, x_o=X_O, budget=299)
    with pytest.raises(InvalidInputError, match=r"simulator must be passed alone, got theta or x"):
        single.fit(theta, theta, simulator=simulator)
    with pytest.raises(InvalidInputError, match=r"one row per row of theta, \(1000, C\), got \(2,\)"):
        single.fit(simulator=lambda theta: theta[0], budget=1000)
    with pytest.raises(InvalidInputError, match=r"one row per row of theta, \(400, 3\), got \(400, 2\)"):
        many.fit(simulator=simulator, x_o=[0.0, 0.0, 0.0], budget=1200)
    with pytest.raises(InvalidInputError, match="x_o must be finite"):
        many.fit(simulator=simulator, x_o=[0.0, math.nan], budget=1200)
    with pytest.raises(InvalidInputError, match="prior must be passed with a simulator"):
        Posterior(None, **SMALL).fit(simulator=simulator)
    with pytest.raises(InvalidInputError, match="bounds must not be 'none' for several rounds"):
        Posterior(prior, bounds="none", rounds=2)
