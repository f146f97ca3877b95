"""Samplers against posteriors in closed form."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FitWarning
from interpolants.sciml.bayes.mcmc.hmc import (
    HMC,
    _averaged,
    _counted,
    _emptied,
    _regularised,
    _restarted,
    _windows,
)
from interpolants.sciml.bayes.mcmc.langevin import langevin_moments
from interpolants.sciml.bayes.mcmc.sghmc import SGHMC, Slope, halves, negative_noise

NOISE = 0.5


def regression(n=50):
    """Data of a line, and the exact posterior of its two weights under N(0, 1): means and standard deviations."""
    g = torch.Generator().manual_seed(1)
    x = torch.stack(
        [torch.ones(n, dtype=torch.float64), torch.linspace(-0.6, 0.6, n, dtype=torch.float64)], 1
    )
    y = x @ torch.tensor([0.5, -1.0], dtype=torch.float64) + NOISE * torch.randn(
        n, dtype=torch.float64, generator=g
    )
    precision = torch.eye(2, dtype=torch.float64) + x.T @ x / NOISE**2
    covariance = torch.linalg.inv(precision)
    return x, y, covariance @ (x.T @ y) / NOISE**2, covariance.diagonal().sqrt()


def slope_of(w, x, y, n):
    """Gradient of the potential from some rows, scaled to all n."""
    return n / len(x) * (w @ x.T - y) @ x / NOISE**2 + w


def run(sampler, gradient, chains=32, burn_in=500, steps=2500):
    g = torch.Generator().manual_seed(0)
    state = sampler.start(torch.randn(chains, 2, dtype=torch.float64, generator=g))
    kept = []
    for k in range(burn_in + steps):
        state = sampler.advance(state, lambda w: gradient(w, g), g, adapt=k < burn_in)
        if k >= burn_in:
            kept.append(state["w"])
    return torch.stack(kept, 1), state


def test_a_coordinate_that_begins_where_its_slope_is_zero_moves():
    """Under N(0, I) from (1, 0): nothing is known of the second slope's size in the first step."""
    g = torch.Generator().manual_seed(0)
    sampler = SGHMC(step=0.1)
    state = sampler.start(torch.tensor([[1.0, 0.0]], dtype=torch.float64).repeat(16, 1))
    for _ in range(3):
        state = sampler.advance(state, lambda w: Slope(w, torch.zeros(())), g, adapt=True)
    assert bool(torch.isfinite(state["w"]).all())
    assert float(state["w"][:, 1].std()) > 0


def check(draws, mean, std):
    """The requirement: means within a quarter of a standard deviation, standard deviations within 15 %."""
    flat = draws.flatten(0, 1)
    assert bool(((flat.mean(0) - mean).abs() < 0.25 * std).all())
    assert bool(((flat.std(0) / std - 1).abs() < 0.15).all())
    return flat.std(0) / std - 1


def test_sghmc_of_all_data_has_the_exact_posterior():
    x, y, mean, std = regression()
    draws, _ = run(SGHMC(step=0.05, friction=0.05), lambda w, g: Slope(slope_of(w, x, y, len(x))))
    assert bool((check(draws, mean, std).abs() < 0.06).all())


def test_sghmc_of_batches_of_ten_has_the_exact_posterior_as_their_noise_is_measured():
    x, y, mean, std = regression()

    def gradient(w, g):
        rows = torch.randint(len(x), (2, 5), generator=g)
        return halves(*(slope_of(w, x[half], y[half], len(x)) for half in rows))

    draws, state = run(SGHMC(step=0.03, friction=0.02), gradient)
    assert negative_noise(state, SGHMC(step=0.03, friction=0.02)) == 0
    assert bool((check(draws, mean, std).abs() < 0.08).all())
    # As if the gradient had no noise, the spread comes out too large.
    wide, _ = run(SGHMC(step=0.03, friction=0.02), lambda w, g: Slope(gradient(w, g).mean))
    assert bool((wide.flatten(0, 1).std(0) > 1.05 * std).all())


