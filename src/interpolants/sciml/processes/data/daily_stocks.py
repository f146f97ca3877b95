"""Daily prices of stocks, as ranges, returns or prices on the calendar of working days."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, DataInfo, Dataset, Split, check_split, reads
from interpolants.data.table_files import rows_of, text_of
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.unpacking import gunzipped, refusing_content

PRICES = BundledFile(
    package="bokeh_sampledata",
    path="bokeh_sampledata/_data/stocks.csv.gz",
    sha256="5abadf99b2d394f920120a27de6f0df129859d71d4cfb0bf661bcc99446ab1fd",
    version="2026.1",
    install="pip install --no-deps bokeh_sampledata",
)
QUANTITIES = ("log_range", "log_return", "log_close")
_TRAIN = 0.8


@reads(PRICES)
def load_daily_stocks(
    split: Split = "train",
    *,
    symbols: Sequence[str] = ("AAPL", "IBM", "MSFT"),
    quantity: str = "log_range",
    path: str = "",
) -> Dataset:
    """Daily stocks from March 2000 to March 2013: 3,270 days of AAPL, IBM and MSFT, 2,148 of GOOG, 196 of FB.

    Args:
        split: ``train`` (the first four fifths of the days), ``test`` or ``all``.
        symbols: Stocks, one column each.
        quantity: ``"log_range"``, ``log log(high / low)``, a noisy measure of the day's volatility; ``"log_return"``
            from one close to the next, adjusted for splits and dividends; or ``"log_close"``, adjusted.
        path: A CSV file (.csv or .csv.gz) with the columns Ticker, Date (2000-03-01), High, Low and Adj Close
            instead of the package's.

    Returns:
        ``x`` (N, symbols) float64 on working days, NaN where the exchange was closed, the stock not listed, or a
        range is 0; the first day and the frequency in ``info``.

    Raises:
        MissingExtraError: If bokeh_sampledata is not installed, and no path is given.
        InvalidInputError: If the file is another one or no such table, a symbol unknown, or for an unknown split.

    Source: bokeh-sampledata. The log range: Parkinson (1980), Journal of Business 53, 61-65.
    """
    who = "load_daily_stocks"
    check_split(who, split)
    one_of(who, "quantity", quantity, QUANTITIES)
    days = _by_day(who, _text(who, path))
    for symbol in symbols:
        if symbol not in days:
            raise invalid(who, "symbols must be of the file", repr(symbol), nearest(symbol, days))
    first = min(min(days[symbol]) for symbol in symbols)
    last = max(max(days[symbol]) for symbol in symbols)
    count = int(np.busday_count(first, last)) + 1
    x = np.stack([_column(days[symbol], first, count, quantity) for symbol in symbols], 1)
    cut = round(_TRAIN * count)
    part = {"train": slice(0, cut), "test": slice(cut, None), "all": slice(None)}[split]
    start = np.busday_offset(first, part.start or 0)
    info = DataInfo(
        name="daily_stocks",
        shape=x[part].shape,
        split=split,
        source=path or f"{PRICES.package} {PRICES.installed_version()}",
        licence="" if path else "public domain (package: BSD-3)",
        sha256={} if path else {Path(PRICES.path).name: PRICES.sha256},
        columns=tuple(symbols),
        start=str(start),
        frequency="B",
    )
    return Dataset(torch.from_numpy(np.ascontiguousarray(x[part])), None, info)


def _text(who: str, path: str) -> str:
    return text_of(who, path) if path else gunzipped(who, PRICES.path, PRICES.read(who)).decode("utf-8")


Day = tuple[float, float, float]


def _by_day(who: str, text: str) -> dict[str, dict[np.datetime64, Day]]:
    """High, low and adjusted close by symbol and day."""
    found: dict[str, dict[np.datetime64, Day]] = {}
    rule = "the file must have columns Ticker, Date, High, Low and Adj Close"
    with refusing_content(who, rule):
        for row in rows_of(who, text, rule):
            day = (float(row["High"]), float(row["Low"]), float(row["Adj Close"]))
            found.setdefault(row["Ticker"], {})[np.datetime64(row["Date"], "D")] = day
    return found


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
