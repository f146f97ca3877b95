"""Series in files: one clock, gaps, and what is refused with its row."""

import numpy as np
import pandas as pd
import pytest

from interpolants.data.series_table import each_column, on_a_clock, read_series_table
from interpolants.foundations.errors import InvalidInputError


def written(tmp_path, text, name="history.csv"):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def read(tmp_path, text, **options):
    return read_series_table(written(tmp_path, text), "--context", **options)


def test_empty_cells_and_missing_rows_are_gaps(tmp_path):
    rows = ["2024-01-01 00:00,1,5", "2024-01-01 01:00,,6", "2024-01-01 02:00,3,7", "2024-01-01 05:00,4,8"]
    table = read(tmp_path, "when,load,sun\n" + "\n".join(rows))
    assert list(table.columns) == ["load", "sun"]
    assert table.index.equals(pd.date_range("2024-01-01", periods=6, freq="h"))
    assert table.index.name == "when"
    np.testing.assert_array_equal(table["load"], [1, np.nan, 3, np.nan, np.nan, 4])


@pytest.mark.parametrize("frequency", ["MS", "ME", "B", "W-SUN", "D", "15min", "QS"])
def test_the_clock_of_a_calendar_is_found_though_rows_are_missing(tmp_path, frequency):
    whole = pd.Series(
        np.arange(40.0), index=pd.date_range("2023-01-02", periods=40, freq=frequency), name="v"
    )
    some = whole.drop(whole.index[[3, 17, 18]])
    found = read(tmp_path, some.to_csv(index_label="time"))
    expected = whole.where(whole.index.isin(some.index))
    pd.testing.assert_series_equal(
        found["v"], expected, check_freq=False, check_names=False, check_index_type=False
    )


def test_a_known_clock_is_kept_however_few_rows_there_are(tmp_path):
    table = read(tmp_path, "t,v\n2024-01-01 00:00,1\n2024-01-01 03:00,2\n", frequency="h")
    assert table["v"].isna().tolist() == [False, True, True, False]


def test_offsets_that_change_are_brought_to_utc_and_one_offset_is_kept(tmp_path):
    stamps = pd.date_range("2021-10-30 22:00", periods=8, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    lines = "\n".join(f"{stamp.isoformat()},{k}" for k, stamp in enumerate(stamps))
    table = read(tmp_path, "time,v\n" + lines)
    assert table.index.equals(stamps.tz_convert("UTC"))
    fixed = read(tmp_path, "time,v\n" + "\n".join(f"2021-07-0{k}T00:00+02:00,{k}" for k in range(1, 6)))
    assert str(fixed.index.tz) == "UTC+02:00"


def test_files_without_times_count_steps_and_a_counting_column_is_no_variable(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, "v\n1\n\n3\n\n")["v"], [1, np.nan, 3])
    table = read(tmp_path, "year,v\n1999,1\n2000,2\n2001,\n")
    assert (list(table.columns), table.index.tolist()) == (["v"], [1999, 2000, 2001])


def test_parquet_with_an_index_of_dates(tmp_path):
    pytest.importorskip("pyarrow")
    whole = pd.DataFrame({"v": np.arange(5.0)}, index=pd.date_range("2024", periods=5, name="day"))
    whole.to_parquet(tmp_path / "x.parquet")
    pd.testing.assert_frame_equal(
        read_series_table(str(tmp_path / "x.parquet"), "x"), whole, check_freq=False, check_index_type=False
    )


HOURS = "time,v\n2024-10-27 01:00,1\n2024-10-27 02:00,2\n2024-10-27 02:00,3\n2024-10-27 03:00,4\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HOURS, r"must be strictly increasing, got 2024-10-27 02:00:00 twice, again in row 3. .*summer time.*offset"),
        ("time,v\n2024-01-02,1\n2024-01-01,2\n2024-01-03,3\n", r"got 2024-01-01 00:00:00 in row 2, after.*[Ss]ort"),
        ("time,v\n2024-01-01,1\n2024-01-02,2\n2024-01-03 07:11,3\n2024-01-04,4\n2024-01-05,4\n",
         r"regularly, got a step of 1 days 07:11:00 after 2024-01-02 00:00:00, to row 3, where most are"),
        ("time,v\n2024-01-01,1\nyesterday,2\n", r"every time must be a time, got 'yesterday' in row 2"),
        ("time,v\n2024-01-01,1\n,2\n2024-01-03,2\n", r"every time must be a time, got nan in row 2"),
        ("time,v,place\n2024-01-01,1,a\n2024-01-02,2,a\n2024-01-03,2,a\n", r"got words in 'place'. .*must be columns"),
        ("timestamp,v\n1704067200,1\n1704070800,2\n", r"times must be dates.*got .*1704067200.* in column 'timestamp'"),
        ("date,v\n20240101,1\n20240102,2\n", r"times must be dates.*'date'. .*2024-03-01"),
        ("time,v\n0.5,1\n1.0,2\n", r"times must be dates.*'time'"),
        ("time\n2024-01-01\n2024-01-02\n", "a column in addition to the times"),
        ("time,v\n", "the table must have at least one row"),
    ],
)  # fmt: skip
def test_what_is_no_clock_is_refused_and_the_row_named(tmp_path, text, words):
    with pytest.raises(InvalidInputError, match=words):
        read(tmp_path, text)


