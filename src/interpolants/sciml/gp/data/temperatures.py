"""Hourly climate normals of two cities."""

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged

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


@packaged(
    SEATTLE,
    SAN_FRANCISCO,
    licence="MIT (NOAA data, public domain)",
    own="a folder with seattle-temps.csv and sf-temps.csv, with columns date (2010/01/31 23:00) and temp, such as in "
    "github.com/vega/vega-datasets",
)
def load_city_temperatures(file: Opened) -> Found:
    """Normal temperatures of each hour of a year in Seattle and San Francisco: 2 cities x 364 days x 24 hours.

    Normals are averages over 30 years, so they are smooth. The day on which the clocks go forward has 23 hours in the
    source, and is left out. One row in five is the test, evenly over the days.

    Returns:
        ``x`` (N, 4) float64: city (0 Seattle, 1 San Francisco), day (0 for 1 January), hour (0 to 23), temperature in
        degrees Fahrenheit; labels: the day.

    Source: US National Centers for Environmental Information, hourly normals 1981 to 2010, in vega-datasets.
    """
    x = np.concatenate([_rows(file, one.name, city) for city, one in enumerate((SEATTLE, SAN_FRANCISCO))])
    return Found(x=x, labels=x[:, 1], columns=_COLUMNS)


def _rows(file: Opened, name: str, city: int) -> NDArray[np.float64]:
    """City, day, hour and temperature of the days with 24 hours."""
    table = file.rows("date", "temp", name=name)
    days, hours = np.array([_time(row["date"]) for row in table]).T
    temperature = np.array([float(row["temp"]) for row in table])
    whole = np.bincount(days.astype(int))[days.astype(int)] == _HOURS
    rows = np.stack([np.full(len(days), float(city)), days, hours, temperature], 1)
    return np.ascontiguousarray(rows[whole])


def _time(text: str) -> tuple[float, float]:
    """Day of the year from 0, and hour."""
    date, clock = text.split()
    day = np.datetime64(date.replace("/", "-"))
    return float((day - day.astype("datetime64[Y]")).astype(int)), float(clock.split(":")[0])
