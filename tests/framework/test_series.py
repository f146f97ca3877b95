"""Series: a clock, gaps and columns in; dates out."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import AssumptionWarning
from interpolants.framework import stored
from interpolants.framework.answers import Ensemble
from interpolants.framework.role import Role
from interpolants.framework.roles import read, take
from interpolants.framework.series import STEPS, Series, dates
from interpolants.framework.task import Split, Task, rolling
from interpolants.methods.parts.series import on_one_clock

ROLE = Role(name="series", kind="series", axis="time", gaps=True)
MONTHS = pd.date_range("2000-01-01", periods=6, freq="MS")


def one(value, role=ROLE, before=None):
    data, came = read((role,), {role.name: value}, "fit", before=before)
    return data[role.name], came[role.name]


def test_a_dated_table_becomes_values_gaps_and_seconds_of_the_calendar():
    table = pd.DataFrame({"a": [1.0, np.nan, 3, 4, 5, 6], "b": range(6)}, index=MONTHS)
    series, given = one(table)
    assert series.values.dtype == torch.float64
    assert series.values[:2].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert series.seen[:, 0].tolist() == [True, False, True, True, True, True]
    assert series.columns == ("a", "b")
    assert (series.clock, series.frequency) == ("dates", "MS")
    # 2000-01-01 is 10957 days after 1970-01-01; February 2000 had 29 days.
    assert series.times[:3].tolist() == [86400.0 * (10957 + d) for d in (0, 31, 60)]
    back = series.in_kind(given)
    table.index = table.index.as_unit("us")  # pandas 2 makes dates of nanoseconds
    pd.testing.assert_frame_equal(back, table.astype(float), check_freq=False)


@pytest.mark.parametrize(
    ("frequency", "zone"),
    [
        ("D", None),
        ("MS", None),
        ("ME", None),
        ("B", None),
        ("h", "Europe/Berlin"),
        ("W-SUN", None),
        ("500ms", None),
    ],
)
def test_later_times_are_those_of_the_calendar(frequency, zone):
    """Against pandas' own range; hours of Berlin cross the change of the clocks."""
    whole = pd.date_range("2021-03-27", periods=60, freq=frequency, tz=zone)
    series, _ = one(pd.Series(np.arange(40.0), index=whole[:40]))
    assert series.clock == (zone or "dates")
    assert dates(series.after(20), series.clock).equals(whole[40:].as_unit("us"))
    assert dates(series.times, series.clock).equals(whole[:40].as_unit("us"))


def test_every_way_to_say_the_clock_gives_the_same_series():
    values = np.arange(6.0)
    ways = [
        pd.Series(values, index=MONTHS),
        pd.Series(values, index=pd.period_range("2000-01", periods=6, freq="M")),
        pd.DataFrame({"month": MONTHS, "v": values}),
    ]
    times = [one(way)[0] for way in ways]
    for series in times:
        assert torch.equal(series.times, times[0].times)
        assert series.frequency == "MS"
        assert series.values[:, 0].tolist() == values.tolist()


def test_arrays_count_steps_and_come_back_with_gaps():
    array = np.ma.MaskedArray([1.0, 2.0, 3.0], mask=[False, True, False])
    series, given = one(array)
    assert (series.clock, series.times.tolist()) == ("steps", [0.0, 1.0, 2.0])
    assert series.after(2).tolist() == [3.0, 4.0]
    np.testing.assert_array_equal(series.in_kind(given), [1.0, np.nan, 3.0])
    late, _ = one(pd.Series([1.0, 2.0], index=[7, 8]))
    assert late.after(1).tolist() == [9.0]


def test_xarray_brings_its_axis_of_dates():
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(
        np.arange(12.0).reshape(2, 6), dims=("place", "time"), coords={"time": MONTHS, "place": ["p", "q"]}
    )
    series, _ = one(array)
    assert series.values[1].tolist() == [1.0, 7.0]
    assert (series.columns, series.frequency) == (("p", "q"), "MS")
    with pytest.raises(InvalidInputError, match="at most one other, got axes time, y, x"):
        one(xarray.DataArray(np.zeros((2, 2, 2)), dims=("time", "y", "x")))


