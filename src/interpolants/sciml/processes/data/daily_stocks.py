"""Daily prices of stocks, as ranges, returns or prices on the calendar of working days."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid, nearest

PRICES = BundledFile(
    package="bokeh_sampledata",
    path="bokeh_sampledata/_data/stocks.csv.gz",
    sha256="5abadf99b2d394f920120a27de6f0df129859d71d4cfb0bf661bcc99446ab1fd",
    version="2026.1",
    install="pip install --no-deps bokeh_sampledata",
)
QUANTITIES = ("log_range", "log_return", "log_close")
_TRAIN = 0.8


@packaged(
    PRICES,
    licence="public domain (package: BSD-3)",
    own="a CSV (.csv or .csv.gz) with the columns Ticker, Date (2000-03-01), High, Low and Adj Close",
)
def load_daily_stocks(
    file: Opened, *, symbols: Sequence[str] = ("AAPL", "IBM", "MSFT"), quantity: str = "log_range"
) -> Found:
    """Daily stocks from March 2000 to March 2013: 3,270 days of AAPL, IBM and MSFT, 2,148 of GOOG, 196 of FB.

    The first four fifths of the days train.

    Args:
        symbols: Stocks, one column each.
        quantity: ``"log_range"``, ``log log(high / low)``, a noisy measure of the day's volatility; ``"log_return"``
            from one close to the next, adjusted for splits and dividends; or ``"log_close"``, adjusted.

    Returns:
        ``x`` (N, symbols) float64 on working days, NaN where the exchange was closed, the stock not listed, or a
        range is 0; the first day and the frequency in ``info``.

    Source: bokeh-sampledata. The log range: Parkinson (1980), Journal of Business 53, 61-65.
    """
    one_of(file.who, "quantity", quantity, QUANTITIES)
    days: dict[str, dict[np.datetime64, Day]] = {}
    for row in file.rows("Ticker", "Date", "High", "Low", "Adj Close"):
        day = (float(row["High"]), float(row["Low"]), float(row["Adj Close"]))
        days.setdefault(row["Ticker"], {})[np.datetime64(row["Date"], "D")] = day
    for symbol in symbols:
        if symbol not in days:
            raise invalid(file.who, "symbols must be of the file", repr(symbol), nearest(symbol, days))
    first = min(min(days[symbol]) for symbol in symbols)
    last = max(max(days[symbol]) for symbol in symbols)
    count = int(np.busday_count(first, last)) + 1
    x = np.stack([_column(days[symbol], first, count, quantity) for symbol in symbols], 1)
    return Found(
        x=x,
        part=np.where(np.arange(count) < round(_TRAIN * count), "train", "test"),
        columns=tuple(symbols),
        times=np.busday_offset(first, np.arange(count)),
        frequency="B",
    )


Day = tuple[float, float, float]


def _column(
    days: Mapping[np.datetime64, Day], first: np.datetime64, count: int, quantity: str
) -> NDArray[np.float64]:
    """One stock on working days, NaN where there is no price."""
    x = np.full(count, np.nan)
    before = math.nan
    for day in sorted(days):
        high, low, close = days[day]
        at = int(np.busday_count(first, day))
        if quantity == "log_range" and high > low > 0:
            x[at] = math.log(math.log(high / low))
        elif quantity != "log_range" and close > 0:
            x[at] = math.log(close) - (before if quantity == "log_return" else 0.0)
            before = math.log(close)
    return x
