import numpy as np
import pandas as pd
import pytest
import torch

from interpolants.data.coded_columns import coded, read_coded
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.role import Role
from interpolants.framework.roles import read

TABLE = pd.DataFrame(
    {
        "when": pd.to_datetime(["1970-01-02 00:00", "1970-01-03 12:00"]),
        "city": ["Rome", "Bern"],
        "x": [3, 4.5],
    }
)
ROLE = (Role(name="points", exact=True, words=True),)


def test_dates_are_days_and_words_are_their_place_in_the_alphabet():
    table, forms = coded(TABLE, "fit", "points")
    assert table.to_numpy().tolist() == [[1, 1, 3], [2.5, 0, 4.5]]
    assert forms == ("days", ("Bern", "Rome"), "")


def test_a_later_table_has_the_codes_of_the_fit():
    _, given = read(ROLE, {"points": TABLE}, "fit")
    later = TABLE[["x", "city", "when"]].iloc[1:]  # one word alone, and columns the other way round
    found, _ = read(ROLE, {"points": later}, "predict", before=given)
    assert found["points"].tolist() == [[2.5, 0, 4.5]]
    assert found["points"].dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"city": ["Rome", "Berne"]},
            r"column 'city' of points must contain words .* 'Berne'. Did you mean 'Bern'",
        ),
        ({"city": [0, 1]}, "column 'city' of points must contain words, as in the fit, got numbers"),
        ({"when": [0.0, 1.0]}, "column 'when' of points must contain dates, as in the fit, got numbers"),
        ({"x": ["a", "b"]}, "column 'x' of points must contain numbers, as in the fit, got words"),
        ({"city": ["Rome", None]}, "column 'city' of points must have no gaps, got 1 of 2 missing"),
    ],
)
def test_another_form_than_in_the_fit_is_refused(change, message):
    _, given = read(ROLE, {"points": TABLE}, "fit")
    with pytest.raises(InvalidInputError, match=message):
        read(ROLE, {"points": TABLE.assign(**change)}, "predict", before=given)


def test_an_array_is_refused_where_the_fit_had_words():
    _, given = read(ROLE, {"points": TABLE}, "fit")
    with pytest.raises(
        InvalidInputError, match="points must be a table, as the fit had columns of dates or words"
    ):
        read(ROLE, {"points": np.zeros((2, 3))}, "predict", before=given)


def test_words_are_refused_where_the_fit_had_an_array():
    _, given = read(ROLE, {"points": np.zeros((2, 3))}, "fit")
    with pytest.raises(InvalidInputError, match="column 'when' of points must contain numbers"):
        read(ROLE, {"points": TABLE}, "predict", before=given)


def test_dates_with_a_zone_are_those_of_utc():
    table = pd.DataFrame({"when": pd.to_datetime(["1970-01-01 06:00+06:00"])})
    assert coded(table, "fit", "points")[0].iloc[0, 0] == 0


def test_exact_rows_are_float64_from_any_container():
    role = (Role(name="x", exact=True),)
    for value in ([[0.1]], np.array([[0.1]]), torch.tensor([[0.1]]), pd.DataFrame({"a": [0.1]})):
        found = read(role, {"x": value}, "fit")[0]["x"]
        assert found.dtype == torch.float64
        assert float(found) == pytest.approx(0.1, abs=1e-8 if isinstance(value, torch.Tensor) else 0)


def test_a_file_with_dates_and_words(tmp_path):
    TABLE.to_csv(tmp_path / "rows.csv")
    back = read_coded(tmp_path / "rows.csv", "predict")
    assert back.dtypes["when"].kind == "M"
    assert back.to_numpy().tolist() == TABLE.to_numpy().tolist()
    with pytest.raises(InvalidInputError, match="must be a table"):
        read_coded(tmp_path / "none.csv", "predict")


def test_a_file_without_names_keeps_its_first_row(tmp_path):
    (tmp_path / "rows.csv").write_text("0.5,1\n1.5,2\n")
    assert read_coded(tmp_path / "rows.csv", "predict").to_numpy().tolist() == [[0.5, 1], [1.5, 2]]


def test_lists_come_back_as_lists():
    _, given = read((Role(name="x", exact=True),), {"x": [[0.1], [0.2]]}, "fit")
    assert given["x"].container == "list"
