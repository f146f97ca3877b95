"""Electricity demand: the values of the package, their times, and a copy of one's own."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

from interpolants.data.sets.demand import TAYLOR, load_electricity_demand
from interpolants.foundations.errors import InvalidInputError, MissingExtraError


@pytest.fixture(scope="module")
def whole():
    try:
        return load_electricity_demand("all")
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_values_and_times(whole):
    x = whole.x[:, 0]
    assert x.shape == (4032,)
    assert x[:4].tolist() == [22262, 21756, 22247, 22759]
    assert x[-2:].tolist() == [24610, 23132]
    table = whole.table()
    assert str(table.index[0]) == "2000-06-05 00:00:00"
    assert table.index[0].day_name() == "Monday"
    assert str(table.index[-1]) == "2000-08-27 23:30:00"


def test_weekends_are_low_so_the_dates_are_right(whole):
    table = whole.table()
    by_day = table["demand"].groupby(table.index.day_of_week).mean()
    assert by_day.nsmallest(2).index.tolist() == [6, 5]


def test_the_split_is_by_time_and_hours_are_means_of_two(whole):
    train, test = (load_electricity_demand(part, hourly=True) for part in ("train", "test"))
    assert (len(train.x), len(test.x)) == (1512, 504)
    assert torch.equal(torch.cat([train.x, test.x])[:, 0], whole.x.reshape(-1, 2).mean(1))
    assert str(test.table().index[0]) == "2000-08-07 00:00:00"
    assert (train.table().index[-1] + train.table().index.freq) == test.table().index[0]


@pytest.mark.parametrize("header", ["", '"x"\n'])
def test_a_copy_from_elsewhere(whole, tmp_path, header):
    file = tmp_path / "taylor.csv"
    file.write_text(header + "\n".join(str(int(v)) for v in whole.x[:, 0]) + "\n")
    assert torch.equal(load_electricity_demand("all", path=str(file)).x, whole.x)
    file.write_text("1\n2\n")
    with pytest.raises(InvalidInputError, match=r"must contain 4032 numbers, one per line, got 2 words"):
        load_electricity_demand(path=str(file))
    with pytest.raises(InvalidInputError, match=r"path must be a text file with .*No such file"):
        load_electricity_demand(path=str(tmp_path / "none"))


def test_the_expression_that_the_packages_own_loader_returns(whole):
    source = ast.parse(Path(TAYLOR.locate()).read_text("utf-8"))
    load = next(node for node in source.body if isinstance(node, ast.FunctionDef))
    call = ast.unparse(load).partition("rslt = ")[2].partition(".astype")[0]
    np.testing.assert_array_equal(eval(call, {"np": np}), whole.x[:, 0].numpy())


def test_times_may_come_as_a_column():
    pytest.importorskip("pmdarima")
    found = load_electricity_demand("test", hourly=True, times=True)
    assert found.info.columns == ("day", "demand")
    assert found.x[0, 0] == 63.0
    assert found.x[1, 0] == pytest.approx(63 + 1 / 24)
    assert found.x[:, 1].float().tolist() == load_electricity_demand("test", hourly=True).x[:, 0].tolist()
