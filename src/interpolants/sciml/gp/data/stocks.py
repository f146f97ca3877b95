"""Monthly prices of stocks, as returns in windows of a year."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, DataInfo, Dataset, Split, check_split, reads
from interpolants.data.table_files import rows_of, text_of
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.unpacking import refusing_content

STOCKS = BundledFile(
    package="vega_datasets",
    path="vega_datasets/_data/stocks.csv",
    sha256="f9953ac6693e587476b4ebf2f0b00d9bb95371ca8c39da4cc6155077b3e417cd",
    version="0.9.0",
    install="pip install vega_datasets",
)
_COLUMNS = ("month", "log_return")


@reads(STOCKS)
def load_stock_windows(
    split: Split = "train", *, window: int = 12, known: int = 6, first: int = 0, path: str = ""
) -> Dataset:
    """Log-returns of five stocks by month, 2000 to 2010, cut into windows that are groups: 45 of a year.

    Args:
        split: ``train`` (the first months of each window), ``test`` (its other months) or ``all``.
        window: Months of a window; what is left at the end of a stock is dropped.
        known: Months of each window that are the training part.
        first: Months of each stock that are left out before its first window: other windows of the same data.
        path: A CSV file with the columns symbol, date (``Jan 1 2000`` or ``2000-01-01``) and price instead of the
            package's, in the order of time for each symbol.

    Returns:
        ``x`` (N, 2) float64: month in the window, from 0; log-return. Labels: the window.

    Raises:
        MissingExtraError: If vega_datasets is not installed, and no path is given.
        InvalidInputError: If the file is another one or no such table, or for an unknown split.

    Source: vega-datasets.
    """
    who = "load_stock_windows"
    check_split(who, split)
    whole(who, "window", window, at_least=2)
    whole(who, "known", known, at_least=1, at_most=window - 1)
    whole(who, "first", first, at_least=0)
    windows = _windows(who, _text(who, path), window, first)
    months = np.broadcast_to(np.arange(window, dtype=np.float64), windows.shape)
    labels = np.broadcast_to(np.arange(len(windows))[:, None], windows.shape)
    part = {"train": months < known, "test": months >= known, "all": months >= 0}[split]
    x = torch.from_numpy(np.stack([months[part], windows[part]], 1))
    info = DataInfo(
        name="stock_windows",
        shape=tuple(x.shape),
        split=split,
        source=path or f"{STOCKS.package} {STOCKS.installed_version()}",
        licence="" if path else "MIT (package)",
        sha256={} if path else {Path(STOCKS.path).name: STOCKS.sha256},
        columns=_COLUMNS,
    )
    return Dataset(x, torch.from_numpy(labels[part].copy()), info)


def _text(who: str, path: str) -> str:
    return text_of(who, path) if path else STOCKS.read(who).decode("utf-8")


def _windows(who: str, text: str, window: int, first: int) -> NDArray[np.float64]:
    """Log-returns of each stock in windows from some month on, ``(W, window)``."""
    prices: dict[str, list[float]] = {}
    rule = "the file must have columns symbol, date and price"
    with refusing_content(who, rule):
        for row in rows_of(who, text, rule):
            prices.setdefault(row["symbol"], []).append(float(row["price"]))
    returns = [np.diff(np.log(series))[first:] for series in prices.values()]
    cut = [one[: len(one) // window * window].reshape(-1, window) for one in returns]
    found = np.concatenate(cut) if cut else np.empty((0, window))
    if not len(found):
        raise invalid(
            who, f"a stock must have more than {window + first} months", f"{len(prices)} shorter ones"
        )
    return found
