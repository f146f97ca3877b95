"""Fields at stations are known by their names, and what cannot be seen of them is told."""

import warnings

import numpy as np
import pandas as pd
import pytest

from interpolants.apps.weather import SeedRegression
from interpolants.data.gridded_files import gridded_of
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import AssumptionWarning
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


def test_cases_with_names_are_not_paired_with_others():
    x = stations(4).assign_coords(time=["a", "b", "c", "d"])
    truth = x[:, :1].isel(time=[1, 0, 2, 3])
    with pytest.raises(InvalidInputError, match="the same cases in another order"):
        SeedRegression(n_seeds=2).fit(x, truth)


def test_what_cannot_be_seen_is_told():
    x = stations()
    model = SeedRegression(n_seeds=2).fit(x)
    with pytest.warns(
        AssumptionWarning, match="no coordinates of station; its points are taken in the order"
    ):
        model.emulate(x[:2, :2].drop_vars("station"), members=2)
    with pytest.warns(UserWarning, match="seeds 0 and 1 are the same member"):
        model.emulate(x[:2, [3, 3]], members=2)
    with pytest.raises(InvalidInputError, match="must have values, got none along time"):
        model.emulate(x[:0, :2], members=2)
    with pytest.raises(InvalidInputError, match="at least one case is required"):
        model.emulate(gridded_of(x, "test", "x")[:0].some_members(slice(2)), members=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.emulate(x[:2, :2].values, members=2)  # arrays have no coordinates