def test_many_series_are_a_list():
    series, given = one([np.zeros(5), np.ones(7)])
    assert [len(s) for s in series] == [5, 7]
    assert given.container == "numpy"
    assert len(one(np.zeros((3, 4, 2)))[0]) == 3
    with pytest.raises(InvalidInputError, match=r"one clock and as many columns, got.*\[1, 2\] columns"):
        one([np.zeros(5), np.zeros((5, 2))])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            pd.Series(range(4), index=MONTHS[[0, 1, 3, 4]]),
            r"regularly, got a step of 60 days.*after 2000-02-01 00:00:00, to row 3",
        ),
        (
            pd.Series(range(4), index=MONTHS[:4][::-1]),
            r"dates of series must be strictly increasing, .*in row 2.*sort_index",
        ),
        (
            pd.Series(range(4), index=MONTHS[[0, 1, 1, 2]]),
            r"must be strictly increasing, got 2000-02-01 00:00:00 twice, again in row 3.*tz_localize",
        ),
        (pd.Series(range(2), index=pd.DatetimeIndex(MONTHS[:2].to_numpy())), "got 2 dates"),
        (pd.Series(range(3), index=[0, 1, 5]), "steps of series must follow each other"),
        (pd.Series(range(3), index=[0.0, 0.1, 0.2]), "dates or whole steps"),
        (pd.DataFrame({"a": MONTHS, "b": MONTHS, "c": 1.0}), r"one column of dates, got \['a', 'b'\]"),
        (np.array([1.0, np.inf]), "series must be finite"),
        (np.zeros((2, 2, 2, 2)), r"must be \(T,\) or \(T, C\)"),
        ([], "must contain series"),
    ],
)
def test_what_is_no_clock_is_refused_with_a_remedy(value, words):
    with pytest.raises(InvalidInputError, match=words):
        one(value)


def test_gaps_are_refused_where_the_role_has_none():
    with pytest.raises(InvalidInputError, match="no gaps, got 1 values"):
        one(np.array([1.0, np.nan]), Role(name="series", kind="series", axis="time"))


def test_a_context_is_read_on_the_clock_of_the_fit_however_short_it_is():
    table = pd.DataFrame({"a": np.arange(6.0), "b": np.arange(6.0)}, index=MONTHS)
    _, given = one(table)
    late = table.iloc[2:4][["b", "a"]] * [1, 10]
    late.index = pd.DatetimeIndex(list(late.index))  # two dates, which do not show their frequency
    short, _ = one(late, before={"series": given})
    assert (short.frequency, short.columns) == ("MS", ("a", "b"))
    assert short.values.tolist() == [[20.0, 2.0], [30.0, 3.0]]
    daily = table.set_index(pd.date_range("2000-01-01", periods=6))
    with pytest.raises(InvalidInputError, match=r"clock of the fit, dates with frequency 'MS'.*got.*'D'"):
        one(daily, before={"series": given})
    with pytest.raises(InvalidInputError, match="got steps without dates"):
        one(table.to_numpy(), before={"series": given})
    with pytest.raises(InvalidInputError, match="columns of the fit, got none named 'a'"):
        one(table[["b"]], before={"series": given})


def test_a_dated_table_as_rows_is_warned_about():
    table = pd.DataFrame({"a": np.arange(6.0)}, index=MONTHS)
    rows = Role(name="x")
    with pytest.warns(AssumptionWarning, match=r"x has dates for its index.*reset_index"):
        one(table, rows)
    one(table.reset_index(drop=True), rows)
    with pytest.raises(InvalidInputError, match="numeric columns"):
        one(table.reset_index(), rows)


