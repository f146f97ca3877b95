"""Evidence, forecasts and gaps against Gaussians by hand, the Hurst index of exact paths, a trained control."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning
from interpolants.framework.questions import ask
from interpolants.framework.series import Series
from interpolants.framework.task import Split, Task
from interpolants.sciml.processes import FractionalSDE
from interpolants.sciml.processes.exact_evidence import exact_log_evidence
from interpolants.sciml.processes.fractional_model import FractionalModel, Grid, ModelSettings, _next_values
from interpolants.sciml.processes.fractional_questions import FractionalNoise
from interpolants.sciml.processes.guided_paths import guide
from interpolants.sciml.processes.kernels.markov_fractional import (
    MarkovMotion,
    optimal_weights,
    path_covariance,
    unit_scale,
)
from interpolants.sciml.processes.problems.fractional_brownian import FractionalBrownianMotion
from interpolants.sciml.processes.series_windows import on_steps

F64 = torch.float64


def paths(count, length, hurst=0.3, seed=0, **settings):
    motion = FractionalBrownianMotion(hurst, length, **settings)
    return motion.sample(count, generator=torch.Generator().manual_seed(seed))


def model_of(horizon, *, modes=8, **changes):
    fixed = {"hurst": 0.3, "scale": 1.2, "noise": 0.4, "level": 0.1}
    settings = {
        "increments": False,
        "kind": 1,
        "drift": "constant",
        "control": "guide",
        "hidden": (32, 32),
        "seed": 0,
    }
    settings |= {"horizon": horizon, "finest": 1.0, "start": 2.0, "fixed": fixed, "modes": modes}
    return FractionalModel(ModelSettings(**{**settings, **changes})).requires_grad_(False)


def moments(model, times):
    """Mean and covariance of noisy levels by the covariance of the sum of states, without a chain."""
    own = path_covariance(model.weights(), model.rates, times, kind=model.settings.kind)
    covariance = model.value("scale") ** 2 * own + 4.0 + model.value("noise") ** 2 * torch.eye(len(times))
    return model.value("level") * times, covariance


@pytest.mark.parametrize("kind", [1, 2])
def test_the_guide_gives_the_evidence_and_the_posterior_of_uneven_times_with_gaps(kind):
    times = torch.tensor([0.0, 0.5, 1.5, 1.75, 4.0, 5.0, 6.0], dtype=F64)
    model, grid = model_of(6.0, kind=kind, modes=6), Grid.of(times, 1)
    y = torch.randn(2, 7, dtype=F64, generator=torch.Generator().manual_seed(3)).cumsum(1)
    seen = torch.tensor([[1, 1, 0, 1, 0, 1, 0], [1, 1, 1, 1, 1, 0, 1]]).bool()
    mean, covariance = moments(model, times)
    found = guide(model.chain(grid), y, seen).log_evidence
    for b in range(2):
        k = seen[b]
        law = torch.distributions.MultivariateNormal(mean[k], covariance[k][:, k])
        assert_close(found[b], law.log_prob(y[b, k]), rtol=1e-6, atol=1e-6)
    drawn = model.paths(grid, y, seen, 4000, torch.Generator().manual_seed(1))
    assert_close(
        drawn.log_weight, found[:, None].expand(2, 4000)
    )  # each path has the weight of all: it is exact
    k, gap = seen[0], ~seen[0]
    gain = torch.linalg.solve(covariance[k][:, k], covariance[k][:, gap]).T
    expected = mean[gap] + gain @ (y[0, k] - mean[k])
    spread = covariance[gap][:, gap] - gain @ covariance[k][:, gap] - 0.16 * torch.eye(3)
    error = (drawn.x[0][:, gap].mean(0) - expected) / (spread.diagonal() / 4000).sqrt()
    assert float(error.abs().max()) < 4
    error = (spread.diagonal()[:, None] * spread.diagonal() + spread.square()).sqrt() / 4000**0.5
    assert float(((drawn.x[0][:, gap].T.cov() - spread) / error).abs().max()) < 4


def test_increments_begin_again_after_each_and_remember():
    model = model_of(5.0, increments=True)
    y = torch.tensor([0.3, -0.2, 0.9, 0.1, 0.4], dtype=F64)
    wide, seen = on_steps(y[None], torch.ones(1, 5).bool(), 1, increments=True)
    found = guide(model.chain(Grid.of(torch.arange(6, dtype=F64), 1)), wide, seen).log_evidence
    times = torch.arange(6, dtype=F64)
    steps = torch.eye(6, dtype=F64)[1:] - torch.eye(6, dtype=F64)[:-1]
    own = steps @ path_covariance(model.weights(), model.rates, times) @ steps.T
    covariance = 1.44 * own + 0.16 * torch.eye(5)
    law = torch.distributions.MultivariateNormal(torch.full((5,), 0.1, dtype=F64), covariance)
    assert_close(found[0], law.log_prob(y), rtol=1e-6, atol=1e-6)


def test_the_pull_to_a_centre_is_that_of_the_equation_and_the_exact_evidence_agrees():
    """With H = 1/2 the state is an Ornstein-Uhlenbeck process, and many modes are Brownian motion."""
    rate, fixed = 0.4, {"hurst": 0.5, "scale": 1.0, "noise": 0.3, "level": 0.0, "rate": 0.4}
    times = torch.arange(8, dtype=F64)
    y = torch.randn(1, 8, dtype=F64, generator=torch.Generator().manual_seed(1))
    model = model_of(7.0, drift="linear", fixed=fixed, modes=12)
    wide, seen = on_steps(y, torch.ones(1, 8).bool(), 8, increments=False)
    found = guide(model.chain(Grid.of(times, 8)), wide, seen).log_evidence[0]
    both = times[:, None] + times
    decay = torch.exp(-rate * (times[:, None] - times).abs())
    covariance = (decay - torch.exp(-rate * both)) / (2 * rate) + 4 * torch.exp(-rate * both)
    law = torch.distributions.MultivariateNormal(torch.zeros(8).double(), covariance + 0.09 * torch.eye(8))
    assert_close(found, law.log_prob(y[0]), rtol=0, atol=0.003)
    assert_close(
        exact_log_evidence(model, y[0], torch.ones(8).bool(), 8), law.log_prob(y[0]), rtol=0, atol=0.003
    )


def test_the_evidence_comes_near_that_of_the_exact_motion_as_modes_are_added():
    y = paths(1, 64)[0, :, 0]
    seen, grid = torch.ones(64).bool(), Grid.of(torch.arange(64, dtype=F64), 1)
    gaps = []
    for modes in (3, 6, 12):
        model = model_of(63.0, modes=modes)
        exact = exact_log_evidence(model, y, seen)
        gaps.append(float((exact - guide(model.chain(grid), y[None], seen[None]).log_evidence[0]).abs()))
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] or gaps[2] < 0.05 < gaps[0], gaps


def test_hurst_of_exact_paths_its_error_and_the_price_of_brownian_motion():
    task = Task.of(
        FractionalSDE().roles(),
        {"series": paths(24, 64)},
        Split(test=0.2),
        truths={"series": FractionalBrownianMotion(0.3, 64)},
    )
    method = task.fit(FractionalSDE(modes=8, iterations=15))
    twin = task.fit(FractionalSDE(modes=8, iterations=15, hurst=0.5))
    found = ask(FractionalNoise(), method, task, [twin])
    assert found["hurst_off"].value < 0.07
    assert found["hurst_off"].rivals["fractional_sde"] == pytest.approx(0.2)
    assert 0.01 < method.parameters["hurst_error"] < 0.1
    everything = task.values["series"]
    assert float((method.log_prob(everything) - twin.log_prob(everything)).mean()) > 0.1
    assert abs(found["gap"].value) < 0.5
    assert method.parameters["scale"] == pytest.approx(1, abs=0.15)


def test_forecasts_and_gaps_are_those_of_the_gaussian_process():
    method = FractionalSDE(modes=8, iterations=4, noise=0.5).fit(paths(8, 32, noise=0.5))
    y = paths(1, 32, seed=9)[0]
    y[10:13] = torch.nan
    model, p = method.model, method.parameters
    times = torch.arange(34, dtype=F64)
    own = path_covariance(model.weights(), model.rates, times)
    start = (method.state["start"] * method.state["unit"]) ** 2
    covariance = p["scale"] ** 2 * own + start + p["noise"] ** 2 * torch.eye(34)
    mean = method.state["shift"] + p["drift"] * times
    k = torch.cat([y[:, 0].isfinite(), torch.zeros(2).bool()])
    gain = torch.linalg.solve(covariance[k][:, k], covariance[k]).T
    expected = mean + gain @ (y[:, 0][k[:32]] - mean[k])
    spread = (covariance - gain @ covariance[k]).diagonal().sqrt()
    ahead = method.forecast(y, steps=2, members=4000).x[0, :, :, 0]
    filled = method.complete(y, members=4000).x[0, :, :, 0]
    assert_close(ahead.mean(0), expected[32:], rtol=0, atol=4 * float(spread[33]) / 4000**0.5)
    assert_close(ahead.std(0), spread[32:], rtol=0.05, atol=0)
    assert_close(filled[:, 11].mean(0), expected[11], rtol=0, atol=4 * float(spread[11]) / 4000**0.5)
    assert_close(filled[:, 11].std(0), spread[11], rtol=0.05, atol=0)
    assert_close(filled[:, :10], y[:10, 0].expand(4000, 10))
    law = torch.distributions.MultivariateNormal(mean[k], covariance[k][:, k])
    assert_close(method.log_prob(y)[0], law.log_prob(y[:, 0][k[:32]]), rtol=1e-6, atol=1e-5)


@pytest.mark.slow
def test_a_trained_control_comes_near_the_evidence_and_not_above_it():
    """Four values of a state that is pulled to 0; the network alone steers, and starts 4 nats below.

    1500 steps of 128 paths end 0.046 below, of which 0.025 are the first state, which keeps its law.
    """
    fixed = {"hurst": 0.3, "scale": 1.0, "noise": 0.5, "level": 0.0, "rate": 0.5}
    made = {"drift": "linear", "fixed": fixed, "modes": 5, "start": 0.01, "finest": 10.0}
    values, there = torch.tensor([[0.0, 0.8, 0.3, -0.6, 0.4]], dtype=F64), torch.tensor([[0, 1, 1, 1, 1]])
    y, seen = on_steps(values, there.bool(), 4, increments=False)
    grid = Grid.of(torch.linspace(0, 2, 5, dtype=F64), 4)
    evidence = float(guide(model_of(2.0, **made).chain(grid), y, seen).log_evidence)
    model = model_of(2.0, control="network", **made)
    model.control.requires_grad_(True)
    search = torch.optim.Adam(model.control.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(search, 500)
    source = torch.Generator().manual_seed(0)
    before = float(model.bound(grid, y, seen, 4000, source).mean().detach())
    for _ in range(500):
        search.zero_grad()
        (-model.bound(grid, y, seen, 64, source).mean()).backward()
        search.step(), schedule.step()
    weights = model.paths(grid, y, seen, 20_000, source).log_weight[0].detach()
    bound, error = float(weights.mean()), float(weights.std()) / 20_000**0.5
    assert before < evidence - 3
    assert evidence - 0.2 < bound < evidence + 4 * error, (bound, evidence, error)
    # and the weights of its paths tell the evidence itself
    assert float(weights.logsumexp(0)) - math.log(20_000) == pytest.approx(evidence, abs=0.02)


@pytest.mark.slow
def test_a_drift_with_two_wells_is_learnt_where_the_guide_is_only_a_proposal():
    """Paths from ``dX = (X - X^3) dt + 0.35 dW``: the learnt drift turns its sign at the wells and between them."""
    source = torch.Generator().manual_seed(0)
    x, kept = torch.randn(32, dtype=F64, generator=source), []
    for k in range(32 * 20):
        x = x + 0.02 * (x - x**3) + 0.5 * 0.01**0.5 * torch.randn(32, dtype=F64, generator=source)
        kept.append(x) if k % 20 == 0 else None
    series = torch.stack(kept, 1)[..., None]
    given = {"drift": "network", "hurst": 0.5, "noise": 0.05, "modes": 4, "hidden": (16,), "iterations": 12}
    method = FractionalSDE(**given, steps=80, lr=3e-2, warmup=0, paths=1, batch_size=32).fit(series)
    linear = FractionalSDE(**{**given, "drift": "linear"}).fit(series)
    assert float((method.log_prob(series, members=8) - linear.log_prob(series)).mean()) > 1
    model, state = method.model, method.state
    at = (torch.tensor([-1.4, -0.5, 0.5, 1.4], dtype=F64) - state["shift"]) / state["unit"]
    drift = model.value("level") - model.value("rate") * at + model.bend(at[:, None])[:, 0]
    assert drift.sign().tolist() == [1, -1, 1, -1], drift


def test_uneven_times_are_read_and_what_cannot_be_is_refused():
    y, times = paths(1, 40)[0, ::2, 0], torch.arange(0, 40, 2, dtype=F64)
    even = FractionalSDE(modes=6, iterations=3).fit(y)
    told = FractionalSDE(modes=6, iterations=3).fit(y, times=times)
    assert_close(told.log_prob(y, times=times), even.log_prob(y))
    times[5] += 1.5
    moved = FractionalSDE(modes=6, iterations=3).fit(y, times=times)
    assert moved.forecast(y, times=times, steps=2, members=3).x.shape == (1, 3, 2, 1)
    ends = [Series(values=y[:20, None], seen=torch.ones(20, 1).bool(), times=at) for at in (times, times / 2)]
    assert even.forecast(ends, steps=2, members=3).times.tolist() == [1, 2]
    assert even.forecast(ends[:1] * 2, steps=2, members=3).times.tolist() == ends[0].after(2).tolist()

    def refuse(match, value, times=None, **settings):
        with pytest.raises(InvalidInputError, match=match):
            FractionalSDE(iterations=1, **settings).fit(value, times)

    refuse("times must be 20 numbers that increase", y, times.flip(0))
    refuse("increments must be evenly spaced", y, times, values="increments")
    refuse("the series must have one column, got 2", torch.randn(20, 2))
    refuse("series 1 must vary", [y, torch.ones(20)])
    refuse("at least 4 values of the series must be seen, got 1", y[:1])
    with pytest.raises(InvalidInputError, match="increments go with a constant drift"):
        FractionalSDE(values="increments", drift="linear")


@pytest.mark.slow
def test_a_series_taken_for_the_other_kind_is_told():
    white = torch.randn(60, dtype=F64, generator=torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="values='increments' takes it so"):
        FractionalSDE(modes=6, iterations=25).fit(white)
    with pytest.warns(UserWarning, match="values='levels' takes it so"):
        FractionalSDE(modes=6, iterations=25, values="increments").fit(white.cumsum(0))


@pytest.mark.slow
def test_times_keep_the_unit_of_the_fit():
    """Every second value: the same law as with gaps on the clock of the fit, whatever the median gap."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(60, dtype=torch.float64, generator=g).cumsum(0).numpy()
    seconds = 3600.0 * np.arange(60)
    model = FractionalSDE(iterations=5).fit(x, times=seconds)
    gaps = np.where(np.arange(60) % 2 == 0, x, np.nan)
    half = model.log_prob(x[::2], times=seconds[::2])
    assert_close(half, model.log_prob(gaps, times=seconds), atol=1e-6, rtol=0)
    with pytest.raises(
        InvalidInputError, match="times must be passed, since the process was fitted with times"
    ):
        model.log_prob(x)
    with pytest.warns(OutsideWarning, match="is 1, in the fit it was 3600"):
        model.log_prob(x, times=seconds / 3600)
    assert model.forecast(steps=2, members=3).x.shape == (1, 3, 2, 1)


