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


@pytest.mark.parametrize("kind", [ExponentialSmoothing, SeasonalArima])
@pytest.mark.parametrize("gap", [slice(88, 96), slice(0, 9)])
def test_a_gap_at_an_end_of_the_series_is_no_plateau(kind, gap):
    x = waves(96, 0.05)
    x[gap] = np.nan
    found = kind(season=SEASON, memory=96).fit(x).forecast(members=40, steps=12).x
    truth = torch.from_numpy(waves(108)[96:])
    assert float((found[0, :, :, 0].mean(0) - truth).abs().max()) < 0.3


def test_a_column_without_values_is_refused():
    x = np.stack([waves(96), np.full(96, np.nan)], 1)
    with pytest.raises(
        InvalidInputError, match="every column must have values in the last 48 times, got none in"
    ):
        SeasonalArima(season=SEASON, memory=48).fit(x)
    x[:3, 1], x[90:, 1] = 1.0, 2.0
    x[3:60, 0] = np.nan
    with pytest.raises(InvalidInputError, match="least 20 times between its first and its last value, got 6"):
        ExponentialSmoothing(season=SEASON, memory=48).fit(x)


@pytest.mark.parametrize("size", [1e-7, 1e7])
def test_forecasts_move_with_the_units_of_the_series(size):
    x = waves(96, 0.05)
    plain, scaled = (SeasonalArima(season=SEASON, memory=96).fit(u * x) for u in (1.0, size))
    assert_close(
        scaled.state["parameters"][0][-1], size**2 * plain.state["parameters"][0][-1], rtol=0.02, atol=0
    )
    found, other = (one.forecast(members=400, steps=4).x for one in (plain, scaled))
    # Members may differ: the square root of a covariance from which NumPy draws is not unique.
    assert_close(other.mean(1) / size, found.mean(1), rtol=0, atol=0.02)
    assert_close(other.std(1) / size, found.std(1), rtol=0.15, atol=0)


def test_a_constant_series_stays_as_it_is():
    for value in (0.0, 0.1, 1e-9):
        found = SeasonalArima(season=SEASON, memory=96).fit(np.full(96, value)).forecast(members=5, steps=4).x
        assert_close(found, torch.full_like(found, value), rtol=1e-3, atol=1e-3 * value if value else 1e-3)


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
        ({"order": (1, 2)}, "order must have 3 entries"),
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
    with pytest.raises(InvalidInputError, match="columns of the training data"):
        method.forecast(np.stack([waves(96), waves(96)], 1))


def test_a_memory_that_is_taken_is_long_enough_for_a_fit():
    short = {"season": 2, "memory": 12, "order": (0, 0, 0), "seasonal": (0, 0, 0)}
    assert SeasonalArima(**short).fit(waves(40, 0.1)).forecast(members=2, steps=1).x.shape == (1, 2, 1, 1)
    with pytest.raises(InvalidInputError, match="memory must be a whole number >= 12, got 11"):
        SeasonalArima(**{**short, "memory": 11})