def test_a_series_is_split_by_time_and_windows_roll_behind_the_cut():
    table = pd.DataFrame({"a": np.arange(20.0)}, index=pd.date_range("2020", periods=20))
    task = Task.of((ROLE,), {"series": table}, Split(by="time", test=5, held=0.15))
    assert [len(task.part(p)["series"]) for p in ("train", "held", "test")] == [12, 3, 5]
    pd.testing.assert_frame_equal(task.test["series"], table.iloc[15:])
    assert one(task.test["series"])[0].frequency == "D"
    windows = [(table.iloc[a], table.iloc[b]) for a, b in rolling(20, 15, context=4, horizon=2, origins=4)]
    assert [int(past["a"].iloc[-1]) for past, _ in windows] == [14, 15, 16, 17]
    series, _ = one(table)
    for (a, b), (past, future) in zip(rolling(20, 15, 4, 2, 4), windows, strict=True):
        assert torch.equal(series[a].values[:, 0], torch.from_numpy(past["a"].to_numpy(copy=True)))
        assert torch.equal(dates_of(series[b]), dates_of(one(future, before={"series": one(table)[1]})[0]))
    with pytest.raises(InvalidInputError, match="one series, series, must be split by time, got 'random'"):
        Task.of((ROLE,), {"series": table})


def dates_of(series):
    return series.times


@pytest.mark.parametrize("many", [[np.arange(10.0), np.arange(10.0, 20)], np.arange(20.0).reshape(2, 10, 1)])
def test_many_series_are_each_cut_in_time_or_are_rows(many):
    task = Task.of((ROLE,), {"series": many}, Split(by="time", test=4))
    assert [np.ravel(part).tolist() for part in task.test["series"]] == [[6, 7, 8, 9], [16, 17, 18, 19]]
    apart = Task.of((ROLE,), {"series": many}, Split(test=1))
    assert len(apart.test["series"]) == len(apart.train["series"]) == 1
    with pytest.raises(InvalidInputError, match="equally long"):
        Task.of((ROLE,), {"series": [np.zeros(3), np.zeros(4)]}, Split(by="time", test=1))


def test_the_summary_of_an_ensemble_has_quantiles_and_dates():
    series, _ = one(pd.Series(np.arange(6.0), index=MONTHS))
    x = torch.arange(5.0).double().reshape(1, 5, 1, 1) + 10 * torch.arange(3.0).reshape(1, 1, 3, 1)
    given = {"dims": ("time", "feature"), "times": series.after(3), "clock": series.clock}
    table = Ensemble(x=x, columns=("a",), **given).summary((0.25, 0.5))
    assert list(table.columns) == ["0.25", "0.5"]
    assert table["0.25"].tolist() == [1.0, 11.0, 21.0]
    assert table.index.equals(pd.date_range("2000-07-01", periods=3, freq="MS").as_unit("us"))
    wide = Ensemble(x=x.expand(2, 5, 3, 2), columns=("a", "b"), **given).summary()
    assert (wide.index.names, wide.columns.nlevels, wide.shape) == (["case", "time"], 2, (6, 10))
    with pytest.raises(InvalidInputError, match="axis of time"):
        Ensemble(x=x[..., 0]).summary()


def test_an_ensemble_on_a_clock_has_dates_in_its_table(tmp_path):
    series, _ = one(pd.Series(np.arange(6.0), index=MONTHS))
    x = torch.arange(12.0).double().reshape(1, 2, 6, 1)
    answer = Ensemble(
        x=x, dims=("time", "feature"), times=series.after(6), clock=series.clock, columns=("a",)
    )
    table = answer.table()
    assert table.index.names == ["case", "member", "time"]
    assert list(table.index.get_level_values("time")[:6]) == list(
        pd.date_range("2000-07-01", periods=6, freq="MS")
    )
    assert table["a"].tolist() == list(range(12))
    plain = Ensemble(x=x, dims=("time", "feature"), times=torch.arange(6.0)).table()
    assert list(plain.index.get_level_values("time")[:3]) == [0, 1, 2]
    back = stored.read(stored.write(tmp_path / "t", {"answer": answer, "series": series}))
    assert back["answer"].table().equals(table)
    assert_close(back["series"].after(2), series.after(2))
    assert isinstance(take(series, slice(2)), Series)