def test_the_next_value_and_the_time_until_it_are_those_of_a_loop():
    ends = torch.tensor([0.0, 0.5, 2.0, 2.25, 4.0], dtype=F64)
    y = torch.arange(10.0, dtype=F64).reshape(2, 5)
    seen = torch.tensor([[1, 0, 1, 0, 0], [0, 1, 0, 0, 1]]).bool()
    ahead, waits, known = _next_values(ends, y, seen)
    for b in range(2):
        for n in range(4):
            later = [k for k in range(n + 1, 5) if seen[b, k]]
            value, at = (float(y[b, later[0]]), float(ends[later[0]])) if later else (0.0, 4.0)
            assert (float(ahead[b, n]), float(waits[b, n])) == (value, at - float(ends[n]))
            assert bool(known[b, n]) == bool(later)


def test_drawn_increments_are_stationary_from_the_first_on_and_gaps_are_filled():
    x = torch.randn(60, dtype=F64, generator=torch.Generator().manual_seed(0))
    model = FractionalSDE(modes=6, iterations=25, values="increments").fit(x)
    drawn = model.sample(4000, steps=5, noise=False)
    assert drawn.shape == (4000, 5, 1)
    assert_close(drawn.std(0)[:, 0], drawn.std().expand(5), rtol=0.06, atol=0)
    gaps = x[:8].clone()
    gaps[[2, 3]] = torch.nan
    full = torch.as_tensor(model.complete(gaps, members=3).x).reshape(3, 8)
    seen = ~gaps.isnan()
    assert_close(full[:, seen], gaps[seen].expand(3, 6))
    assert bool(full.isfinite().all())


