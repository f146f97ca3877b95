import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.data.grid_alignment import aligned
from interpolants.data.gridded import Grid, days_of_year
from interpolants.data.gridded_files import FRAMES, gridded_of, read_gridded, write_gridded
from interpolants.foundations.errors import InvalidInputError

xarray = pytest.importorskip("xarray")
GLOBE = {
    "latitude": torch.linspace(90, -90, 19, dtype=torch.float64),
    "longitude": torch.arange(36.0).double() * 10,
}


def grid(coords=GLOBE, variables=("t",)):
    return Grid(
        dims=tuple(coords), sizes=tuple(map(len, coords.values())), variables=variables, coords=coords
    )


def dataset(cases=3, members=2, **more):
    """Two variables whose values tell their place: case, member, latitude, longitude."""
    shape = (cases, members, 4, 6)
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    axes = ("time", "number", "latitude", "longitude")
    dates = np.array(["2019-12-31", "2020-02-29", "2020-03-01"], "datetime64[ns]")[:cases]
    coords = {
        "time": dates, "number": range(members), "latitude": [60.0, 50, 40, 30], "longitude": np.arange(6) * 60.0
    }  # fmt: skip
    return xarray.Dataset({"t": (axes, x, {"units": "K"}), "z": (axes, -x)}, {**coords, **more})


# --- grids ---------------------------------------------------------------------------------------------------


def test_weights_are_areas_of_the_globe():
    weights = grid().weights()
    lat = GLOBE["latitude"] * math.pi / 180
    assert_close(weights.mean(), torch.tensor(1.0, dtype=torch.float64))
    # A third of the square of the sine, by the integral over the sphere; a band of 10 degrees errs by its square.
    assert_close(
        (weights * lat.sin().square()[:, None]).mean(),
        torch.tensor(1 / 3, dtype=torch.float64),
        rtol=4e-3,
        atol=0,
    )
    cap = (1 - math.sin(math.radians(85))) / 2  # the share of a polar cap of 5 degrees
    assert_close(weights[0].sum() / weights.sum(), torch.tensor(cap, dtype=torch.float64))
    assert_close(weights, weights.flip(0))


def test_weights_do_not_depend_on_the_order_of_latitudes_and_are_even_without():
    shuffled = torch.randperm(19, generator=torch.Generator().manual_seed(0))
    mixed = grid({"latitude": GLOBE["latitude"][shuffled], "longitude": GLOBE["longitude"]})
    assert_close(mixed.weights(), grid().weights()[shuffled])
    assert_close(grid({"x": torch.arange(4.0), "y": torch.arange(5.0)}).weights(), torch.ones(4, 5).double())


@pytest.mark.parametrize(
    ("lat", "lon", "edges"),
    [
        (torch.linspace(90, -90, 19), torch.arange(36) * 10.0, ("pole_row", "periodic")),
        (torch.linspace(-87.5, 87.5, 36), torch.arange(72) * 5.0 - 180, ("pole", "periodic")),
        (torch.linspace(70, 30, 9), torch.arange(36) * 10.0, ("border", "periodic")),
        (torch.linspace(90, -90, 19), torch.arange(18) * 10.0, ("border", "border")),
        (torch.linspace(90, -90, 19), torch.arange(9) * 40.0, ("border", "periodic")),
    ],
)
def test_coordinates_tell_what_lies_beyond_the_edges(lat, lon, edges):
    assert grid({"lat": lat.double(), "lon": lon.double()}).edges() == edges


def test_days_of_the_year_leave_out_the_29_of_february():
    days = np.array(
        ["2019-01-01", "2019-12-31", "2020-02-28", "2020-02-29", "2020-03-01", "1969-12-31"], "datetime64[s]"
    )
    seconds = torch.from_numpy(days.astype(np.int64).astype(np.float64))
    assert days_of_year(seconds).tolist() == [0, 364, 58, 58, 59, 364]


# --- readers -------------------------------------------------------------------------------------------------


def test_axes_of_a_dataset_are_told_by_their_names():
    data = dataset()
    found = gridded_of(data, "test", "x")
    assert found.values.shape == (3, 2, 2, 4, 6)
    assert found.grid.variables == ("t", "z")
    assert found.grid.units == ("K", "")
    assert found.dated
    turned = gridded_of(data.transpose("longitude", "latitude", "number", "time"), "test", "x")
    assert turned.grid.dims == ("longitude", "latitude")
    assert torch.equal(turned.values.transpose(-1, -2), found.values)
    assert_close(found.values[:, :, 0].numpy(), data.t.values)
    alone = gridded_of(data.isel(time=0), "test", "x")  # one forecast has no axis of cases
    assert torch.equal(alone.values, found.values[:1])


def test_a_dataset_comes_back_as_it_was(tmp_path):
    data = dataset()
    back = gridded_of(data, "test", "x").dataset()
    xarray.testing.assert_equal(back[["t", "z"]], data)
    for name in ("a.nc", "a.zarr"):
        write_gridded(back, tmp_path / name)
        again = read_gridded(str(tmp_path / name), "test", "x")
        places = [again.grid.variables.index(one) for one in ("t", "z")]  # Zarr keeps no order of variables
        assert torch.equal(again.values[:, :, places], gridded_of(data, "test", "x").values), name
        assert again.dated
        assert again.grid.edges() == ("border", "periodic")
    one = read_gridded(str(tmp_path / "a.nc"), "test", "x", "z")
    assert one.grid.variables == ("z",)


