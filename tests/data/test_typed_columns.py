import numpy as np
import pandas as pd
import pytest

from interpolants.data.arrays import restore
from interpolants.data.typed_columns import typed, untyped
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.role import Role
from interpolants.framework.roles import read

ROLE = (Role(name="x1", exact=True, typed=True, gaps=True),)
TABLE = pd.DataFrame(
    {
        "float": [0.1, np.nan, -3e300],
        "single": np.array([0.1, 2, 3], dtype=np.float32),
        "whole": [2**53 - 1, 0, -5],
        "small": np.array([1, 255, 0], dtype=np.uint8),
        "nullable": pd.array([1, None, 3], dtype="Int32"),
        "nullable float": pd.array([1.5, None, 3], dtype="Float64"),
        "truth": [True, False, True],
        "boolean": pd.array([True, None, False], dtype="boolean"),
        "object truth": pd.Series([True, None, False], dtype=object),
        "word": ["b", "a", "b"],
        "object": pd.Series(["b", None, "a"], dtype=object),
        "string": pd.array(["x", None, "y"], dtype="string"),
        "category": pd.Categorical(["low", "high", None], categories=["low", "high", "never"], ordered=True),
        "numbered": pd.Categorical([3, 1, 3]),
        "day": pd.to_datetime(["2012-01-01", None, "2015-12-31"]),
        "zone": pd.to_datetime(["2012-03-25 00:30", "2012-03-25 03:30", "2012-10-28 02:30"], utc=True)
        .tz_convert("Europe/Berlin")
        .as_unit("ns"),
        "span": pd.to_timedelta(["1h", None, "90min"]),
        "empty": [np.nan] * 3,
    }
)


def test_a_table_of_all_types_comes_back_with_its_types_to_the_bit():
    codes, types = typed(TABLE, "fit", "x1")
    assert codes.dtype == np.float64
    back = untyped(codes, types, TABLE.columns, TABLE.index)
    pd.testing.assert_frame_equal(back, TABLE, check_exact=True, check_freq=False)
    assert back["object"][1] is None
    assert list(back["category"].cat.categories) == ["low", "high", "never"]


def test_reading_a_role_keeps_the_types_and_later_tables_have_the_codes_of_the_fit():
    _, given = read(ROLE, {"x1": TABLE}, "fit")
    later = TABLE[list(TABLE.columns[::-1])].iloc[[1]].set_axis(["here"])
    found, came = read(ROLE, {"x1": later}, "complete", before=given)
    first, _ = read(ROLE, {"x1": TABLE}, "fit")
    np.testing.assert_array_equal(found["x1"], first["x1"][1:2])
    pd.testing.assert_frame_equal(restore(found["x1"], came["x1"]), TABLE.iloc[[1]].set_axis(["here"]))


def test_times_are_counted_in_the_coarsest_unit_in_which_they_are_whole():
    codes, types = typed(TABLE[["day", "span"]], "fit", "x1")
    assert codes[0].tolist() == [15340, 60]  # days since 1970; 90 minutes are no whole hours
    assert [one[5] for one in types] == [86_400_000_000_000, 60_000_000_000]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.Series([1, "a"], dtype=object), r"column 'c' of x1 must contain strings, got 1 \(int\) in row 0"),
        (
            pd.Series(["a", True], dtype=object),
            r"must contain values of a single type, got True \(bool\) in row 1",
        ),
        ([1.0, np.inf], "column 'c' of x1 must be finite, got inf in row 1. Drop the row"),
        ([1, 2**53], r"must contain integers below 2\^53, got 9007199254740992 in row 1"),
        (pd.period_range("2020", periods=2, freq="M"), r"type period\[M\]. Convert it"),
        (pd.cut([1, 2], [0, 1, 2]), "must have categories of strings or numbers"),
        (pd.to_datetime(["2020-01-01T00:00:00.000000001", None]), "finer than microseconds .* in row 0"),
        ([1j, 2j], "type complex128"),
    ],
)
def test_what_has_no_numbers_is_refused_with_column_row_and_remedy(column, message):
    with pytest.raises(InvalidInputError, match=message):
        typed(pd.DataFrame({"c": column}), "fit", "x1")


def test_names_must_be_plain_and_different():
    with pytest.raises(InvalidInputError, match=r"one level of names, got 2\. Join them"):
        typed(pd.DataFrame({("a", "b"): [1.0]}), "fit", "x1")
    with pytest.raises(InvalidInputError, match="different names, got 'a'"):
        typed(pd.DataFrame([[1, 2]], columns=["a", "a"]), "fit", "x1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"word": "bb"}, "column 'word' of x1 must contain values of the fit, got 'bb' in row 0"),
        ({"word": 1.0}, "column 'word' of x1 must contain strings, as in the fit, got numbers"),
        ({"day": "2012"}, "column 'day' of x1 must contain dates, as in the fit, got strings"),
    ],
)
def test_another_type_than_in_the_fit_is_refused(change, message):
    _, types = typed(TABLE, "fit", "x1")
    with pytest.raises(InvalidInputError, match=message):
        typed(TABLE.assign(**change), "complete", "x1", types)


def test_an_array_is_refused_where_the_fit_had_a_table_of_types():
    _, given = read(ROLE, {"x1": TABLE}, "fit")
    with pytest.raises(InvalidInputError, match="x1 must be a table, as in the fit, got ndarray"):
        read(ROLE, {"x1": np.zeros((2, 18))}, "complete", before=given)


def test_gaps_of_plain_whole_numbers_come_back_nullable():
    _, types = typed(TABLE[["whole", "truth"]], "fit", "x1")
    made = untyped(np.array([[1.0, np.nan], [np.nan, 1.0]]), types, ["whole", "truth"], None)
    assert [str(kind) for kind in made.dtypes] == ["Int64", "boolean"]
