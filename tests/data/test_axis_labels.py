import numpy as np
import pandas as pd
import pytest
import torch

from interpolants.data.axis_labels import axis_labels
from interpolants.data.gridded import joined_cases
from interpolants.data.gridded_files import gridded_of
from interpolants.foundations.tell import AssumptionWarning, DataWarning

xarray = pytest.importorskip("xarray")
TOWNS = ["Ulm", "Bern", "Graz", "Nice"]


def stations(cases=50, words=True):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(cases, 1, 4)) + rng.normal(size=(cases, 5, 4)) + np.array([0, 10, 20, 30])
    coords = {"time": pd.date_range("2015-01-01", periods=cases), "station": TOWNS if words else range(4)}
    return xarray.DataArray(x, dims=("time", "number", "station"), coords=coords, name="t")


def test_cases_with_names_keep_them():
    x = stations(4).assign_coords(time=["a", "b", "c", "d"])
    found = gridded_of(x, "test", "x")
    assert list(found[[2, 0]].dataset().time.values) == ["c", "a"]
    assert list(joined_cases([found[:1], found[3:]]).dataset().time.values) == ["a", "d"]


UTC = pd.date_range("2024-03-01", periods=3, freq="h")


def test_dates_with_a_time_zone_are_brought_to_utc():
    here = UTC.tz_localize("UTC").tz_convert("Europe/Berlin")
    x = xarray.DataArray(np.zeros(3), dims="time", coords={"time": ("time", here.to_numpy())})
    plain = xarray.DataArray(np.zeros(3), dims="time", coords={"time": UTC})
    assert torch.equal(axis_labels(x, "time").numbers, axis_labels(plain, "time").numbers)
    assert axis_labels(x, "time").dated


def test_dates_of_other_calendars_are_even():
    plain = xarray.DataArray(np.zeros(3), dims="time", coords={"time": UTC})
    cftime = pytest.importorskip("cftime")
    other = [cftime.DatetimeGregorian(2024, 3, 1, k) for k in range(3)]
    found = axis_labels(plain.assign_coords(time=("time", other)), "time")
    assert torch.equal(found.numbers, axis_labels(plain, "time").numbers)
    assert found.dated
    months = [cftime.Datetime360Day(2024, 2, 29 + k) for k in (0, 1)] + [cftime.Datetime360Day(2024, 3, 1)]
    with pytest.warns(AssumptionWarning, match="360_day.*counted in seconds"):
        even = axis_labels(plain.assign_coords(time=("time", months)), "time")
    assert even.numbers.diff().tolist() == [86400.0, 86400.0]
    assert not even.dated


def test_repeated_cases_are_told():
    x = stations()
    with pytest.warns(DataWarning, match="5 of 55 cases of x have the time of another one"):
        gridded_of(xarray.concat([x, x[:5]], "time"), "test", "x")