def test_levels_of_pressure_become_variables():
    data = dataset().expand_dims(isobaricInhPa=[850.0, 500.0]).assign_coords(isobaricInhPa=[850.0, 500.0])
    data = data * data.isobaricInhPa
    found = gridded_of(data, "test", "x")
    assert found.grid.variables == ("t850", "t500", "z850", "z500")
    assert_close(found.values[:, :, 1], gridded_of(dataset()[["t"]], "test", "x").values[:, :, 0] * 500)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda d: d.assign(orography=d.t.isel(time=0, number=0, drop=True)), None),  # fewer axes: left out
        (lambda d: d.assign(u=d.t.rename(latitude="lat2")), "all variables of x must have the axes"),
        (lambda d: d.expand_dims(season=[1, 2]), "one or two axes beside time and number"),
        (lambda d: np.zeros((3, 2)), r"x must be \(cases, members, points\)"),
        (lambda d: d.assign(t=d.t.astype(str)), "must be numbers"),
    ],
)
def test_axes_that_cannot_be_told_are_refused(bad, words):
    if words is None:
        assert gridded_of(bad(dataset()), "test", "x").grid.variables == ("t", "z")
        return
    with pytest.raises(InvalidInputError, match=words):
        gridded_of(bad(dataset()), "test", "x")


def test_files_that_are_missing_or_something_else_are_refused(tmp_path):
    (tmp_path / "a.nc").write_text("no fields")
    np.savez(tmp_path / "a.npz", a=np.zeros((2, 2, 3)), b=np.zeros((2, 2, 3)))
    for name, key, words in (
        ("b.nc", None, "must be a file that there is"),
        ("a.nc", None, "must be a readable .nc file"),
        ("a.npz", None, "--key must name an array"),
        ("a.npz", "c", "There are a, b"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            read_gridded(str(tmp_path / name), "test", "x", key)
    assert read_gridded(str(tmp_path / "a.npz"), "test", "x", "b").values.shape == (2, 2, 1, 3)


def test_another_grid_is_named_by_its_axis():
    first, other = grid(), grid({**GLOBE, "longitude": GLOBE["longitude"] + 5})
    with pytest.raises(InvalidInputError, match="longitude of the other fields: 0 at place 0, got 5"):
        other.checked_like(first, "test", "x")
    with pytest.raises(InvalidInputError, match="variables t, in this order, got z"):
        grid(variables=("z",)).checked_like(first, "test", "x")


# --- sequences -----------------------------------------------------------------------------------------------


def test_times_are_frames_where_no_other_axis_is_and_starts_beside_one():
    movie = dataset().t[:, 0]
    found = gridded_of(movie, "test", "movie", inner=FRAMES)
    assert found.values.shape == (1, 3, 1, 4, 6)
    assert found.dims == ("case", "time")
    assert found.dated_members
    assert found.members[1] - found.members[0] == 60 * 86400
    assert_close(found.values[0, :, 0], torch.from_numpy(movie.values))
    led = gridded_of(dataset().t.rename(number="lead"), "test", "forecasts", inner=FRAMES)
    assert led.values.shape == (3, 2, 1, 4, 6)
    assert led.dims == ("time", "lead")
    assert led.dated
    assert not led.dated_members


# --- the grid of the fit -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.transpose("longitude", "number", "latitude", "time"),
        lambda d: d.sortby("latitude"),
        lambda d: d.assign_coords(longitude=(d.longitude + 180) % 360 - 180).sortby("longitude"),
        lambda d: d[["z", "t"]].assign(extra=d.t),
        lambda d: d.transpose("time", "number", "longitude", "latitude").rename(
            latitude="lat", longitude="lon"
        ),
    ],
    ids=["axes", "latitudes", "longitudes", "variables", "spellings"],
)
def test_fields_in_another_order_are_brought_to_that_of_the_grid(change):
    known = gridded_of(dataset(), "test", "x")
    found = aligned(gridded_of(change(dataset()), "test", "x"), known.grid, "test", "x")
    assert_close(found.values, known.values)
    for axis, x in zip(found.grid.dims, known.grid.coords.values(), strict=True):
        assert_close(found.grid.coords[axis], x)


def test_axes_without_coordinates_are_told_by_their_names():
    bare = xarray.DataArray(np.arange(16.0).reshape(1, 1, 4, 4), dims=("time", "number", "y", "x"))
    known = gridded_of(bare, "test", "x")
    found = aligned(gridded_of(bare.transpose(..., "x", "y"), "test", "x"), known.grid, "test", "x")
    assert_close(found.values, known.values)


def test_other_units_and_other_points_are_refused_and_spellings_are_not():
    known = gridded_of(dataset(), "test", "x").grid
    with pytest.raises(
        InvalidInputError, match=r"t of x must be in K, as in the other fields, got degC. Convert it to K"
    ):
        aligned(
            gridded_of(dataset().assign(t=dataset().t.assign_attrs(units="degC")), "test", "x"),
            known,
            "test",
            "x",
        )
    aligned(
        gridded_of(dataset().assign(t=dataset().t.assign_attrs(units="kelvin")), "test", "x"),
        known,
        "test",
        "x",
    )
    with pytest.raises(InvalidInputError, match="the latitude of the other fields: 60 at place 0, got 61"):
        aligned(gridded_of(dataset(latitude=[61.0, 50, 40, 30]), "test", "x"), known, "test", "x")
