import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.methods.rivals.statsmodels_rivals import ExponentialSmoothing, SeasonalArima

pytest.importorskip("statsmodels")
SEASON = 6


def waves(t, noise=0.0):
    g = np.random.default_rng(0)
    return 10 + 3 * np.sin(2 * np.pi * np.arange(t) / SEASON) + noise * g.standard_normal(t)


@pytest.mark.parametrize("kind", [ExponentialSmoothing, SeasonalArima])
def test_a_season_goes_on(kind):
    x = waves(96, 0.05)
    method = kind(season=SEASON, memory=96).fit(x)
    found = method.forecast(members=40, steps=12).x
    assert found.shape == (1, 40, 12, 1)
    truth = torch.from_numpy(waves(108)[96:])
    assert float((found[0, :, :, 0].mean(0) - truth).abs().max()) < 0.2
    again = method.forecast(x, members=40, steps=12)
    assert_close(again.x, found)


def test_an_autoregression_is_forecast_as_by_hand_with_gaps_too():
    g, a = np.random.default_rng(1), 0.8
    x = np.zeros(600)
    for k in range(1, 600):
        x[k] = a * x[k - 1] + g.standard_normal()
    x[100:110] = np.nan
    method = SeasonalArima(season=2, memory=600, order=(1, 0, 0), seasonal=(0, 0, 0)).fit(x)
    assert_close(float(method.state["parameters"][0][0]), a, rtol=0, atol=0.08)
    found = method.forecast(members=2000, steps=3).x[0, :, :, 0]
    size = float(method.state["parameters"][0][-1]) ** 0.5
    spread = size * torch.tensor([1, 1 + a**2, 1 + a**2 + a**4], dtype=torch.float64).sqrt()
    assert_close(found.std(0), spread, rtol=0.1, atol=0)
    assert_close(found.mean(0), torch.tensor([a, a**2, a**3], dtype=torch.float64) * x[-1], rtol=0, atol=0.25)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"season": 1}, "season"),
        ({"memory": 5}, "Two seasons"),
        ({"order": (1, 2)}, "three numbers"),
        ({"order": (1, 0, -1)}, "order"),
    ],
)
def test_bad_settings_are_refused(given, said):
    with pytest.raises(InvalidInputError, match=said):
        SeasonalArima(**given)


def test_short_series_and_other_columns_are_refused():
    with pytest.raises(InvalidInputError, match="at least 20 times"):
        ExponentialSmoothing(season=SEASON, memory=96).fit(waves(15))
    method = ExponentialSmoothing(season=SEASON, memory=96).fit(waves(96, 0.1))
    with pytest.raises(InvalidInputError, match="columns of the fit"):
        method.forecast(np.stack([waves(96), waves(96)], 1))


def test_a_memory_that_is_taken_is_long_enough_for_a_fit():
    short = {"season": 2, "memory": 12, "order": (0, 0, 0), "seasonal": (0, 0, 0)}
    assert SeasonalArima(**short).fit(waves(40, 0.1)).forecast(members=2, steps=1).x.shape == (1, 2, 1, 1)
    with pytest.raises(InvalidInputError, match="memory must be a whole number >= 12, got 11"):
        SeasonalArima(**{**short, "memory": 11})
