import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from interpolants.apps.weather import SeedRegression
from interpolants.data.axis_labels import CalendarWarning, axis_labels
from interpolants.data.grid_alignment import NoCoordinatesWarning
from interpolants.data.gridded import joined_cases
from interpolants.data.gridded_files import RepeatedCasesWarning, gridded_of
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.method import load

xarray = pytest.importorskip("xarray")
TOWNS = ["Ulm", "Bern", "Graz", "Nice"]


def stations(cases=50, words=True):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(cases, 1, 4)) + rng.normal(size=(cases, 5, 4)) + np.array([0, 10, 20, 30])
    coords = {"time": pd.date_range("2015-01-01", periods=cases), "station": TOWNS if words else range(4)}
    return xarray.DataArray(x, dims=("time", "number", "station"), coords=coords, name="t")


def test_stations_are_known_by_their_names_whatever_their_order(tmp_path):
    x = stations()
    model = SeedRegression(n_seeds=2).fit(x)
    found = model.emulate(x[:2, :2], members=3).dataset()
    other = model.emulate(x[:2, :2].isel(station=[2, 0, 3, 1]), members=3).dataset()
    assert list(found.station.values) == list(other.station.values) == TOWNS
    np.testing.assert_array_equal(found.t, other.t)
    x[:2, :2].isel(station=[2, 0, 3, 1]).to_netcdf(tmp_path / "seeds.nc")
    back = load(model.save(tmp_path / "model"))
    np.testing.assert_array_equal(back.emulate(str(tmp_path / "seeds.nc"), members=3).dataset().t, found.t)
    with pytest.raises(InvalidInputError, match="station of the other fields: Nice at place 3, got Nizza"):
        model.emulate(x[:2, :2].assign_coords(station=["Ulm", "Bern", "Graz", "Nizza"]))


def test_cases_with_names_keep_them_and_are_not_paired_with_others():
    x = stations(4).assign_coords(time=["a", "b", "c", "d"])
    found = gridded_of(x, "test", "x")
    assert list(found[[2, 0]].dataset().time.values) == ["c", "a"]
    assert list(joined_cases([found[:1], found[3:]]).dataset().time.values) == ["a", "d"]
    truth = x[:, :1].isel(time=[1, 0, 2, 3])
    with pytest.raises(InvalidInputError, match="the same cases in another order"):
        SeedRegression(n_seeds=2).fit(x, truth)


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
    with pytest.warns(CalendarWarning, match="360_day.*counted in seconds"):
        even = axis_labels(plain.assign_coords(time=("time", months)), "time")
    assert even.numbers.diff().tolist() == [86400.0, 86400.0]
    assert not even.dated


def test_what_cannot_be_seen_is_told():
    x = stations()
    with pytest.warns(RepeatedCasesWarning, match="5 of 55 cases of x have the time of another one"):
        gridded_of(xarray.concat([x, x[:5]], "time"), "test", "x")
    model = SeedRegression(n_seeds=2).fit(x)
    with pytest.warns(
        NoCoordinatesWarning, match="no coordinates of station; its points are taken in the order"
    ):
        model.emulate(x[:2, :2].drop_vars("station"), members=2)
    with pytest.warns(UserWarning, match="seeds 0 and 1 are the same member"):
        model.emulate(x[:2, [3, 3]], members=2)
    with pytest.raises(InvalidInputError, match="must have values, got none along time"):
        model.emulate(x[:0, :2], members=2)
    with pytest.raises(InvalidInputError, match="there must be cases"):
        model.emulate(gridded_of(x, "test", "x")[:0].some_members(slice(2)), members=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.emulate(x[:2, :2].values, members=2)  # arrays have no coordinates
