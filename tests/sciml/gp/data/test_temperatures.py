import pytest
import torch

from interpolants.data import load
from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.sciml.gp.data.temperatures import load_city_temperatures


def everything(**options):
    try:
        return load_city_temperatures("all", **options)
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_they_are_those_of_the_package():
    data = everything()
    vega = pytest.importorskip("vega_datasets").data
    assert data.x.shape == (2 * 364 * 24, 4)
    assert data.x.dtype == torch.float64
    for city, table in enumerate((vega.seattle_temps(), vega.sf_temps())):
        days = table.date.dt.day_of_year - 1
        table = table[days != 72]  # 14 March 2010 has no hour from 2 to 3
        ours = data.x[data.x[:, 0] == city]
        assert ours[:, 1].tolist() == (table.date.dt.day_of_year - 1).tolist()
        assert ours[:, 2].tolist() == table.date.dt.hour.tolist()
        assert ours[:, 3].tolist() == table.temp.tolist()


def test_a_copy_from_elsewhere(tmp_path):
    everything()
    for name in ("seattle-temps.csv", "sf-temps.csv"):
        lines = [f"2010/01/01 {hour:02d}:00,{hour / 2}" for hour in range(24)]
        (tmp_path / name).write_text("\n".join(["date,temp", *lines, "2010/01/02 00:00,9"]))
    data = load("city_temperatures", "all", path=str(tmp_path))
    assert data.x.shape == (48, 4)  # the day with one hour is left out
    assert data.x[5].tolist() == [0, 0, 5, 2.5]
    with pytest.raises(InvalidInputError, match=r"path must be a folder with seattle-temps.csv"):
        load_city_temperatures(path=str(tmp_path / "none"))
    (tmp_path / "sf-temps.csv").write_text("day,temp\n1,2\n")
    with pytest.raises(InvalidInputError, match="must have a column date, got none"):
        load_city_temperatures(path=str(tmp_path))