@pytest.mark.parametrize("friction", [0.05, 0.5])
def test_the_variance_for_a_quadratic_is_that_of_the_recursion(friction):
    """w is an autoregression of second order, whose variance is known for any step: 1 / (h (1 - eta h / (4 - 2 a)))."""
    h, step = 100.0, 0.3
    sampler = SGHMC(step=step, friction=friction)
    g = torch.Generator().manual_seed(0)
    state = sampler.start(torch.zeros(4000, 1, dtype=torch.float64))
    state |= {"square": torch.full((1,), h, dtype=torch.float64), "seen": 1}
    for _ in range(400):
        state = sampler.advance(state, lambda w: Slope(h * w), g)
    eta = step**2 / math.sqrt(h)
    expected = 1 / (h * (1 - eta * h / (4 - 2 * friction)))
    assert_close(float(state["w"].var()), expected, rtol=4 * math.sqrt(2 / 4000), atol=0)


def test_chains_that_begin_at_the_mode_know_no_scale_and_are_refused():
    """V would be zero, and the first steps would throw the chains any distance away."""
    sampler = SGHMC(step=0.3, friction=0.3)
    state = sampler.start(torch.zeros(8, 2, dtype=torch.float64))
    with pytest.raises(InvalidInputError, match="must begin where the gradient is not zero"):
        sampler.advance(state, lambda w: Slope(4 * w), torch.Generator().manual_seed(0), adapt=True)


def test_gradients_too_noisy_for_the_friction_are_refused_after_the_burn_in_only():
    sampler = SGHMC(step=1.0, friction=0.01)
    g = torch.Generator().manual_seed(0)
    state = sampler.start(torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(InvalidInputError, match="V must be learnt"):
        sampler.advance(state, lambda w: Slope(w), g)
    state = sampler.advance(state, lambda w: Slope(w + 1, 1.0), g, adapt=True)
    assert negative_noise(state, sampler) == 1
    with pytest.raises(InvalidInputError, match=r"negative for 100\.0% of the coordinates.*more friction"):
        sampler.advance(state, lambda w: Slope(w + 1, 1.0), g)


def test_what_is_learnt_is_a_mean_in_which_a_step_weighs_as_its_number():
    slopes, noises = torch.tensor([3.0, 1.0, 2.0, 5.0]), torch.tensor([0.5, 0.0, 2.0, 1.0])
    sampler, g = SGHMC(step=1e-3, friction=0.5), torch.Generator().manual_seed(0)
    state = sampler.start(torch.zeros(2, 1))
    for a, b in zip(slopes, noises, strict=True):
        state = sampler.advance(state, lambda w, a=a, b=b: Slope(a.expand(2, 1), float(b)), g, adapt=True)
    weight = torch.arange(1.0, 5.0) / 10
    assert_close(state["square"], (weight * slopes.square()).sum()[None])
    assert_close(state["noise"], (weight * noises).sum()[None])


def test_the_noise_of_a_batch_is_measured_without_bias_from_its_halves():
    g = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 100_000, 1, dtype=torch.float64, generator=g)
    assert_close(float(halves(first, second).variance.mean()), 0.5, rtol=0.02, atol=0)


@pytest.mark.parametrize(("target", "most"), [(0.6, 0.85), (0.8, 0.95)])
def test_hmc_has_the_exact_posterior_and_at_least_the_acceptance_that_was_asked(target, most):
    """The average of dual averaging is conservative: its steps oscillate about the one with the target."""
    x, y, mean, std = regression()
    g = torch.Generator().manual_seed(0)

    def potential(w):
        error = w @ x.T - y
        value = 0.5 * error.square().sum(1) / NOISE**2 + 0.5 * w.square().sum(1)
        return value, slope_of(w, x, y, len(x))

    sampler, kept, accepted = HMC(step=0.5, leaps=6, target=target), [], []
    state = sampler.start(torch.randn(32, 2, dtype=torch.float64, generator=g), potential)
    for k in range(500):
        state = sampler.advance(state, potential, g, adapt=k < 150)
        if k >= 150:
            kept.append(state["w"])
            accepted.append(state["accepted"])
    spread = check(torch.stack(kept, 1), mean, std)
    assert bool((spread.abs() < 0.05).all())
    assert target < sum(accepted) / len(accepted) < most


