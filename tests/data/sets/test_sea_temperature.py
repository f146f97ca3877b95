"""The series of sea temperatures: its ends, its parts, a file of one's own."""

import pytest

from interpolants.data.bundled import is_there
from interpolants.data.sets.sea_temperature import load_sea_temperature
from interpolants.foundations.errors import InvalidInputError

needs_data = pytest.mark.skipif(
    not is_there(load_sea_temperature), reason="bokeh_sampledata is not installed"
)


@needs_data
def test_the_file_of_the_package():
    every = load_sea_temperature("all").x
    assert tuple(every.shape) == (19226, 2)
    assert every[0].tolist() == [0.0, 4.929]
    assert every[1, 0] == pytest.approx(1 / 48)
    assert every[-1].tolist() == [401.0, 4.316]
    train, test = (load_sea_temperature(part, first=100, days=20, every=4).x for part in ("train", "test"))
    assert float(train[-1, 0]) < float(test[0, 0])
    assert len(train) + len(test) <= 240


def table(tmp_path, text):
    (tmp_path / "sea.csv").write_text(text)
    return {"path": str(tmp_path / "sea.csv")}


def test_a_file_of_ones_own(tmp_path):
    own = table(tmp_path, "time,temperature\n2020-01-02 12:00,5.5\n2020-01-01 00:00,4.5\n")
    found = load_sea_temperature("all", **own)
    assert found.x.tolist() == [[0.0, 4.5], [1.5, 5.5]]
    assert found.info.sha256 == {}


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="a column of times"):
        load_sea_temperature(**table(tmp_path, "a,b\nx,y\n"))
    with pytest.raises(
        InvalidInputError, match=r"a column of times and one of temperatures, got .*No such file"
    ):
        load_sea_temperature(path=str(tmp_path / "none.csv"))
    own = table(tmp_path, "time,temperature\n2020-01-01 00:00,4.5\n")
    with pytest.raises(InvalidInputError, match="none from day 7"):
        load_sea_temperature("all", first=7, **own)
