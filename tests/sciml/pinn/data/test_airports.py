import pytest
import torch

from interpolants.data import load
from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.sciml.pinn.data.airports import load_us_airports


def everything(**options):
    try:
        return load_us_airports("all", **options)
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_they_are_those_of_the_package():
    found = everything(south=40.0, north=41.0)
    vega = pytest.importorskip("vega_datasets").data
    table = vega.airports()
    table = table[(table.latitude >= 40) & (table.latitude < 41)].sort_values(["longitude", "latitude"])
    assert found.x.tolist() == table[["longitude", "latitude"]].to_numpy().tolist()
    assert len(found.x) == 238
    assert found.x.dtype == torch.float64
    assert found.info.columns == ("longitude", "latitude")
    assert len(everything(state="CO").x) == 49


def test_a_copy_from_elsewhere(tmp_path):
    file = tmp_path / "airports.csv"
    file.write_text("longitude,latitude,state\n-100.5,40.0,NE\n-90,41,IL\n")
    assert load("us_airports", "all", path=str(file), north=41.0).x.tolist() == [[-100.5, 40.0]]
    with pytest.raises(InvalidInputError, match="at least one airport must lie between these latitudes"):
        load_us_airports(path=str(file), south=45.0)
    with pytest.raises(InvalidInputError, match="path must be a copy"):
        load_us_airports(path=str(tmp_path / "none"))
    file.write_text("lon,lat\n1,2\n")
    with pytest.raises(InvalidInputError, match="must have a column longitude, got none"):
        load_us_airports(path=str(file))
