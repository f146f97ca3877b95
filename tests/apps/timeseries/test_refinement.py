"""Refinement and synthesis against closed forms: the network is the exact noise of a stationary Gaussian series."""

import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.timeseries import SelfGuidedDiffusion
from interpolants.apps.timeseries.refined_windows import Refinement
from interpolants.apps.timeseries.window_units import WindowUnits
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import OutsideWarning, SettingWarning
from interpolants.paths import OneSidedLinear

F64 = torch.float64
CONTEXT, HORIZON = 24, 12
SMALL = {"net": {"kind": "gated_convolution", "width": 4, "blocks": 2}, "steps": 2, "batch_size": 4}


def covariance(n):
    lag = (torch.arange(n)[:, None] - torch.arange(n)).abs().to(F64)
    return torch.exp(-lag / 12) * torch.cos(2 * math.pi * lag / 12) + 1e-3 * torch.eye(n, dtype=F64)


class ExactNoise(torch.nn.Module):
    """``E[z | x_t] = alpha (beta^2 C + alpha^2)^-1 x`` of windows with mean zero."""

    def __init__(self, path):
        super().__init__()
        self.path, self.c = path, covariance(CONTEXT + HORIZON)

    def inner(self, alpha, beta):
        return torch.linalg.inv(beta**2 * self.c + alpha**2 * torch.eye(len(self.c), dtype=F64))

    def forward(self, x, t, cond=None):
        t = torch.as_tensor(t).double()
        alpha, beta = (f(t).reshape(-1, 1, 1) for f in (self.path.alpha, self.path.beta))
        sizes, axes = torch.linalg.eigh(self.c)
        return (alpha * ((x.double() @ axes) / (beta**2 * sizes + alpha**2)) @ axes.T).to(x)


@pytest.fixture(scope="module")
def exact():
    root = torch.linalg.cholesky(covariance(120))
    history = root @ torch.randn(120, dtype=F64, generator=generator(0))
    model = SelfGuidedDiffusion(context=CONTEXT, horizon=HORIZON, **SMALL).fit(history)
    unit = torch.ones(1, dtype=F64)
    own = {
        "net": ExactNoise(model.path),
        "units": WindowUnits("standard", 0 * unit, unit, unit[None]),
        "largest": 4.0,
    }
    model.state |= own
    return model, history


def test_many_rounds_lead_to_the_minimum_of_the_energy(exact):
    """``E = alpha^2 beta^2 y' K^2 y + weight |h - f|^2`` with ``K = (beta^2 C + alpha^2)^-1`` is a quadratic form."""
    model, history = exact
    forecast, weight = torch.ones(HORIZON, 1, dtype=F64), 0.3
    found = model.refine(forecast, history, members=64, rounds=400, rate=0.05, weight=weight, time=0.7).x
    alpha, beta = (float(f(torch.tensor(0.7))) for f in (model.path.alpha, model.path.beta))
    form = alpha**2 * beta**2 * torch.linalg.matrix_power(model.state["net"].inner(alpha, beta), 2)
    known, asked = slice(0, CONTEXT), slice(CONTEXT, None)
    left = form[asked, asked] + weight * torch.eye(HORIZON, dtype=F64)
    right = weight * forecast[:, 0] - form[asked, known] @ history[-CONTEXT:]
    minimum = torch.linalg.solve(left, right)
    assert_close(found[0, :, :, 0].mean(0), minimum, rtol=0, atol=0.05)
    assert float((minimum - 1).abs().max()) > 0.3


def test_refined_forecasts_are_nearer_to_what_comes(exact):
    model, history = exact
    errors = []
    for cut in range(60, 100, 5):
        past, future = history[:cut], history[cut : cut + HORIZON]
        naive = past[-HORIZON:, None]
        found = model.refine(naive, past, members=16).x[0, :, :, 0].mean(0)
        errors.append(
            [float((naive[:, 0] - future).square().mean()), float((found - future).square().mean())]
        )
    before, after = np.mean(errors, 0)
    assert after < before


def test_no_round_changes_nothing_and_langevin_spreads_members(exact):
    model, history = exact
    forecast = torch.linspace(0, 1, HORIZON, dtype=F64)[:, None]
    still = model.refine(forecast, history, members=3, rounds=0).x
    assert_close(still[0], forecast.expand(3, -1, -1), rtol=0, atol=1e-6)
    members = model.refine(forecast, history, members=32, method="langevin", spread=1.0).x
    plain = model.refine(forecast, history, members=32).x
    assert float(members.std(1).mean()) > 2 * float(plain.std(1).mean())
    low_to_high = model.refine(forecast, history, members=9, gap="quantile", weight=1.0).x[0, :, :, 0].mean(1)
    assert bool((low_to_high[1:] - low_to_high[:-1] > -0.05).all())
    assert float(low_to_high[-1]) > float(low_to_high[0])


