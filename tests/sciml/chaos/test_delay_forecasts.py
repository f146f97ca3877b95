"""Learnt forecasts of chaos: maps and flows whose next values are known, draws of a known law, and the benchmark."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning
from interpolants.framework.answers import Ensemble
from interpolants.framework.questions import Measured, ask
from interpolants.framework.task import Split, Task
from interpolants.methods.rivals.delay_rivals import Analogue, Autoregression
from interpolants.metrics.path_errors import valid_time
from interpolants.problems.dynamical_systems import dynamical_system
from interpolants.sciml.chaos import delay_network
from interpolants.sciml.chaos.delay_network import DelayGenerator, DelayNetwork

SMALL = {"hidden": (32, 32), "steps": 800, "batch_size": 64}


def logistic(n: int, x: float = 0.3) -> np.ndarray:
    values = []
    for _ in range(n):
        x = 3.9 * x * (1 - x)
        values.append(x)
    return np.array(values)


def small(**settings):
    return DelayNetwork(**{**SMALL, **settings})


def test_the_next_values_of_a_logistic_map():
    x = logistic(600)
    model = small(lags=1, noise=0.0).fit(x[:500], progress=False)
    # Errors grow by e^0.5 a step: one percent at first is all after ten.
    ahead = model.forecast(steps=4).x.flatten().numpy()
    assert np.abs(ahead - x[500:504]).max() < 0.05
    other = model.forecast(x[:550], steps=1).x.item()
    assert abs(other - x[550]) < 0.02


def test_the_loss_of_a_network_is_the_mean_square_of_the_error_in_sizes_of_a_change():
    net = delay_network.DelayNet(2, 1, (3,), scale=0.5)
    batch = {"x": torch.randn(6, 2, 1), "y": torch.randn(6, 1)}
    found = delay_network._delay_loss(net, batch, torch.Generator())["next"]
    assert_close(found, ((net(batch["x"]) - batch["y"]).square() / 0.25)[:, 0])


def test_several_series_teach_one_network():
    parts = [logistic(150, start) for start in (0.1, 0.35, 0.8)]
    model = small(lags=1, noise=0.0).fit([part[:, None] for part in parts], progress=False)
    assert abs(model.forecast(parts[0], steps=1).x.item() - 3.9 * parts[0][-1] * (1 - parts[0][-1])) < 0.03


@pytest.mark.slow
def test_lorenz_is_forecast_for_more_than_a_lyapunov_time_and_longer_than_by_analogues():
    system = dynamical_system("lorenz")
    start = system.sample(1, generator=torch.Generator().manual_seed(3))
    path = system.trajectories(start, torch.arange(1200) * 0.1)[0, :, 0]
    model = DelayNetwork(steps=2000).fit(path[:1000], progress=False)
    rival = Analogue().fit(path[:1000])
    origins = range(1000, 1160, 20)
    truth = torch.stack([path[k : k + 40] for k in origins])
    found = [
        torch.cat([one.forecast(path[:k], steps=40).x[0, :, :, 0] for k in origins]) for one in (model, rival)
    ]
    own, theirs = (valid_time(one, truth, path.std().expand(len(truth))).mean() * 0.1 * 0.9 for one in found)
    assert float(own) > 1.0, own
    assert float(own) > 1.2 * float(theirs), (own, theirs)


@pytest.mark.slow
def test_draws_have_the_law_of_an_autoregression_with_known_noise():
    g = np.random.default_rng(0)
    x = np.zeros(3000)
    for t in range(1, 3000):
        x[t] = 0.8 * x[t - 1] + 0.6 * g.standard_normal()
    net = {"kind": "mlp", "width": 32, "depth": 2}
    bridge = {"kind": "bridge", "path": "one_sided_linear", "net": net, "steps": 500, "batch_size": 128}
    model = DelayGenerator(generator=bridge, lags=2, ahead=2).fit(x, progress=False)
    drawn = torch.as_tensor(model.forecast(np.array([0.0, 1.0]), members=2000, steps=4).x)[0, :, :, 0]
    for k in range(4):
        mean, variance = 0.8 ** (k + 1), 0.36 * sum(0.64**j for j in range(k + 1))
        assert float(drawn[:, k].mean()) == pytest.approx(mean, abs=0.12)
        assert float(drawn[:, k].std()) == pytest.approx(variance**0.5, rel=0.15)
    again = model.forecast(np.array([0.0, 1.0]), members=2000, steps=4).x
    assert np.array_equal(again[0, :, :, 0], drawn.numpy())


# --- series


def _series(*args, **options):
    pytest.importorskip("dysts")
    from interpolants.sciml.chaos.chaotic_series import load_chaotic_series

    return load_chaotic_series(*args, **options).x


def test_times_do_not_depend_on_how_many_there_are_and_numpys_generator_is_left_alone():
    np.random.seed(7)
    wanted = np.random.rand()
    np.random.seed(7)
    short, long = (_series("all", points=points) for points in (24, 60))
    assert torch.allclose(short, long[:24], atol=1e-5)
    assert np.random.rand() == wanted
    train, test = (_series(part, points=60) for part in ("train", "test"))
    assert torch.equal(torch.cat([train, test]), long)
    assert len(train) == 50


def test_noise_has_the_size_that_was_asked_for_and_its_own_seed():
    clean, noisy, other = (
        _series("all", points=900, noise=noise, seed=seed) for noise, seed in ((0, 0), (0.2, 0), (0.2, 1))
    )
    assert float((noisy - clean).std() / clean.std()) == pytest.approx(0.2, abs=0.02)
    assert not torch.equal(noisy, other)


def test_wrong_settings_of_a_series_are_refused():
    for wrong in ({"noise": -0.1}, {"coordinates": 4}, {"points": 3}, {"system": "Lorens"}):
        with pytest.raises(InvalidInputError):
            _series("all", **wrong)


# --- the benchmark

PART = {"systems": ["Lorenz", "Rossler", "Halvorsen"], "points": 240, "members": 1}


@pytest.fixture(scope="module")
def task():
    pytest.importorskip("dysts")
    from interpolants.sciml.chaos.chaotic_series import load_chaotic_series

    return Task.of(
        Autoregression().roles(),
        {"series": load_chaotic_series("all", points=240).x},
        Split(by="time", test=40),
    )


@pytest.mark.slow
def test_a_forecast_that_knows_the_truth_has_no_error_and_one_that_fails_that_of_the_mean(task, monkeypatch):
    from interpolants.sciml.chaos.chaotic_forecasts import ChaoticForecasts

    question = ChaoticForecasts(**PART)
    paths = {name: question._series(name) for name in question.names}

    def truth(self, context=None, *, members=1, steps=24):
        own = next(
            path for path in paths.values() if torch.equal(path[199], self.state["series"].values[-1, 0])
        )
        return self._members(context, members, steps).__class__(
            x=own[200:][None, None, :, None], dims=("time", "column")
        )

    model = task.fit(Autoregression(lags=5))
    scores = {score.name: score for score in ask(question, model, task, ["analogue"]).scores}
    assert 0 < scores["smape"].value < 200
    assert scores["failed"].value == 0
    assert set(scores["mean_smape"].gaps) == {"analogue"}
    assert scores["valid_time"].rivals["analogue"] > 0
    monkeypatch.setattr(Autoregression, "forecast", truth)
    exact = question.measure(model, task)
    assert float(exact.values["smape"].value) == 0
    assert float(exact.values["distance"].value) < 1e-6
    short = task.fit(Autoregression(lags=5)).set_params(lags=199)  # too many for the series of 200 values
    failed = question.measure(short, task)
    assert failed.values["failed"] == 3
    assert "have no forecast" in failed.findings[0].text


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["raises", "not finite"])
def test_a_forecaster_that_breaks_in_one_system_is_asked_of_the_others(task, monkeypatch, broken):
    from interpolants.sciml.chaos.chaotic_forecasts import ChaoticForecasts

    question = ChaoticForecasts(**PART)
    model = task.fit(Autoregression(lags=5))
    whole, plain = question.measure(model, task), Autoregression.forecast
    second = question._series("Rossler")[199]

    def sometimes(self, context=None, **options):
        answer = plain(self, context, **options)
        if self.state["series"].values[-1, 0] != second:
            return answer
        if broken == "raises":
            raise ZeroDivisionError("a period of zero")
        return answer.__class__(x=answer.x * math.nan, dims=answer.dims)

    monkeypatch.setattr(Autoregression, "forecast", sometimes)
    found = question.measure(model, task)
    assert found.values["failed"] == 1
    why = (
        "Rossler: ZeroDivisionError: a period of zero"
        if broken == "raises"
        else "Rossler: the forecast is not finite"
    )
    assert why in found.findings[0].text
    errors, before = found.values["mean_smape"], whole.values["mean_smape"]
    assert torch.equal(errors[[0, 2]], before[[0, 2]])
    assert bool(errors.isfinite().all())


def test_other_coordinates_are_forecast_too(task):
    from interpolants.sciml.chaos.chaotic_forecasts import ChaoticForecasts
    from interpolants.sciml.chaos.chaotic_series import load_chaotic_series

    second = ChaoticForecasts(**PART, coordinate=1)._series("Rossler")
    assert torch.equal(
        second, load_chaotic_series("all", system="Rossler", points=240, coordinates=0).x[:, 1]
    )


def test_systems_are_spread_over_the_names(task):
    from interpolants.sciml.chaos.chaotic_forecasts import ChaoticForecasts

    assert len(ChaoticForecasts().names) == 129
    some = ChaoticForecasts(systems=4).names
    assert len(set(some)) == 4
    assert list(some) == sorted(some)


def test_weights_of_new_starts_by_hand():
    from interpolants.sciml.chaos.resampled_training import importance_weights

    errors = torch.tensor([0.0, 0.0, 3.0, 0.0, 1.0])
    assert importance_weights(errors, power=1.0, smooth=1).tolist() == [0, 0, 0.75, 0, 0.25]
    assert torch.allclose(importance_weights(errors, power=0.0), torch.full((5,), 0.2))
    assert importance_weights(0 * errors).tolist() == pytest.approx([0.2] * 5)  # a perfect forecast
    assert importance_weights(errors, power=1.0, smooth=3).tolist() == pytest.approx(
        [0, 3 / 12, 3 / 12, 4 / 12, 2 / 12]
    )


def test_new_series_leave_from_where_the_path_was(task):
    from interpolants.sciml.chaos.problems.chaotic_systems import ChaoticSystem
    from interpolants.sciml.chaos.resampled_training import ResampledTraining

    question = ResampledTraining(systems=["Lorenz"], points=120, rounds=1, starts=4, length=30, jitter=0.0)
    system = ChaoticSystem("Lorenz")
    path = system.trajectory(120, bounded=False)
    places = question._places(120)
    weights = torch.zeros(len(places)).double()
    weights[7] = 1.0
    new = question._new(system, path, weights, torch.Generator().manual_seed(0))
    wanted = path[places[7] : places[7] + 5, 0]
    assert all(torch.allclose(one[:5], wanted, atol=1e-3) for one in new)
    scores = {score.name: score for score in ask(question, task.fit(Autoregression(lags=5)), task).scores}
    assert scores["share_better"].value in (0.0, 1.0)
    assert scores["importance_error"].value > 0


def test_errors_of_a_forecast_of_zeros_are_mean_squares_of_what_came():
    from interpolants.sciml.chaos.resampled_training import ResampledTraining

    class Zeros:
        def forecast(self, context, *, steps, members):
            return Ensemble(x=torch.zeros(1, members, steps, 1), dims=("time", "column"))

    path = torch.randn(120, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    question = ResampledTraining(systems=["Lorenz"], points=120)
    wanted = [sum(float(x) ** 2 for x in path[k : k + 10]) / 10 for k in question._places(120)]
    assert question._errors(Zeros(), path).tolist() == pytest.approx(wanted)


def test_the_error_of_a_statistic_that_one_draw_has_is_unknown():
    pytest.importorskip("dysts")
    from interpolants.sciml.chaos.chaotic_forecasts import ChaoticForecasts

    values = iter([2.0])
    found = ChaoticForecasts(**PART)._estimate(lambda x: next(values, torch.nan), torch.arange(3.0))
    assert math.isnan(found.error)


def test_a_context_in_other_units_is_told():
    x = logistic(60)
    model = Autoregression(lags=2).fit(x)
    with pytest.warns(OutsideWarning, match="context lies .* standard deviations from the training data"):
        model.forecast(x + 100.0, steps=2)


def test_a_column_that_grows_evenly_leaves_the_generator_finite_changes():
    x = torch.stack([torch.arange(12.0), torch.arange(12.0).square()], 1)
    run = SimpleNamespace(fit=lambda name, method, *, x1, cond: x1)
    found = DelayGenerator(lags=2, ahead=1).taught([x.double()], 2, run, "")["law"]
    assert bool(found.isfinite().all())
    assert found[:, 1].std() == pytest.approx(1)


def test_the_generator_of_a_sine_needs_no_settings_and_one_that_does_not_fit_is_refused_when_made():
    """The default was a bridge between two sets of samples, which no series has: every fit was refused."""
    sine = torch.sin(torch.arange(60) / 4).double()
    model = DelayGenerator(generator=DelayGenerator().generator.clone().set_params(steps=1))
    assert model.fit(sine).forecast(members=2, steps=3).x.shape == (1, 2, 3, 1)
    with pytest.raises(
        InvalidInputError, match=r"DelayGenerator: generator must learn from vectors x1 alone.*x0"
    ):
        DelayGenerator(generator="bridge")
    with pytest.raises(InvalidInputError, match=r"generator must take a condition.*GaussianFit"):
        DelayGenerator(generator="gaussian_fit")


def test_an_exponent_that_is_estimated_below_zero_is_drawn_at_the_low_end_of_its_logarithmic_axis():
    pytest.importorskip("dysts")
    from interpolants.sciml.chaos.chaotic_forecasts import ChaoticForecasts

    arrays = {"smape": torch.ones(2), "exponent": torch.tensor([-1.0, 2.0])}
    own = Measured({}, arrays | {name: torch.zeros(1, 3) for name in ("forecast", "truth")})
    errors, _ = ChaoticForecasts().figures(own, {}, None)
    assert errors.panels[1].series[0].arrays["x"].tolist() == pytest.approx([1e-3, 2])
