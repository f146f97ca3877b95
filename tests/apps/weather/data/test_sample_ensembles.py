import io
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest

from interpolants.apps.weather.data.sample_ensembles import (
    ARCHIVE,
    _opened,
    by_month,
    load_era5_members,
    load_seasonal_forecasts,
)
from interpolants.foundations.errors import InvalidInputError, MissingExtraError

xarray = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")


def era5():
    """A file of the form of the sample: members, times, levels, latitudes, longitudes."""
    shape = (10, 4, 2, 61, 120)
    x = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    coords = {
        "number": range(10),
        "time": np.datetime64("2017-01-01", "ns") + np.arange(4) * np.timedelta64(12, "h"),
        "isobaricInhPa": [850.0, 500.0],
        "latitude": np.linspace(90, -90, 61),
        "longitude": np.arange(120) * 3.0,
    }
    return xarray.Dataset(
        {name: (tuple(coords), s * x, {"units": u}) for name, s, u in (("z", 1, "m2"), ("t", -1, "K"))},
        coords,
    )


@pytest.fixture
def archive(tmp_path):
    """An archive with such a file, as the package has it."""
    inner = tmp_path / "era5-levels-members.nc"
    era5().to_netcdf(inner, engine="h5netcdf")
    with tarfile.open(tmp_path / ARCHIVE, "w:gz") as made:
        info = tarfile.TarInfo(f"cfgrib-0.9.15.1/tests/sample-data/{inner.name}")
        info.size = inner.stat().st_size
        made.addfile(info, io.BytesIO(inner.read_bytes()))
    return tmp_path / ARCHIVE


@pytest.mark.slow
def test_members_of_era5_are_read_from_the_archive_by_date(archive):
    whole, test = (
        load_era5_members("all", path=str(archive)),
        load_era5_members("test", path=str(archive), every=20),
    )
    fields = whole.info.gridded
    assert whole.x.shape == (4, 10, 4, 61, 120)
    assert fields.grid.variables == ("z850", "z500", "t850", "t500")
    assert fields.grid.edges() == ("pole_row", "periodic")
    source = era5()
    assert float(fields.values[1, 7, 3, 5, 9]) == float(source.t[7, 1, 1, 5, 9])
    assert test.x.shape == (2, 10, 4, 4, 6)
    assert test.info.gridded.grid.edges() == ("pole_row", "periodic")
    assert float(test.info.gridded.values[0, 2, 0, 1, 2]) == float(source.z[2, 2, 0, 20, 40])
    train = load_era5_members("train", path=str(archive)).info.gridded
    assert train.cases.max() < test.info.gridded.cases.min()


def test_months_of_a_start_are_packed_from_the_places_of_all_starts():
    x = np.full((4, 2, 5, 2, 3), np.nan)  # members, starts, steps, grid: two members and two months each
    for start, members, steps in ((0, (0, 1), (0, 3)), (1, (2, 3), (1, 4))):
        for m in members:
            for s in steps:
                x[m, start, s] = 100 * start + 10 * m + s
    axes = ("number", "time", "step", "latitude", "longitude")
    coords = {
        "time": np.array(["2016-01-01", "2016-02-01"], "datetime64[ns]"),
        "latitude": [1.0, 0],
        "longitude": [0.0, 1, 2],
    }
    packed = by_month(xarray.Dataset({"t2m": (axes, x)}, coords))
    assert list(packed.data_vars) == ["month1", "month2"]
    assert packed.month1.values[:, :, 0, 0].tolist() == [[0, 10], [121, 131]]
    assert packed.month2.values[:, :, 0, 0].tolist() == [[3, 13], [124, 134]]


def test_without_the_archive_the_way_to_get_it_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for load in (load_era5_members, load_seasonal_forecasts):
        with pytest.raises(MissingExtraError, match="pip download --no-deps --no-binary :all: cfgrib"):
            load()
        with pytest.raises(InvalidInputError, match="path must be the archive"):
            load(path="elsewhere.tar.gz")
    (tmp_path / "other.tar.gz").write_bytes(b"")
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz"):
        pass
    with pytest.raises(InvalidInputError, match="the archive must contain"):
        load_era5_members(path="other.tar.gz")


def test_a_step_of_the_grid_divides_it():
    with pytest.raises(InvalidInputError, match="every must divide 60, got 7"):
        load_era5_members(every=7)


def test_a_file_in_an_archive_is_read_as_the_file_alone(tmp_path):
    file = tmp_path / "era5-levels-members.nc"
    xarray.Dataset({"z": ("x", [1.0, 2.0])}).to_netcdf(file, engine="h5netcdf")
    with tarfile.open(tmp_path / ARCHIVE, "w:gz") as made:
        made.add(file, f"cfgrib-0.9.15.1/tests/sample-data/{file.name}")
    carrier = SimpleNamespace(path=f"somewhere/{file.name}")
    for place in (file, tmp_path / ARCHIVE):
        assert _opened("who", str(place), carrier).z.values.tolist() == [1, 2]
