import numpy as np
import pytest
import torch

from interpolants.apps.weather.data.movies import load_hurricane_rain, load_monthly_winds
from interpolants.data.bundled import is_there
from interpolants.foundations.errors import InvalidInputError

xarray = pytest.importorskip("xarray")
pytest.importorskip("h5netcdf")


@pytest.fixture
def radar(tmp_path):
    """A record of ten hours whose values tell hour, row and column, with a cell that was not seen."""
    x = np.add.outer(100 * np.arange(10.0), np.add.outer(10 * np.arange(4.0), np.arange(6.0)))
    x[:, 0, 0] = np.nan
    times = np.datetime64("2020-01-01", "ns") + np.arange(10) * np.timedelta64(1, "h")
    made = xarray.Dataset({"rain": (("time", "y", "x"), x), "area": (("y", "x"), x[0])}, {"time": times})
    made.to_netcdf(tmp_path / "radar.nc", engine="h5netcdf")
    return str(tmp_path / "radar.nc")


def test_windows_of_a_record_and_a_test_that_shares_no_frame(radar):
    first, last = (load_hurricane_rain(part, frames=3, every=1, path=radar) for part in ("train", "test"))
    assert first.x.shape == (4, 3, 1, 4, 6)  # of six hours
    assert last.x.shape == (2, 3, 1, 4, 6)
    hours = [{int(h) // 100 for h in one.x[:, :, 0, 3, 5].flatten()} for one in (first, last)]
    assert hours == [set(range(6)), set(range(6, 10))]
    assert bool(first.x[..., 0, 0].isnan().all())
    assert first.info.gridded.dated
    assert first.info.gridded.members.tolist() == [0.0, 3600.0, 7200.0]  # the clock of the file
    assert float(last.info.gridded.cases.diff()[0]) == 3600


def test_blocks_are_means_and_one_with_a_gap_is_a_gap(radar):
    x = load_hurricane_rain(frames=2, every=2, path=radar).x
    assert x.shape == (5, 2, 1, 2, 3)
    assert float(x[0, 0, 0, 1, 1]) == (22 + 23 + 32 + 33) / 4
    assert bool(x[..., 0, 0].isnan().all())


def test_what_is_too_short_or_not_there_is_refused(radar):
    with pytest.raises(InvalidInputError, match="5 frames at least, got 4 of test"):
        load_hurricane_rain("test", frames=5, path=radar)
    with pytest.raises(InvalidInputError, match="rain"):
        load_hurricane_rain(variable="rian", path=radar)
    with pytest.raises(InvalidInputError, match=r"path must be a file that there is, got nowhere.cdf"):
        load_monthly_winds(path="nowhere.cdf")
    with pytest.raises(InvalidInputError, match="UWND"):
        load_monthly_winds(path=radar)


def test_the_rain_of_the_package():
    if not is_there(load_hurricane_rain):
        pytest.skip("r-cran-stars is not installed")
    x = load_hurricane_rain("all", frames=23, every=1).x
    assert x.shape == (1, 23, 1, 118, 87)
    assert abs(float(x.max()) - 163.75) < 1e-4
    assert torch.equal(x, x.clamp_min(0))