def test_one_time_alone_is_refused_by_name():
    levels = torch.randn(20, generator=torch.Generator().manual_seed(0), dtype=F64).cumsum(0)
    model = FractionalSDE(modes=2, iterations=1).fit(levels)
    for answer in (model.log_prob, model.forecast, model.complete):
        with pytest.raises(InvalidInputError, match="at least two times, got 1"):
            answer(levels[:1])


def test_a_network_that_steers_far_worse_than_the_guide_is_told():
    levels = torch.randn(20, generator=torch.Generator().manual_seed(0), dtype=F64).cumsum(0)
    few = {"modes": 2, "iterations": 1, "hidden": (4,), "steps": 2, "noise": 0.05, "hurst": 0.5}
    with pytest.warns(UserWarning, match="nats a value below that by the guide"):
        FractionalSDE(control="network", **few).fit(levels)
    FractionalSDE(control="both", **few).fit(levels)


def by_hand(method, y, p):
    """Log density of noisy levels ``y (T,)`` with a drift, from the covariance of the sum of states."""
    model, times = method.model, torch.arange(len(y), dtype=F64)
    weights = optimal_weights(
        torch.tensor(p["hurst"], dtype=F64), model.rates, model.settings.horizon, kind=method.kind
    )
    own = path_covariance(weights, model.rates, times, kind=method.kind)
    start = (method.state["start"] * method.state["unit"]) ** 2
    covariance = p["scale"] ** 2 * own + start + p["noise"] ** 2 * torch.eye(len(y))
    mean = method.state["shift"] + p["drift"] * times
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(y)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [1, 2])
def test_the_evidence_at_given_parameters(kind):
    many = paths(4, 24, noise=0.5)
    method = FractionalSDE(kind=kind, modes=8, iterations=4).fit(many)
    y, found = many[0], method.parameters
    given = {"hurst": 0.7, "scale": 1.7, "noise": 0.3, "drift": 0.2}
    at = method.log_prob(y, parameters=given)[0]
    assert_close(at, by_hand(method, y[:, 0], given), rtol=1e-6, atol=1e-5)
    some = method.log_prob(y, parameters={"scale": 1.7})[0]
    assert_close(some, by_hand(method, y[:, 0], {**found, "scale": 1.7}), rtol=1e-6, atol=1e-5)
    every = {name: value for name, value in found.items() if name != "hurst_error"}
    assert_close(method.log_prob(y, parameters=every), method.log_prob(y))
    with pytest.raises(InvalidInputError, match="every name in parameters"):
        method.log_prob(y, parameters={"rate": 1.0})
    with pytest.raises(InvalidInputError, match="hurst must lie in"):
        method.log_prob(y, parameters={"hurst": 1.0})


