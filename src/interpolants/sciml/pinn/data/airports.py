"""Places of airports of the United States: where real sensors stand."""

import numpy as np

from interpolants.data.packaged import Found, Opened, packaged
from interpolants.data.sets.directions import AIRPORTS
from interpolants.foundations.errors import invalid

_COLUMNS = ("longitude", "latitude")
# The contiguous states: west, east, south, north.
_CONTIGUOUS = (-125.0, -66.0, 24.0, 50.0)


@packaged(
    AIRPORTS,
    licence="MIT (FAA data, public domain)",
    own="a copy of airports.csv, with columns longitude, latitude and state, such as in github.com/vega/vega-datasets",
)
def load_us_airports(file: Opened, *, south: float = 24.0, north: float = 50.0, state: str = "") -> Found:
    """Longitude and latitude of the airports of the contiguous United States: dense in the east, sparse in the west.

    One in five is the test.

    Args:
        south: Least latitude, in degrees.
        north: Latitude below which they lie, in degrees.
        state: Two letters of a state; all if empty.

    Returns:
        ``x`` (N, 2) float64: longitude and latitude in degrees, from west to east; no labels.

    Source: US Federal Aviation Administration, in vega-datasets.
    """
    west, east, lowest, highest = _CONTIGUOUS
    rows = file.rows("longitude", "latitude", "state")
    places = [(float(row["longitude"]), float(row["latitude"]), row["state"]) for row in rows]
    kept = [
        (x, y)
        for x, y, where in places
        if west < x < east and max(south, lowest) <= y < min(north, highest) and state in ("", where)
    ]
    if not kept:
        asked = f"south = {south:g}, north = {north:g}, state = {state!r}"
        raise invalid(file.who, "there must be airports between these latitudes", asked)
    return Found(x=np.array(sorted(kept)), columns=_COLUMNS)
