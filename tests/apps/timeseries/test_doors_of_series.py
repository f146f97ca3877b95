"""What a user may hand in as a series ends in the right forecast or in a message."""

import functools

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpolants.apps.timeseries import SelfGuidedDiffusion
from interpolants.data.series_table import each_column
from interpolants.foundations.errors import InvalidInputError

FEW = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
HOURS = pandas.date_range("2024-01-01", periods=90, freq="h")
TURN = np.arange(90) / 4
WAVES = pandas.DataFrame({"u": np.sin(TURN), "v": 5 + 3 * np.cos(TURN)}, index=HOURS)
WINDOW = {"context": 8, "horizon": 4, "steps": 100, "batch_size": 8}
FORECAST = {"members": 2, "n_steps": 20, "strength": 0.1}


def followed(series):
    net = {"kind": "gated_convolution", "width": 8, "blocks": 2}
    return SelfGuidedDiffusion(net=net, **WINDOW).fit(series, progress=False)


@functools.cache
def waves_learnt():
    return followed(WAVES)


def forecast(series, model=None):
    return np.asarray((model or waves_learnt()).forecast(series, **FORECAST).x)


@functools.cache
def known_forecast():
    return forecast(WAVES)


@pytest.mark.slow
@FEW
@given(order=st.permutations(["u", "v", "note"]))
def test_columns_of_a_series_are_known_by_name(order):
    np.testing.assert_array_equal(forecast(WAVES.assign(note=1.0)[order]), known_forecast())


@pytest.mark.slow
@settings(FEW, max_examples=3)
@given(scale=st.integers(-20, 20).map(lambda k: 2.0**k), shift=st.integers(-8, 8))
def test_forecasts_follow_the_units_of_a_series(scale, shift):
    other = (WAVES + shift) * scale
    np.testing.assert_allclose(
        forecast(other, followed(other)) / scale - shift, known_forecast(), rtol=1e-4, atol=1e-4
    )


@FEW
@given(data=st.data())
def test_a_clock_with_a_fault_is_refused(data):
    """Rows in another order, twice, or missing: later values would stand at a wrong time."""
    row = data.draw(st.integers(1, 88), label="row")
    index = np.arange(90)
    faults = {
        "swapped": np.r_[index[:row], row + 1, row, index[row + 2 :]] if row < 88 else index[::-1],
        "twice": np.r_[index[:row], row, index[row:]],
        "missing": np.delete(index, row),
        "backwards": index[::-1],
    }
    for rows in faults.values():
        with pytest.raises(InvalidInputError, match=r"must be strictly increasing|must follow each other"):
            forecast(WAVES.iloc[rows])


@pytest.mark.parametrize(
    ("other", "rule"),
    [
        (WAVES.tz_localize("UTC"), "the clock of the fit"),
        (WAVES.resample("2h").mean(), "the clock of the fit"),
        (WAVES.reset_index(drop=True), "the clock of the fit"),
        (WAVES.to_numpy(), "the clock of the fit"),
        (WAVES.rename(columns={"u": "U"}), "the columns of the fit"),
        (WAVES[["u"]], "the columns of the fit"),
        (WAVES.astype(str), "numeric columns"),
        (WAVES.replace(WAVES.iloc[5, 0], np.inf), "must be finite"),
        (WAVES.to_numpy() * 1j, "floating point"),
    ],
)
def test_a_series_of_another_kind_is_refused(other, rule):
    with pytest.raises(InvalidInputError, match=rule):
        forecast(other)


def test_a_series_without_values_is_named():
    hours = pandas.date_range("2024-03-01", periods=60, freq="h")
    table = pandas.DataFrame(
        {"Queen": np.sin(np.arange(60.0)), "Albert": np.sin(np.arange(60.0))}, index=hours
    )
    small = {"net": {"kind": "gated_convolution", "width": 4, "blocks": 1}, "steps": 1, "batch_size": 2}
    model = SelfGuidedDiffusion(context=8, horizon=4, **small).fit(each_column(table))
    table.loc[hours[-10:], "Albert"] = np.nan
    with pytest.raises(InvalidInputError, match="last 8 values of series Albert must be seen"):
        model.forecast(each_column(table))