# --- data of other programs ----------------------------------------------------------------------------------


def test_tables_of_many_series_have_the_columns_of_the_first_in_its_order():
    table = pd.DataFrame({"a": np.arange(6.0), "b": -np.arange(6.0)}, index=MONTHS)
    first, second = one([table, table[["b", "a"]]])[0]
    assert_close(first.values, second.values)
    with pytest.raises(InvalidInputError, match="must have the columns a, b, got a, c in series 1"):
        one([table, table.rename(columns={"b": "c"})])
    several = one([table[["a"]], table[["b"]]])[0]  # series of one column have names of their own
    assert [part.columns for part in several] == [("a",), ("b",)]
    assert on_one_clock(torch.zeros(2, 3, 4, 1), several, 4).columns == ()
    assert on_one_clock(torch.zeros(2, 3, 4, 2), [first, second], 4).columns == ("a", "b")


def test_what_follows_series_that_end_at_different_times_is_counted_in_steps():
    apart = on_one_clock(torch.zeros(2, 3, 4, 1), one([np.arange(6.0), np.arange(5.0)])[0], 4)
    assert (apart.clock, apart.times.tolist()) == (STEPS, [1, 2, 3, 4])
    together = on_one_clock(torch.zeros(2, 3, 4, 1), one([np.arange(6.0), np.zeros(6)])[0], 4)
    assert together.times.tolist() == [6, 7, 8, 9]


def test_a_dataset_has_a_column_for_each_variable():
    xarray = pytest.importorskip("xarray")
    table = pd.DataFrame({"a": np.arange(6.0), "b": -np.arange(6.0)}, index=MONTHS)
    data = xarray.Dataset({name: ("time", table[name].to_numpy()) for name in ("b", "a")}, {"time": MONTHS})
    plain, given = one(table)
    assert_close(one(data, before={"series": given})[0].values, plain.values)
    with pytest.raises(
        InvalidInputError, match=r"must have one axis, their times, got a .time.; b .time, place."
    ):
        one(data.assign(b=data.b.expand_dims(place=2, axis=1))[["a", "b"]])


def test_dates_of_another_zone_are_brought_to_that_of_the_fit():
    hours = pd.date_range("2024-03-30 22:00", periods=8, freq="h", tz="Europe/London")
    table = pd.DataFrame({"v": np.arange(8.0)}, index=hours)
    fitted, given = one(table)
    asked, _ = one(table.tz_convert("UTC"), before={"series": given})
    assert_close(asked.times, fitted.times)
    assert asked.clock == "Europe/London"
    with pytest.raises(InvalidInputError, match="Set the time zone"):
        one(table.tz_convert("UTC").tz_localize(None), before={"series": given})
    with pytest.raises(InvalidInputError, match="Pass a table with dates"):
        one(table.to_numpy(), before={"series": given})


def test_a_column_of_times_as_numbers_is_no_variable():
    table = pd.DataFrame({"timestamp": 1.7e9 + 3600 * np.arange(6), "v": np.arange(6.0)})
    with pytest.raises(
        InvalidInputError, match="must be dates, or the index, got numbers in column 'timestamp'"
    ):
        one(table)
    assert one(table.assign(timestamp=[3, 1, 2, 5, 4, 6]))[0].columns == ("timestamp", "v")
    table.index = MONTHS
    assert one(table)[0].columns == ("timestamp", "v")


def test_series_that_end_at_different_times_are_forecast_at_steps_ahead():
    many = [
        Series(
            values=torch.zeros(n, 1), seen=torch.ones(n, 1, dtype=torch.bool), times=torch.arange(n).double()
        )
        for n in (5, 7)
    ]
    found = on_one_clock(torch.zeros(2, 4, 3, 1), many, 3)
    assert (found.times.tolist(), found.clock) == ([1, 2, 3], "steps")
    assert on_one_clock(torch.zeros(2, 4, 3, 1), many[:1] * 2, 3).times.tolist() == [5, 6, 7]
