"""Windows of monthly returns: the package's file, a file of one's own, refusals."""

import math

import pytest

from interpolants.data.bundled import is_there
from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.gp.data.stocks import load_stock_windows


@pytest.mark.skipif(not is_there(load_stock_windows), reason="vega_datasets is not installed")
def test_windows_of_the_package():
    every = load_stock_windows("all")
    assert tuple(every.x.shape) == (45 * 12, 2)
    assert every.x[0].tolist() == [0.0, pytest.approx(math.log(36.35 / 39.81))]
    train, test = load_stock_windows("train"), load_stock_windows("test")
    assert len(train.x) == len(test.x) == 45 * 6
    assert sorted(set(test.x[:, 0].tolist())) == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
    assert train.labels.bincount().tolist() == [6] * 45


def own(tmp_path, text):
    (tmp_path / "s.csv").write_text(text)
    return {"path": str(tmp_path / "s.csv")}


def test_a_file_of_ones_own(tmp_path):
    rows = "".join(f"A,2020-0{i + 1}-01,{2.0**i}\n" for i in range(7))
    found = load_stock_windows("all", window=3, known=1, **own(tmp_path, "symbol,date,price\n" + rows))
    assert found.x[:, 1].tolist() == pytest.approx([math.log(2)] * 6)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_windows_begin_some_months_later(tmp_path):
    rows = "".join(f"{s},2020-{i + 1:02}-01,{2.0 ** (i * i)}\n" for s in "AB" for i in range(8))
    later = load_stock_windows(
        "all", window=3, known=1, first=2, **own(tmp_path, "symbol,date,price\n" + rows)
    )
    # The i-th return is (2 i + 1) log 2; the last two of each stock fill no window.
    assert later.x[:, 1].tolist() == pytest.approx([math.log(2) * k for k in (5, 7, 9, 5, 7, 9)])
    with pytest.raises(InvalidInputError, match="more than 9 months"):
        load_stock_windows("all", window=3, known=1, first=6, path=str(tmp_path / "s.csv"))


def test_what_is_no_such_table_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="must have a column symbol, got none"):
        load_stock_windows(**own(tmp_path, "a,b\n1,2\n"))
    with pytest.raises(InvalidInputError, match="more than 12 months"):
        load_stock_windows(**own(tmp_path, "symbol,date,price\nA,2020-01-01,1\n"))
    with pytest.raises(InvalidInputError, match="known"):
        load_stock_windows(window=12, known=12)