def test_the_evidence_at_given_parameters_of_a_pull():
    many = paths(4, 24, noise=0.5)
    method = FractionalSDE(drift="linear", modes=8, iterations=4).fit(many)
    found = {name: value for name, value in method.parameters.items() if name != "hurst_error"}
    assert_close(method.log_prob(many[0], parameters=found), method.log_prob(many[0]))
    other = found | {"centre": found["centre"] + 50.0}
    assert float(method.log_prob(many[0], parameters=other)) < float(method.log_prob(many[0])) - 1


def test_a_motion_without_a_past_is_found_in_units_of_variance_one():
    """``scale`` is the standard deviation after one step: of exact draws of the motion, without noise of values."""
    times = torch.arange(40, dtype=F64)
    noise = MarkovMotion(hurst=0.7, horizon=40.0, finest=1.0, kind=2)
    drawn = 2.5 * noise.sample(60, times, generator=torch.Generator().manual_seed(2))[..., None]
    assert float(drawn[:, 1].std()) == pytest.approx(2.5, rel=0.25)
    method = FractionalSDE(kind=2, hurst=0.7, noise=0.0, modes=8, iterations=15).fit(drawn)
    assert method.parameters["scale"] == pytest.approx(2.5, rel=0.06)


def test_a_folder_of_kind_two_from_before_keeps_its_answers():
    method = FractionalSDE(kind=2, modes=6, iterations=3, hurst=0.7).fit(paths(4, 20))
    before = method.log_prob(paths(1, 20, seed=4)[0])
    ratio = (unit_scale(torch.tensor(0.7, dtype=F64), 2) / unit_scale(torch.tensor(0.7, dtype=F64))).sqrt()
    old = dict(method.state)
    del old["unit_variance"]
    old["weights"] = {**old["weights"], "raw.scale": old["weights"]["raw.scale"] - ratio.log()}
    again = method.clone().take_over({**method.learnt(), "state": old})
    assert_close(again.log_prob(paths(1, 20, seed=4)[0]), before)
    assert again.parameters["scale"] == pytest.approx(method.parameters["scale"])


