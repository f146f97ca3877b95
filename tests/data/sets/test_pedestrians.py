import numpy as np
import pytest
import torch

from interpolants.data.sets.pedestrians import COUNTS, load_pedestrian_counts, without_dead
from interpolants.foundations.errors import InvalidInputError

HEAD = "date,hour,year,A,B\n"
needs_package = pytest.mark.skipif(COUNTS.locate() is None, reason=COUNTS.install)


def small(tmp_path, lines):
    file = tmp_path / "hourly_counts.csv"
    file.write_text(HEAD + "\n".join(lines) + "\n", "utf-8")
    return str(file)


def test_small_hours_belong_to_the_next_date_and_missing_hours_are_gaps(tmp_path):
    path = small(tmp_path, ["2019-01-01,6:00-6:59,2019,4.0,", "2019-01-01,23:00-23:59,2019,5.0,1.0",
                            "2019-01-01,0:00-0:59,2019,6.0,2.0", "2019-01-02,6:00-6:59,2019,7.0,3.0",
                            "2019-01-02,6:00-6:59,2019,9.0,"])  # fmt: skip
    found = load_pedestrian_counts(path=path)
    assert found.info.start == "2019-01-01T06"
    assert found.info.columns == ("A", "B")
    assert found.x[[0, 17, 18, 24], 0].tolist() == [4.0, 5.0, 6.0, 8.0]
    assert found.x[[17, 18, 24], 1].tolist() == [1.0, 2.0, 3.0]
    assert torch.isnan(found.x[0, 1])
    assert torch.isnan(found.x[1]).all()
    assert len(load_pedestrian_counts("all", path=path).x) == 61_368
    assert load_pedestrian_counts(path=path, sensors=["B"]).x.shape[1] == 1


def test_runs_of_zeros_are_gaps_where_they_are_long():
    x = np.array([[0.0], [0.0], [3.0], [0.0], [0.0], [0.0], [1.0]])
    assert np.isnan(without_dead(x, 3)[:, 0]).tolist() == [False] * 3 + [True] * 3 + [False]
    assert np.array_equal(without_dead(x, 0), x)


@pytest.mark.parametrize(
    "lines",
    [["2019-01-01,six,2019,1,1"], ["yesterday,6:00-6:59,2019,1,1"], ["2019-01-01,6:00-6:59,2019,x,1"]],
)
def test_other_files_are_refused(tmp_path, lines):
    with pytest.raises(InvalidInputError, match="path must be a CSV with the columns date"):
        load_pedestrian_counts(path=small(tmp_path, lines))


def test_unknown_sensors_and_files_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="sensors must be names of the data, got 'C'"):
        load_pedestrian_counts(path=small(tmp_path, ["2019-01-01,6:00-6:59,2019,1,1"]), sensors=["C"])
    with pytest.raises(InvalidInputError, match=r"path must be a CSV with the columns date .*No such file"):
        load_pedestrian_counts(path=str(tmp_path / "none.csv"))


@pytest.mark.slow
@needs_package
def test_busy_nights_are_those_after_friday_and_saturday():
    found = load_pedestrian_counts("all")
    table = found.table()
    nights = table[table.index.hour == 1]["205 Queen Street"]
    by_day = nights.groupby(nights.index.day_of_week).mean()
    assert set(by_day.nlargest(2).index) == {5, 6}  # Saturday and Sunday, one o'clock in the morning
    share = found.x.isnan().double().mean()
    assert 0.05 < share < 0.06
