"""Places of airports of the United States: where real sensors stand."""

import numpy as np

from interpolants.data.bundled import BundledFile, Dataset, Split, assemble, check_split, reads
from interpolants.data.table_files import rows_of, text_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.unpacking import refusing_content

AIRPORTS = BundledFile(
    package="vega_datasets",
    path="vega_datasets/_data/airports.csv",
    sha256="903c7169e6d558eefb95295fe2947ec8503135fbb855ea5c737cf4a90ea603ad",
    version="0.9.0",
    install="pip install vega_datasets",
)
_COLUMNS = ("longitude", "latitude")
# The contiguous states: west, east, south, north.
_CONTIGUOUS = (-125.0, -66.0, 24.0, 50.0)


@reads(AIRPORTS)
def load_us_airports(
    split: Split = "train", *, path: str = "", south: float = 24.0, north: float = 50.0, state: str = ""
) -> Dataset:
    """Longitude and latitude of the airports of the contiguous United States: dense in the east, sparse in the west.

    Args:
        split: ``train`` (four rows in five), ``test`` or ``all``.
        path: A copy of ``airports.csv`` from elsewhere, such as a checkout of github.com/vega/vega-datasets; its hash
            is not checked.
        south: Least latitude, in degrees.
        north: Latitude below which they lie, in degrees.
        state: Two letters of a state; all if empty.

    Returns:
        ``x`` (N, 2) float64: longitude and latitude in degrees, from west to east; no labels.

    Raises:
        MissingExtraError: If vega_datasets is not installed, and no path is given.
        InvalidInputError: If the file is another one or no such table, no airport is left, or for an unknown split.

    Source: US Federal Aviation Administration, in vega-datasets.
    """
    who = "load_us_airports"
    check_split(who, split)
    text = (
        text_of(who, path, "path must be a copy of airports.csv")
        if path
        else AIRPORTS.read(who).decode("utf-8")
    )
    west, east, lowest, highest = _CONTIGUOUS
    rows = [
        (x, y)
        for x, y, where in _rows(who, text)
        if west < x < east and max(south, lowest) <= y < min(north, highest) and state in ("", where)
    ]
    if not rows:
        asked = f"south = {south:g}, north = {north:g}, state = {state!r}"
        raise invalid(who, "there must be airports between these latitudes", asked)
    x = np.array(sorted(rows))
    licence = "MIT (FAA data, public domain)"
    return assemble(
        "us_airports",
        x,
        None,
        split=split,
        files=[AIRPORTS],
        licence=licence,
        path=path,
        columns=_COLUMNS,
        dtype=np.float64,
    )


def _rows(who: str, text: str) -> list[tuple[float, float, str]]:
    rule = "the file must have columns longitude, latitude and state"
    with refusing_content(who, rule):
        return [
            (float(row["longitude"]), float(row["latitude"]), row["state"])
            for row in rows_of(who, text, rule)
        ]
