import math

import numpy as np
import pytest

from interpolants.data.bundled import is_there
from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes.data.daily_stocks import load_daily_stocks
from interpolants.sciml.processes.data.nile import load_nile

nile = pytest.mark.skipif(not is_there(load_nile), reason="statsmodels is not installed")
stocks = pytest.mark.skipif(not is_there(load_daily_stocks), reason="bokeh_sampledata is not installed")


@nile
def test_the_nile_has_its_published_volumes_and_years():
    pytest.importorskip("pandas")
    data = load_nile("all")
    assert (float(data.x[0]), float(data.x[-1]), float(data.x.mean())) == (1120, 740, 919.35)
    table = data.table()
    assert (table.index[0].year, table.index[-1].year, len(table)) == (1871, 1970, 100)
    assert load_nile("test").info.start == "1951-01-01"


@stocks
def test_ranges_returns_and_holidays():
    x = load_daily_stocks("all", symbols=("AAPL",)).x[:, 0]
    assert float(x[0]) == pytest.approx(math.log(math.log(132.06 / 118.5)))  # 1 March 2000
    good_friday = int(np.busday_count("2000-03-01", "2000-04-21"))
    assert math.isnan(float(x[good_friday]))
    assert int(np.isfinite(x.numpy()).sum()) == 3270
    returns = load_daily_stocks("all", symbols=("AAPL",), quantity="log_return").x[:, 0]
    assert math.isnan(float(returns[0]))
    assert float(returns[1]) == pytest.approx(math.log(3.9196750983419 / 4.186662803811))
    train, test = load_daily_stocks("train"), load_daily_stocks("test")
    assert len(train.x) + len(test.x) == len(x)
    assert np.busday_offset(train.info.start, len(train.x)) == np.datetime64(test.info.start)


def test_files_of_ones_own_and_refusals(tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("Ticker,Date,High,Low,Adj Close\nX,2024-01-05,3,2,2.5\nX,2024-01-08,2,2,2.4\n")
    x = load_daily_stocks("all", symbols=("X",), path=str(mine)).x[:, 0]  # a weekend lies between
    assert float(x[0]) == pytest.approx(math.log(math.log(1.5)))
    assert math.isnan(float(x[1]))
    with pytest.raises(InvalidInputError, match="symbols must be of the file, got 'Y'"):
        load_daily_stocks("all", symbols=("Y",), path=str(mine))
    with pytest.raises(InvalidInputError, match="must have a column year, got none"):
        load_nile("all", path=str(mine))
    mine.write_text("year,volume\n" + "".join(f"{1900 + 2 * k},1\n" for k in range(90)))
    with pytest.raises(InvalidInputError, match="years must follow each other"):
        load_nile("all", path=str(mine))
