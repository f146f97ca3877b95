"""Values of roles from tables with names, dates and words, and of series with times."""

import numpy as np
import pytest
import torch

from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.framework.role import Role
from interpolants.runs.answers import read_rows
from interpolants.runs.values import Place, read_value


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_of_a_role_of_series_is_read_with_its_times(folder):
    (folder / "h.csv").write_text("time,v\n2024-01-01,1\n2024-01-02,\n2024-01-04,3\n2024-01-05,4\n")
    place = Place(roles={"series": Role(name="series", kind="series")})
    table = read_value("series", "h.csv", place).value
    assert table["v"].isna().tolist() == [False, True, True, False, False]
    assert len(read_value("series", {"file": "h.csv", "limit": 2}, place).value) == 2
    with pytest.raises(InvalidInputError, match="columns and limit alone, got 'labels'"):
        read_value("series", {"file": "h.csv", "labels": "v"}, place)


def test_a_data_set_with_times_comes_as_one_table_which_the_split_cuts(folder):
    try:
        found = read_value("series", {"dataset": "electricity_demand", "limit": 96}, Place())
    except MissingExtraError as error:
        pytest.skip(str(error))
    assert found.parts is None
    assert str(found.value.index[0]) == "2000-08-26 00:00:00"
    assert str(found.value.index[-1]) == "2000-08-27 23:30:00"


def test_columns_of_a_data_set_are_a_table_with_names():
    found = read_value("x", {"dataset": "wine", "columns": ["hue", "alcohol"]}, Place()).value
    assert list(found.columns) == ["hue", "alcohol"]
    with pytest.raises(
        InvalidInputError, match=r"columns must be columns of 'wine', got 'hues'. Did you mean 'hue'"
    ):
        read_value("x", {"dataset": "wine", "columns": ["hues"]}, Place())


def test_files_of_exact_roles_keep_their_digits_dates_and_words(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("city,when,x\nRome,2020-01-01 00:00,1600000000.5\nBern,2020-01-02 00:00,0.1\n")
    role = Role(name="points", exact=True, words=True)
    place = Place(roles={"points": role})
    found = read_value("points", {"file": str(file), "columns": ["when", "x"]}, place).value
    assert found.dtypes["when"].kind == "M"
    assert found.x.tolist() == [1600000000.5, 0.1]
    assert read_rows(str(file), role).city.tolist() == ["Rome", "Bern"]
    np.save(tmp_path / "y.npy", np.array([1600000000.5, 0.1]))
    y = {"y": Role(name="y", exact=True)}
    exact = read_value("y", str(tmp_path / "y.npy"), Place(roles=y)).value
    assert exact[:, 0].tolist() == [1600000000.5, 0.1]
    with pytest.raises(
        InvalidInputError, match="a table of coordinates takes columns and limit, got 'labels'"
    ):
        read_value("points", {"file": str(file), "labels": "city"}, place)


def test_numbers_beside_words_are_a_table_of_their_own(tmp_path):
    """Coordinates and values often stand in one file."""
    (tmp_path / "rows.csv").write_text("site,level\nhill,0.5\nshore,1.5\n")
    role = {"values": Role(name="values", exact=True)}
    table = {"file": str(tmp_path / "rows.csv"), "columns": ["level"]}
    found = read_value("values", table, Place(roles=role)).value
    assert list(found.columns) == ["level"]
    assert found.level.tolist() == [0.5, 1.5]


def test_a_table_of_a_data_set_keeps_its_names_as_rows_and_as_nothing_else():
    rows = Place(roles={"x1": Role(name="x1")})
    found = read_value("x1", {"dataset": "wine"}, rows).value
    assert list(found.columns)[:2] == ["alcohol", "malic_acid"]
    labels = Place(roles={"x1": Role(name="x1", kind="labels")})
    plain = read_value("x1", {"dataset": "wine"}, labels).value
    assert isinstance(plain, torch.Tensor)
    assert torch.equal(torch.tensor(found.to_numpy()), plain)
    assert isinstance(read_value("x1", {"dataset": "digits"}, rows).value, torch.Tensor)


def test_every_column_can_be_a_series_of_its_own(folder):
    (folder / "wide.csv").write_text(
        "time,a,b\n" + "\n".join(f"2024-01-0{k},{k},{10 * k}" for k in range(1, 6))
    )
    place = Place(roles={"series": Role(name="series", kind="series")})
    found = read_value("series", {"file": "wide.csv", "each": True, "limit": 3}, place).value
    assert [list(one.columns) for one in found] == [["value"], ["value"]]
    assert found[1]["value"].tolist() == [30, 40, 50]
    with pytest.raises(InvalidInputError, match="each must be true or false"):
        read_value("series", {"file": "wide.csv", "each": "yes"}, place)
    alone = read_rows("wide.csv", place.roles["series"], columns=("value",))
    assert [one["value"].tolist()[0] for one in alone] == [1, 10]
    assert list(read_rows("wide.csv", place.roles["series"], columns=("a", "b")).columns) == ["a", "b"]
