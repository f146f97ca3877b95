"""Particulate matter at rural stations."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.unpacking import unpacked

AIR = BundledFile(
    package="r-cran-spacetime",
    path="/usr/lib/R/site-library/spacetime/data/air.rda",
    sha256="ca93737e778f778d1ef876c44c760d8f920ff8358fecce82ac9a857040192a7b",
    version="1.3-3-1",
    install="apt-get install r-cran-spacetime && pip install 'interpolants[tables]'",
)
_COLUMNS = ("station", "longitude", "latitude", "day", "pm10")
_FIRST = np.datetime64("1998-01-01")


@packaged(
    AIR,
    licence="GPL-2+ (package)",
    own="the file air.rda of the R package spacetime, or a CSV (.csv) with the columns station (number), longitude, "
    "latitude, date and pm10",
)
def load_air_quality(file: Opened, *, first: str = "1998-01-01", days: int = 0, log: bool = False) -> Found:
    """Daily mean PM10 at 70 rural stations in Germany, 1998 to 2009; the half of station-days that was measured.

    Each fifth station is the test.

    Args:
        first: First day.
        days: Number of days; 0 for all that follow.
        log: Natural logarithms of PM10; a measurement of 0 is left out.

    Returns:
        ``x`` (N, 5) float64: station, longitude and latitude in degrees, days since 1 January 1998, PM10 in micrograms
        per cubic metre. Labels: the station.

    Source: European Environment Agency, AirBase, in the R package spacetime.
    """
    whole(file.who, "days", days, at_least=0)
    one_of(file.who, "log", log, (True, False))
    begin = _days(file.who, first)
    table = _from_csv(file) if file.path.endswith(".csv") else _from_r(file)
    kept = (table[:, 3] >= begin) & (table[:, 3] < (begin + days if days else np.inf))
    table = table[kept & (table[:, 4] > 0 if log else True)]
    if not len(table):
        raise invalid(
            file.who, "the data must have measurements on the requested days", f"none from {first} on"
        )
    if log:
        table[:, 4] = np.log(table[:, 4])
    return Found(
        x=table,
        labels=table[:, 0],
        part=np.where(table[:, 0] % 5 == 0, "test", "train"),
        columns=(*_COLUMNS[:4], "log_pm10") if log else _COLUMNS,
        scaling="natural logarithm of PM10" if log else "none",
    )


def _days(who: str, date: str) -> float:
    try:
        return float((np.datetime64(date, "D") - _FIRST).astype(int))
    except ValueError as error:
        raise invalid(who, "dates must look like 2005-01-31", date) from error


def _from_csv(file: Opened) -> NDArray[np.float64]:
    rows = file.rows("station", "longitude", "latitude", "date", "pm10")
    places = [[float(row[name]) for name in ("station", "longitude", "latitude")] for row in rows]
    return np.array(
        [
            [*place, _days(file.who, row["date"]), float(row["pm10"])]
            for place, row in zip(places, rows, strict=True)
        ]
    )


def _from_r(file: Opened) -> NDArray[np.float64]:
    """The measured station-days; the parser is that of rdata, whose converter knows no spatial classes."""
    rdata = require("rdata", by=file.who)
    data = unpacked(file.who, Path(file.path or AIR.path).name, file.raw())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = rdata.parser.DEFAULT_ALTREP_MAP
        # Sequences that a file tells by their length alone could be of any.
        told = {name: make for name, make in known.items() if not name.startswith(b"compact")}
        found = _objects(rdata.parser.parse_data(data, altrep_constructor_dict=told).object)
    values = np.asarray(found["air"].value, dtype=np.float64)
    days = np.asarray(found["dates"].value, dtype=np.float64)
    places = np.asarray(_objects(found["stations"].attributes)["coords"].value, dtype=np.float64)
    places = places.reshape(2, -1)
    values = values.reshape(len(days), places.shape[1])  # R's order: stations fastest
    day, station = np.nonzero(np.isfinite(values))
    since = days[day] - float(_FIRST.astype(int))
    columns = [station, *places[:, station], since, values[day, station]]
    return np.stack(columns, 1).astype(np.float64)


def _objects(node: Any) -> Mapping[str, Any]:
    """Objects of a workspace by name: R keeps them in a linked list."""
    found = {}
    while node is not None and node.info.type.name == "LIST":
        symbol = node.tag if node.tag.value is not None else node.tag.referenced_object
        found[bytes(symbol.value.value).decode("utf-8")] = node.value[0]
        node = node.value[1]
    return found