def test_sizes_of_increments_of_kind_2_are_those_of_a_motion_without_a_past():
    """``E[B_s B_t] = 2 H int_0^s ((s - u)(t - u))^(H - 1/2) du``, whose increments are not stationary."""
    hurst, n = 0.2, 32
    times = torch.arange(1, n + 1, dtype=torch.float64)
    w = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    # u = s (1 - w^5) takes the pole at u = s away.
    s, t = torch.minimum(times[:, None], times), torch.maximum(times[:, None], times)
    rest = s[..., None] * w**5
    weight = 5 * w**4 * s[..., None] / 4000
    covariance = (2 * hurst * (rest * (rest + (t - s)[..., None])) ** (hurst - 0.5) * weight).sum(-1)
    assert_close(covariance.diagonal(), times ** (2 * hurst), rtol=2e-3, atol=0)

    class Known:
        kind, parameters = 2, {"hurst": hurst, "scale": 1.0, "noise": 0.0}

        def sample(self, number, steps, seed):
            g = torch.Generator().manual_seed(seed)
            draws = torch.randn(number, steps, generator=g, dtype=torch.float64)
            return (draws @ torch.linalg.cholesky(covariance).mT)[:, :, None]

    lags = torch.tensor([1.0, 4.0, 8.0])
    found = FractionalNoise()._model_sizes(Known(), lags, n)
    expected = [
        (covariance.diagonal()[k:] + covariance.diagonal()[:-k] - 2 * covariance.diagonal(k)).mean().sqrt()
        for k in (1, 4, 8)
    ]
    assert_close(found.double(), torch.stack(expected), rtol=0.06, atol=0)
    assert (
        float((lags**hurst / torch.stack(expected) - 1).abs().max()) > 0.1
    )  # the stationary formula is not near
