"""Monthly prices of stocks, as returns in windows of a year."""

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid

STOCKS = BundledFile(
    package="vega_datasets",
    path="vega_datasets/_data/stocks.csv",
    sha256="f9953ac6693e587476b4ebf2f0b00d9bb95371ca8c39da4cc6155077b3e417cd",
    version="0.9.0",
    install="pip install vega_datasets",
)


@packaged(
    STOCKS,
    licence="MIT (package)",
    own="a CSV with the columns symbol, date and price, in the order of time for each symbol",
)
def load_stock_windows(file: Opened, *, window: int = 12, known: int = 6, first: int = 0) -> Found:
    """Log-returns of five stocks by month, 2000 to 2010, cut into windows that are groups: 45 of a year.

    The first months of each window train, its other months are the test.

    Args:
        window: Months of a window; what is left at the end of a stock is dropped.
        known: Months of each window that are the training part.
        first: Months of each stock that are left out before its first window: other windows of the same data.

    Returns:
        ``x`` (N, 2) float64: month in the window, from 0; log-return. Labels: the window.

    Source: vega-datasets.
    """
    whole(file.who, "window", window, at_least=2)
    whole(file.who, "known", known, at_least=1, at_most=window - 1)
    whole(file.who, "first", first, at_least=0)
    windows = _windows(file, window, first)
    label, month = np.indices(windows.shape).reshape(2, -1)
    return Found(
        x=np.stack([month, windows.reshape(-1)], 1),
        labels=label,
        part=np.where(month < known, "train", "test"),
        columns=("month", "log_return"),
    )


def _windows(file: Opened, window: int, first: int) -> NDArray[np.float64]:
    """Log-returns of each stock in windows from some month on, ``(W, window)``."""
    prices: dict[str, list[float]] = {}
    for row in file.rows("symbol", "price"):
        prices.setdefault(row["symbol"], []).append(float(row["price"]))
    returns = [np.diff(np.log(series))[first:] for series in prices.values()]
    cut = [one[: len(one) // window * window].reshape(-1, window) for one in returns]
    found = np.concatenate(cut)
    if not len(found):
        rule = f"a stock must have more than {window + first} months"
        raise invalid(file.who, rule, f"{len(prices)} shorter ones")
    return found