def test_hmc_stays_where_there_is_an_energy():
    """A gamma law of shape 3, whose energy is NaN below 0; 5 standard errors of 400 independent chains."""

    def potential(w):
        return (w - 2 * w.log()).sum(1), 1 - 2 / w

    g, sampler = torch.Generator().manual_seed(0), HMC(step=0.8, leaps=4)
    state = sampler.start(torch.full((400, 1), 2.0, dtype=torch.float64), potential)
    for _ in range(100):
        state = sampler.advance(state, potential, g)
        assert bool((state["w"] > 0).all())
    assert_close(float(state["w"].mean()), 3.0, atol=5 * math.sqrt(3 / 400), rtol=0)
    assert_close(float(state["w"].var()), 3.0, atol=5 * 3 * math.sqrt(4 / 400), rtol=0)


@pytest.mark.parametrize(("leaps", "counts"), [(1, {1}), (2, {1, 2}), (5, {3, 4, 5})])
def test_hmc_takes_from_half_to_all_of_the_leaps(leaps, counts):
    calls = []

    def potential(w):
        calls.append(w)
        return 0.5 * w.square().sum(1), w

    g, found = torch.Generator().manual_seed(0), set()
    state = HMC(leaps=leaps).start(torch.zeros(2, 1), potential)
    for _ in range(40):
        calls.clear()
        state = HMC(leaps=leaps).advance(state, potential, g)
        found.add(len(calls))
    assert found == counts


def stretched(sd):
    """Potential of independent Gaussians with some standard deviations."""
    return lambda w: (0.5 * (w / sd).square().sum(1), w / sd**2)


@pytest.mark.parametrize("metric", ["shared", "per_chain"])
def test_hmc_converges_for_scales_from_1_to_1000(metric):
    """Four chains that begin near 0; without a metric R-hat is between 2 and 5."""
    sd, g = torch.logspace(0, 3, 10, dtype=torch.float64), torch.Generator().manual_seed(0)
    start = torch.randn(4, 10, dtype=torch.float64, generator=g)
    chains = HMC(metric=metric).sample(start, stretched(sd), g, warm_up=500, draws=500)
    assert chains.draws.shape == (4, 500, 10)
    assert float(chains.r_hat.max()) <= 1.01
    # The mean and the standard deviation within 4 standard errors; at least 400 draws count as independent.
    independent = chains.effective_samples
    assert float(independent.min()) > 400
    flat = chains.draws.flatten(0, 1)
    assert bool((flat.mean(0).abs() < 4 * sd / independent.sqrt()).all())
    assert bool(((flat.std(0) / sd - 1).abs() < 4 / (2 * 400) ** 0.5).all())
    assert_close(chains.scales / sd, torch.ones(4, 10, dtype=torch.float64), atol=0.3, rtol=0)
    assert bool((chains.acceptance - 0.85).abs().max() < 0.12)
    assert (len(chains.scales.unique(dim=0)) == 1) == (metric == "shared")


def test_hmc_without_a_metric_says_that_it_has_not_converged():
    sd, g = torch.logspace(0, 3, 4, dtype=torch.float64), torch.Generator().manual_seed(0)
    start = torch.randn(4, 4, dtype=torch.float64, generator=g)
    with pytest.warns(FitWarning, match=r"HMC.sample: the largest R-hat is .*above 1\.1"):
        chains = HMC(metric="identity").sample(start, stretched(sd), g, warm_up=200, draws=200)
    assert bool((chains.scales == 1).all())


