"""Temperature of the sea at a buoy."""

import csv
import io

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid

BUOY = BundledFile(
    package="bokeh_sampledata",
    path="bokeh_sampledata/_data/sea_surface_temperature.csv.gz",
    sha256="529155ac773634b0dca439781a839487640db92e2bdb597e372a2b0ba0ffbff0",
    version="2026.1",
    install="pip install --no-deps bokeh_sampledata",
)
# Share of the days that are the training part, from the first on.
_TRAIN = 0.8


@packaged(
    BUOY,
    licence="public domain (package: BSD-3)",
    own="a CSV (.csv or .csv.gz) with a column of times and one of temperatures",
)
def load_sea_temperature(file: Opened, *, first: int = 0, days: int = 0, every: int = 1) -> Found:
    """Sea surface temperature off the coast of Maine, half-hourly over 14 months from 15 February 2016, with gaps.

    The first four fifths of the days that are asked for train.

    Args:
        first: First day, counted from the first of the series.
        days: Number of days; 0 for all.
        every: Take each such measurement only.

    Returns:
        ``x`` (N, 2) float64: days since the first measurement, temperature in degrees Celsius.

    Source: buoy B01 of the Northeastern Regional Association of Coastal Ocean Observing Systems.
    """
    for name, value in (("first", first), ("days", days), ("every", every - 1)):
        whole(file.who, name, value, at_least=0)
    table = _table(file.text())
    last = first + days if days else table[-1, 0] + 1
    table = table[(table[:, 0] >= first) & (table[:, 0] < last)][::every]
    if not len(table):
        raise invalid(
            file.who, "the data must have measurements on the requested days", f"none from day {first} on"
        )
    cut = table[0, 0] + _TRAIN * (table[-1, 0] - table[0, 0])
    return Found(x=table, part=np.where(table[:, 0] <= cut, "train", "test"), columns=("day", "temperature"))


def _table(text: str) -> NDArray[np.float64]:
    """Days since the first measurement, and temperatures, in the order of time."""
    rows = list(csv.reader(io.StringIO(text)))[1:]
    times = np.array([np.datetime64(row[0].replace(" ", "T")[:19]) for row in rows])
    values = np.array([float(row[1]) for row in rows])
    order = np.argsort(times, kind="stable")
    days = (times[order] - times[order][0]) / np.timedelta64(1, "D")
    return np.stack([days, values[order]], 1)
