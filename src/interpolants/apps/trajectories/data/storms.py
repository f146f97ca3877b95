"""Tracks of Atlantic storms, in kilometres."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, held_out
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.data.r_tables import lazy_table
from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid

_DPLYR: dict[str, Any] = {
    "package": "r-cran-dplyr",
    "version": "1.1.4-4",
    "install": "apt-get install r-cran-dplyr",
}
DPLYR = BundledFile(
    path="/usr/lib/R/site-library/dplyr/data/Rdata.rdb",
    sha256="b1555bebd86d62c0539a8b41e72fed6e6bbd1e35068aa06395bd37f23b1e6f34",
    **_DPLYR,
)
DPLYR_INDEX = BundledFile(
    path="/usr/lib/R/site-library/dplyr/data/Rdata.rdx",
    sha256="88395339216c318c5f32db07e63fd57995b664e5e11f8e6529633b31b8aa62c4",
    **_DPLYR,
)
_COLUMNS = ("name", "year", "month", "day", "hour", "lat", "long")
EARTH = 6371.0  # km
CENTRE = (30.0, -60.0)  # latitude and longitude, degrees
# Hours between two fixes.
INTERVAL = 6
# Greatest distance from the centre of the map: lengths are up to 24 % off there. The packaged storms reach 7,721 km.
_FARTHEST = 8000.0


@packaged(
    DPLYR,
    DPLYR_INDEX,
    licence="public domain (NOAA); MIT (package)",
    own="a CSV with numbers and dates in the columns name, year, month, day, hour, lat and long, degrees north and "
    "east, such as storms.csv of github.com/tidyverse/dplyr",
)
def load_atlantic_storms(file: Opened, *, least: int = 30, centre: Sequence[float] = CENTRE) -> Found:
    """Centres of Atlantic storms of 1975 to 2022, every six hours, in km east and north of 30 N 60 W.

    Degrees are no distances: a degree of longitude has 105 km at 20 N and 71 km at 50 N. Positions are those of
    :func:`equal_area`. Fixes between the six-hourly ones are left out. Of the packaged storms, the farthest fix lies
    7,721 km from the centre, where lengths are up to 22 % off; farther than 8,000 km is refused. One storm in five is
    the test.

    Args:
        least: Fewest fixes of a storm, those between the six-hourly ones included.
        centre: Centre of the map, degrees north and east. For storms of another basin, pass a point amid them.

    Returns:
        ``x`` (N, T, 1, 2) in km, T the longest track, NaN where there was no fix.

    Source: NOAA's Atlantic hurricane database, as table ``storms`` of the R package dplyr.
    """
    whole(file.who, "least", least, at_least=2)
    if file.path:
        table = file.frame(*_COLUMNS)
    else:
        table = packaged_storms(file.who, file.raw(DPLYR_INDEX.name), file.raw(DPLYR.name), "storms")
    tracks = _storms(table, least, centre)
    if len(tracks) < 2:
        raise invalid(file.who, "at least two storms must have this number of fixes", f"least={least}")
    x = np.full((len(tracks), max(map(len, tracks)), 1, 2), np.nan, dtype=np.float32)
    for row, track in zip(x, tracks, strict=True):
        row[: len(track), 0] = track
    return Found(
        x=x,
        part=np.where(held_out(len(x), None), "test", "train"),
        columns=("km east", "km north"),
        scaling=f"Lambert's azimuthal equal-area map about {_named(centre)}",
    )


def equal_area(
    lat: NDArray[np.float64], lon: NDArray[np.float64], centre: Sequence[float] = CENTRE
) -> NDArray[np.float64]:
    """Return km east and north of ``centre`` on Lambert's azimuthal equal-area map, ``(n, 2)``.

    At a distance of ``r`` km from the centre, lengths along the radius are too short by ``cos(c / 2)`` and lengths
    across it too long by ``1 / cos(c / 2)``, with ``c = r / 6371``: up to 4 % off within 3,500 km, 8 % within 5,000
    and 24 % at 8,000. Points farther away are refused: about 30 N 60 W, one degree of longitude at 15 N 130 E has
    268 km, and 107 km on the globe.

    Args:
        lat: Degrees north, ``(n,)``; NaN where unknown.
        lon: Degrees east, ``(n,)``; NaN where unknown.
        centre: Centre of the map, degrees north and east: a point amid the data.

    Raises:
        InvalidInputError: If a latitude is outside -90 to 90, or a point lies farther than 8,000 km from ``centre``.

    Source: Snyder (1987), Map projections: a working manual, equations 24-2 to 24-4.
    """
    north_0, east_0 = _checked_centre(centre)
    if bool((np.abs(lat) > 90).any()):
        row = int(np.argmax(np.abs(lat) > 90))
        remedy = "Pass degrees north first, degrees east second."
        raise invalid(
            "equal_area", "every lat must be between -90 and 90", f"{lat[row]:g} in row {row}", remedy
        )
    phi, lam = np.radians(lat), np.radians(lon - east_0)
    origin = np.radians(north_0)
    toward = np.sin(origin) * np.sin(phi) + np.cos(origin) * np.cos(phi) * np.cos(lam)
    distance = EARTH * np.arccos(np.clip(toward, -1, 1))
    if bool((distance > _FARTHEST).any()):
        row = int(np.nanargmax(distance))
        rule = f"points must lie within {_FARTHEST:,.0f} km of centre, {_named((north_0, east_0))}"
        found = f"{distance[row]:,.0f} km for {_named((float(lat[row]), float(lon[row])))}"
        raise invalid(
            "equal_area", rule, found, "Pass centre=(degrees north, degrees east), a point amid the data."
        )
    scale = EARTH * np.sqrt(2 / (1 + toward))
    east = np.cos(phi) * np.sin(lam)
    north = np.cos(origin) * np.sin(phi) - np.sin(origin) * np.cos(phi) * np.cos(lam)
    return np.stack([scale * east, scale * north], 1)


def _checked_centre(centre: Any) -> tuple[float, float]:
    """Latitude and longitude of a centre, in degrees."""
    if isinstance(centre, str) or not hasattr(centre, "__len__") or len(centre) != 2:
        raise invalid("equal_area", "centre must be (degrees north, degrees east)", centre)
    return (
        number("equal_area", "latitude of centre", centre[0], at_least=-90, at_most=90),
        number("equal_area", "longitude of centre", centre[1], at_least=-360, at_most=360),
    )


def _named(point: Sequence[float]) -> str:
    """A point such as 30 N 60 W."""
    lat, lon = (float(value) for value in point)
    return f"{abs(lat):g} {'N' if lat >= 0 else 'S'} {abs(lon):g} {'E' if lon >= 0 else 'W'}"


# Every part of a task asks for it.
packaged_storms = lru_cache(maxsize=1)(lazy_table)


def _storms(table: Any, least: int, centre: Sequence[float]) -> list[NDArray[np.float64]]:
    """Tracks ``(T, 2)`` in km by storm, in order of time, with NaN for fixes that are missing between others."""
    found = []
    for _, storm in table.groupby(["name", "year"], sort=True):
        if len(storm) < least:
            continue
        stamps = fix_hours(storm)
        regular = stamps % INTERVAL == 0
        stamps, own = stamps[regular] // INTERVAL, storm[regular]
        place = stamps - stamps.min()
        track = np.full((int(place.max()) + 1, 2), np.nan)
        lat, lon = (own[name].to_numpy(dtype=np.float64) for name in ("lat", "long"))
        track[place] = equal_area(lat, lon, centre)
        found.append(track)
    return found


def fix_hours(storm: Any) -> NDArray[np.int64]:
    """Hours since 1970 of the fixes of a storm."""
    parts = (storm[name].to_numpy(dtype=np.int64) for name in ("year", "month", "day", "hour"))
    stamps = [
        np.datetime64(f"{y:04d}-{m:02d}-{d:02d}T{h:02d}", "h") for y, m, d, h in zip(*parts, strict=True)
    ]
    return np.array(stamps).astype(np.int64)