def test_hmc_is_fixed_after_its_warm_up_and_refuses_to_adapt_then():
    g, sampler = torch.Generator().manual_seed(0), HMC(leaps=4)
    potential = stretched(torch.tensor([1.0, 30.0], dtype=torch.float64))
    state, seen = sampler.start(torch.ones(3, 2, dtype=torch.float64), potential, warm_up=60), []
    for _ in range(80):
        state = sampler.advance(state, potential, g)
        seen.append((state["log_mean_step"], state["inverse_mass"], state["mean_error"]))
    assert not torch.equal(seen[58][0], seen[59][0])
    assert all(torch.equal(a, b) for a, b in zip(seen[59], seen[79], strict=True))
    with pytest.raises(InvalidInputError, match=r"adapt must be false after the 60 proposals.*Pass a larger"):
        sampler.advance(state, potential, g, adapt=True)


def test_the_windows_of_a_warm_up_double_and_end_before_the_last_steps():
    assert _windows(1000) == (75, 100, 150, 250, 450, 950)
    assert _windows(150) == (75, 100)
    assert _windows(100) == (15, 90)
    assert _windows(19) == ()
    for n in range(20, 3000):
        begin, *ends = _windows(n)
        assert begin < ends[0]
        assert ends == sorted(set(ends))
        assert ends[-1] < n


def test_the_metric_is_the_regularised_variance_of_its_window():
    g = torch.Generator().manual_seed(0)
    draws = torch.randn(40, 3, 2, dtype=torch.float64, generator=g) * 5 + 100
    state = _emptied(draws[0])
    for w in draws:
        state = _counted({**state, "w": w})
    variance = draws.var(0)
    assert_close(_regularised(state, shared=False), (40 * variance + 5e-3) / 45)
    shared = (120 * variance.mean(0) + 5e-3) / 125
    assert_close(_regularised(state, shared=True), shared.expand(3, 2))


def test_the_step_is_that_of_dual_averaging_by_hand():
    """Two proposals with acceptance 0.5 and 1, from a first step of 0.1: Hoffman & Gelman (2014), equation 6."""
    state = _restarted(torch.tensor([0.1], dtype=torch.float64).log())
    for chance in (0.5, 1.0):
        state["chance"] = torch.tensor([chance], dtype=torch.float64)
        state |= _averaged(state, 0.8)
    first = 0.3 / 11
    second = 11 / 12 * first - 0.2 / 12
    steps = [-first / 0.05, -(2**0.5) / 0.05 * second]  # logarithms; ten times the first step is one
    weight = 2**-0.75
    assert_close(float(state["log_step"]), steps[1])
    assert_close(float(state["log_mean_step"]), weight * steps[1] + (1 - weight) * steps[0])


def test_hmc_of_one_seed_has_the_same_draws_and_a_start_without_energy_is_refused():
    def drawn(seed):
        g = torch.Generator().manual_seed(seed)
        w = torch.ones(4, 1, dtype=torch.float64)
        return HMC().sample(w, stretched(2.0), g, warm_up=50, draws=100).draws

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    with pytest.raises(InvalidInputError, match=r"HMC: .*Start from other positions"):
        HMC().start(torch.zeros(2, 1), lambda w: (-w.log().sum(1), -1 / w))


def test_langevin_moments_are_those_of_the_discrete_chain():
    h, step = 4.0, 0.3
    g = torch.Generator().manual_seed(0)
    start = torch.zeros(500, dtype=torch.float64)
    mean, variance = langevin_moments(start, lambda w: h * (w - 1), step, 1500, burn_in=100, generator=g)
    assert_close(float(mean.mean()), 1.0, atol=0.01, rtol=0)
    assert_close(float(variance.mean()), 1 / (h * (1 - step * h / 4)), rtol=0.02, atol=0)


def test_langevin_without_noise_is_gradient_descent():
    mean, variance = langevin_moments(torch.tensor([2.0]), lambda w: w, 0.5, 3, burn_in=2, noise=False)
    assert_close(mean, torch.tensor([2 * 0.75**3]))
    assert float(variance) == 0


def test_a_chain_must_be_longer_than_its_burn_in():
    with pytest.raises(InvalidInputError, match=r"burn_in .* in \[0, 1\]"):
        langevin_moments(torch.zeros(1), lambda w: w, 0.1, 2, burn_in=2)