def test_langevin_ends_with_the_spread_of_its_chain():
    """Without a network ``y' = f + (1 - 2 w r)(y - f) + sqrt(2 r) s z``: variance 2 r s^2 / (1 - (1 - 2 w r)^2)."""
    path = OneSidedLinear()
    knows_nothing = SimpleNamespace(noise=lambda x, t: 0 * x)
    flow = SimpleNamespace(path=path)
    windows = SimpleNamespace(shape=(1, 50), lags=(), flow=flow, fields=knows_nothing, room=1e3)
    windows.units = WindowUnits("standard", torch.zeros(1), torch.ones(1), torch.ones(1, 1))
    values, seen = torch.full((200, 50, 1), 2.0, dtype=F64), torch.zeros(200, 50, 1, dtype=torch.bool)
    seen[:, 0] = True
    way = Refinement(method="langevin", rounds=20, rate=0.25, weight=1.0, spread=0.6)
    found = way.refined(windows, values, seen, generator(0))
    assert torch.equal(found[:, 0], values[:, 0])
    assert float(found[:, 1:].mean()) == pytest.approx(2.0, abs=0.03)
    assert float(found[:, 1:].std()) == pytest.approx(0.6 * math.sqrt(0.5 / 0.75), rel=0.03)


def test_bad_forecasts_are_refused_and_divergence_is_told(exact):
    model, history = exact
    with pytest.raises(InvalidInputError, match="horizon's 12 steps and 1 columns"):
        model.refine(torch.ones(5, 1), history)
    with pytest.raises(InvalidInputError, match="no gaps"):
        model.refine(torch.full((HORIZON, 1), torch.nan), history)
    with pytest.raises(DivergedError, match="left the scale of the data with rate=50"):
        model.refine(torch.ones(HORIZON, 1), history, rate=50.0)
    with pytest.raises(InvalidInputError, match="Did you mean 'rounds'"):
        model.refine(torch.ones(HORIZON, 1), history, round=3)


def test_a_network_that_is_narrower_than_its_channels_is_told_of():
    values = torch.randn(80, 3, dtype=F64, generator=generator(2))
    settings = {**SMALL, "context": 12, "horizon": 6, "lags": [6]}
    with pytest.warns(SettingWarning, match=r"width 4 for 6 channels .*take width=12"):
        SelfGuidedDiffusion(**settings).fit(values)


def test_a_forecast_is_of_the_columns_and_dates_that_follow_its_context():
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2024-01-01", periods=84, freq="D")
    table = pandas.DataFrame({"a": np.sin(np.arange(84.0)), "b": 5 + np.cos(np.arange(84.0))}, index=days)
    history, ahead = table[:80], table[80:]
    model = SelfGuidedDiffusion(context=8, horizon=4, **SMALL).fit(history)
    found = model.refine(ahead, history, rounds=1).x
    assert torch.equal(model.refine(ahead[["b", "a"]], history, rounds=1).x, found)
    with pytest.raises(InvalidInputError, match="a forecast must have the columns a, b, got a, c"):
        model.refine(ahead.rename(columns={"b": "c"}), history)
    with pytest.raises(
        InvalidInputError, match=r"dates that follow the context, from 2024-03-21 .*got dates from 2024-03-20"
    ):
        model.refine(table[79:83], history)


def test_a_column_that_is_constant_stays_so():
    values = np.stack([np.sin(np.arange(80.0)), np.full(80, 5.0)], 1)
    values[7, 1] = np.nan
    model = SelfGuidedDiffusion(context=8, horizon=4, head="denoised", **SMALL).fit(values)
    how = {"members": 3, "strength": 0.0, "n_steps": 4}
    found = model.forecast(values, **how).x
    assert bool((found[..., 1] == 5).all())
    assert len(found[..., 0].unique()) > 1
    assert bool((model.complete(values, **how).x[..., 1] == 5).all())
    assert bool((model.sample(3, n_steps=4)[..., 1] == 5).all())
    with pytest.warns(OutsideWarning, match="column 1 of the series lies inf standard deviations"):
        model.forecast(values + np.array([0.0, 2.0]), **how)


def test_a_context_in_other_units_is_told_of(exact):
    model, history = exact
    with pytest.warns(OutsideWarning, match="the series lies .*are the units the same"):
        model.forecast(history + 273, members=2, strength=0.0, n_steps=2)


def test_half_of_the_values_beyond_ten_deviations_are_told_and_fewer_are_not():
    unit = torch.ones(1, dtype=F64)
    model = SelfGuidedDiffusion(context=8, horizon=4)
    model.state = {"units": WindowUnits("standard", 5 * unit, 2 * unit, unit[None]), "columns": ("a",)}
    seen = torch.ones(1, 8, 1, dtype=torch.bool)
    with pytest.warns(OutsideWarning, match="lies 11 standard deviations from"):
        model._warn_if_far(torch.full((1, 8, 1), 5.0 + 22.0), seen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model._warn_if_far(torch.full((1, 8, 1), 5.0 - 18.0), seen)
