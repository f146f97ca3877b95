"""Hourly climate normals of two cities."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, Dataset, Split, assemble, check_split, reads
from interpolants.data.table_files import rows_of, text_of
from interpolants.foundations.unpacking import refusing_content

SEATTLE = BundledFile(
    package="vega_datasets",
    path="vega_datasets/_data/seattle-temps.csv",
    sha256="c220666521ff4bec4ffb6f0d9acfdc5c1056564b1aad6f78d3b06aa0a0c8b085",
    version="0.9.0",
    install="pip install vega_datasets",
)
SAN_FRANCISCO = BundledFile(
    package="vega_datasets",
    path="vega_datasets/_data/sf-temps.csv",
    sha256="3f91699707cfed43ef551394bebef4c2ebe5505157b9be7bff9558eea2fbaaec",
    version="0.9.0",
    install="pip install vega_datasets",
)
_CITIES = ("Seattle", "San Francisco")
_COLUMNS = ("city", "day", "hour", "temperature")
_HOURS = 24


@reads(SEATTLE)
def load_city_temperatures(split: Split = "train", *, path: str = "") -> Dataset:
    """Normal temperatures of each hour of a year in Seattle and San Francisco: 2 cities x 364 days x 24 hours.

    Normals are averages over 30 years, so they are smooth. The day on which the clocks go forward has 23 hours in the
    source, and is left out.

    Args:
        split: ``train`` (four rows in five, evenly over the days), ``test`` or ``all``.
        path: Folder with ``seattle-temps.csv`` and ``sf-temps.csv`` from elsewhere, such as a checkout of
            github.com/vega/vega-datasets; their hashes are not checked.

    Returns:
        ``x`` (N, 4) float64: city (0 Seattle, 1 San Francisco), day (0 for 1 January), hour (0 to 23), temperature in
        degrees Fahrenheit; labels: the day.

    Raises:
        MissingExtraError: If vega_datasets is not installed, and no path is given.
        InvalidInputError: If a file is another one or no such table, or for an unknown split.

    Source: US National Centers for Environmental Information, hourly normals 1981 to 2010, in vega-datasets.
    """
    who = "load_city_temperatures"
    check_split(who, split)
    rows = []
    for city, file in enumerate((SEATTLE, SAN_FRANCISCO)):
        text = _text(who, Path(path) / Path(file.path).name) if path else file.read(who).decode("utf-8")
        rows.append(_rows(who, text, city))
    x = np.concatenate(rows)
    return assemble(
        "city_temperatures",
        x,
        x[:, 1],
        split=split,
        files=[SEATTLE, SAN_FRANCISCO],
        licence="MIT (NOAA data, public domain)",
        path=path,
        columns=_COLUMNS,
        dtype=np.float64,
    )


def _text(who: str, file: Path) -> str:
    return text_of(who, file, f"path must be a folder with {file.name}")


def _rows(who: str, text: str, city: int) -> NDArray[np.float64]:
    """City, day, hour and temperature of the days with 24 hours."""
    rule = "the files must have columns date (2010/01/31 23:00) and temp"
    table = rows_of(who, text, rule)
    with refusing_content(who, rule):
        times = np.array([_time(row["date"]) for row in table])
        temperature = np.array([float(row["temp"]) for row in table])
    days, hours = times.T
    whole = np.bincount(days.astype(int))[days.astype(int)] == _HOURS
    rows = np.stack([np.full(len(days), float(city)), days, hours, temperature], 1)
    return np.ascontiguousarray(rows[whole])


def _time(text: str) -> tuple[float, float]:
    """Day of the year from 0, and hour."""
    date, clock = text.split()
    day = np.datetime64(date.replace("/", "-"))
    return float((day - day.astype("datetime64[Y]")).astype(int)), float(clock.split(":")[0])
