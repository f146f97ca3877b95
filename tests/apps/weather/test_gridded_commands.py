"""Commands of methods of gridded fields: NetCDF and Zarr go in and come out."""

import numpy as np
import pytest
from typer.testing import CliRunner

from interpolants.apps.weather import DressedSeeds
from interpolants.cli.app import app
from interpolants.methods import ExactGP

xarray = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")
pytest.importorskip("zarr")
RUN = CliRunner()


def told(done):
    """What a command wrote, on one line."""
    return " ".join(done.output.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("fields")
    x = np.random.RandomState(0).standard_normal((6, 4, 3, 4))
    axes = ("time", "number", "latitude", "longitude")
    dates = np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(1, "D")
    data = xarray.Dataset(
        {"t2m": (axes, x, {"units": "K"})}, {"time": dates, "latitude": [50.0, 51, 52], "longitude": range(4)}
    )
    DressedSeeds().fit(data).save(place / "model")
    data.isel(number=slice(2)).to_netcdf(place / "seeds.nc")
    data.to_netcdf(place / "all.nc")
    return place


@pytest.mark.parametrize("name", ["out.nc", "out.zarr"])
def test_members_come_back_with_their_coordinates(folder, name):
    done = RUN.invoke(
        app,
        [
            "emulate",
            str(folder / "model"),
            str(folder / "seeds.nc"),
            "--members",
            "7",
            "--out",
            str(folder / name),
        ],
    )
    assert done.exit_code == 0, done.output
    found = xarray.open_dataset(folder / name, **({"engine": "zarr"} if name.endswith("zarr") else {}))
    assert dict(found.sizes) == {"time": 6, "number": 7, "latitude": 3, "longitude": 4}
    assert found.t2m.attrs["units"] == "K"
    assert str(found.time.values[5])[:10] == "2020-01-06"
    found.close()
    again = RUN.invoke(
        app, ["emulate", str(folder / "model"), str(folder / "seeds.nc"), "--out", str(folder / name)]
    )
    assert "must not exist" in told(again)


def test_what_does_not_fit_is_told(folder):
    done = RUN.invoke(app, ["emulate", str(folder / "model"), str(folder / "all.nc")])
    assert "each case must have 2 seeds, got 4" in told(done)
    done = RUN.invoke(app, ["emulate", str(folder / "model"), str(folder / "none.nc")])
    assert "must be a file that there is" in told(done)
    done = RUN.invoke(app, ["emulate", str(folder / "model"), str(folder / "seeds.nc"), "--key", "t2n"])
    assert "Did you mean 't2m'" in told(done)


def test_a_command_that_is_shown_names_a_file_of_fields(folder):
    from interpolants import load
    from interpolants.runs.commands import command

    assert command(load(folder / "model"), "emulate", "runs/a") == "interpolants emulate runs/a seeds.nc"


def test_answers_without_a_grid_go_to_no_netcdf_and_this_is_told_before_any_work(folder, tmp_path):
    x = np.random.RandomState(0).standard_normal((9, 1))
    ExactGP().fit(x, x[::-1, 0].copy()).save(tmp_path / "gp")
    np.save(tmp_path / "x.npy", x)
    done = RUN.invoke(
        app, ["predict", str(tmp_path / "gp"), str(tmp_path / "x.npy"), "--out", str(tmp_path / "y.nc")]
    )
    assert "must end in .npz" in told(done)