def test_unknown_columns_and_files_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="Did you mean 'load'"):
        read(tmp_path, "time,load\n2024-01-01,1\n2024-01-02,1\n2024-01-03,1\n", columns=["laod"])
    with pytest.raises(InvalidInputError, match="must be a readable table"):
        read_series_table(str(tmp_path / "none.csv"), "--context")
    with pytest.raises(InvalidInputError, match=r"must be one of \.csv"):
        read_series_table("x.npy", "--context")


def test_other_indices_are_left_alone():
    table = pd.DataFrame({"v": [1.0, 2.0]}, index=[5, 6])
    assert on_a_clock(table, "x") is table


LONG = """time,sensor,count,rain
2024-01-01 00:00,b,1,0.5
2024-01-01 00:00,a,10,0.5
2024-01-01 01:00,b,2,0.0
2024-01-01 03:00,b,4,0.0
2024-01-01 01:00,a,20,
2024-01-01 02:00,a,30,0.1
2024-01-01 03:00,a,40,0.2
"""


def test_a_long_table_has_a_column_for_each_series_and_gaps_where_it_has_no_row(tmp_path):
    file = tmp_path / "long.csv"
    file.write_text(LONG)
    found = read_series_table(str(file), "test", columns=["count"])
    assert list(found.columns) == ["b", "a"]
    assert found["a"].tolist() == [10, 20, 30, 40]
    assert found["b"].isna().tolist() == [False, False, True, False]
    both = read_series_table(str(file), "test")
    assert list(both.columns) == ["b count", "b rain", "a count", "a rain"]
    assert both["a rain"].isna().tolist() == [False, True, False, False]
    apart = each_column(found)
    assert [list(one.columns) for one in apart] == [["value"], ["value"]]
    assert apart[1]["value"].tolist() == [10, 20, 30, 40]


def test_a_series_with_a_time_twice_and_unknown_columns_of_a_long_table_are_refused(tmp_path):
    file = tmp_path / "long.csv"
    file.write_text(LONG + "2024-01-01 02:00,a,31,0.1\n")
    with pytest.raises(InvalidInputError, match="2024-01-01 02:00:00 again for 'a', in row 8"):
        read_series_table(str(file), "test")
    file.write_text(LONG)
    with pytest.raises(InvalidInputError, match="Did you mean 'count'"):
        read_series_table(str(file), "test", columns=["counts"])


# --- files of other programs ---------------------------------------------------------------------------------


def test_row_numbers_of_pandas_are_no_variable(tmp_path):
    days = pd.date_range("2024-01-01", periods=8, freq="D")
    table = pd.DataFrame({"ds": days, "y": np.arange(8.0)})
    for number, part in enumerate((table, table.iloc[2:])):
        assert list(read(tmp_path, part.to_csv()).columns) == ["y"]
        part.to_parquet(tmp_path / f"{number}.parquet")
        found = read_series_table(str(tmp_path / f"{number}.parquet"), "--context")
        assert (list(found.columns), found.index[0]) == (["y"], part.ds.iloc[0])
    counted = pd.DataFrame({"y": np.arange(4.0)}, index=range(3, 7))
    counted.to_parquet(tmp_path / "steps.parquet")
    found = read_series_table(str(tmp_path / "steps.parquet"), "--context")
    assert (list(found.columns), found.index.tolist()) == (["y"], [3, 4, 5, 6])


@pytest.mark.parametrize(
    ("cells", "first", "last"),
    [
        ([f"{d:02d}.02.2024" for d in range(8, 20)], "2024-02-08", "2024-02-19"),
        ([f"01.{m:02d}.2024" for m in range(1, 9)], "2024-01-01", "2024-08-01"),
        ([f"{d:02d}/02/24 06:30" for d in range(8, 20)], "2024-02-08 06:30", "2024-02-19 06:30"),
        ([f"02/{d:02d}/2024" for d in range(8, 20)], "2024-02-08", "2024-02-19"),
        ([f"01/{m:02d}/{2024 + y}" for y in (0, 1) for m in range(1, 13)], "2024-01-01", "2025-12-01"),
        ([f"{m:02d}/01/{2024 + y}" for y in (0, 1) for m in range(1, 13)], "2024-01-01", "2025-12-01"),
    ],
    ids=["points", "months", "hours", "American", "regular as months", "regular as American months"],
)
def test_the_whole_column_tells_whether_days_come_first(tmp_path, cells, first, last):
    index = read(tmp_path, "date,y\n" + "\n".join(f"{cell},1" for cell in cells)).index
    assert (index[0], index[-1]) == (pd.Timestamp(first), pd.Timestamp(last))
    assert len(index) == len(cells)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (
            [f"01/{m:02d}/2024" for m in range(1, 10)],
            "an unambiguous order of day and month, got '01/02/2024' in row 2, which may be 1 February",
        ),
        (["13/02/2024", "02/14/2024"], "written in one way, got 13/02/2024 and 02/14/2024"),
    ],
)
def test_days_that_may_be_months_are_refused(tmp_path, cells, words):
    with pytest.raises(InvalidInputError, match=words):
        read(tmp_path, "date,y\n" + "\n".join(f"{cell},1" for cell in cells))


def test_semicolons_and_decimal_commas(tmp_path):
    found = read(tmp_path, "date;y\n2024-02-01;1,5\n2024-02-02;2,5\n2024-02-03;\n")
    np.testing.assert_array_equal(found["y"], [1.5, 2.5, np.nan])
