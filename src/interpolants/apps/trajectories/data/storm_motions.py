"""Positions, headings and winds of Atlantic storms."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.apps.trajectories.data.storms import (
    DPLYR,
    DPLYR_INDEX,
    EARTH,
    INTERVAL,
    fix_hours,
    packaged_storms,
)
from interpolants.data.bundled import held_out
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.errors import invalid

_COLUMNS = ("name", "year", "month", "day", "hour", "lat", "long", "wind")
COLUMNS = ("lat", "lon", "heading", "speed", "wind")


@packaged(
    DPLYR,
    DPLYR_INDEX,
    licence="public domain (NOAA); MIT (package)",
    own="a CSV with numbers and dates in the columns name, year, month, day, hour, lat, long and wind, degrees north "
    "and east and knots, such as storms.csv of github.com/tidyverse/dplyr",
)
def load_storm_motions(file: Opened) -> Found:
    """Positions, headings, speeds and winds of Atlantic storms of 1975 to 2022, every six hours.

    A heading is the direction of the great circle to the storm's position six hours later. Fixes without one, or with
    the same position, are dropped. One storm in five is the test.

    Returns:
        ``x`` (N, 5) float64: latitude and longitude in degrees north and east, heading in degrees clockwise from north,
        speed in km/h, and maximum sustained wind in knots.

    Source: NOAA's Atlantic hurricane database, as table ``storms`` of the R package dplyr.
    """
    if file.path:
        table = file.frame(*_COLUMNS)
    else:
        table = packaged_storms(file.who, file.raw(DPLYR_INDEX.name), file.raw(DPLYR.name), "storms")
    storms = [motions(storm) for _, storm in table.groupby(["name", "year"], sort=True)]
    moving = [storm for storm in storms if len(storm)]
    if len(moving) < 2:
        raise invalid(file.who, "at least two storms must move within six hours", len(moving))
    part = np.where(held_out(len(moving), None), "test", "train")
    return Found(
        x=np.concatenate(moving), part=np.repeat(part, [len(storm) for storm in moving]), columns=COLUMNS
    )


def motions(storm: Any) -> NDArray[np.float64]:
    """Rows ``(T, 5)`` of one storm: the fixes that have another position six hours later."""
    hours, order = np.unique(fix_hours(storm), return_index=True)
    values = storm[["lat", "long", "wind"]].to_numpy(dtype=np.float64)[order]
    later = np.searchsorted(hours, hours + INTERVAL).clip(max=len(hours) - 1)
    pairs = hours[later] == hours + INTERVAL
    distance, heading = great_circle(values[pairs, :2], values[later[pairs], :2])
    rows = np.column_stack([values[pairs, :2], heading, distance / INTERVAL, values[pairs, 2]])
    moves: NDArray[np.float64] = rows[
        (distance > 0) & np.isfinite(rows).all(1) & (hours[pairs] % INTERVAL == 0)
    ]
    return moves


def great_circle(
    start: NDArray[np.float64], stop: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance in km and heading in degrees clockwise from north at the start, ``(n,)`` each.

    Args:
        start: Latitudes and longitudes in degrees, ``(n, 2)``.
        stop: Latitudes and longitudes in degrees, ``(n, 2)``.
    """
    (north, east), (to_north, to_east) = (np.radians(point).T for point in (start, stop))
    turn = to_east - east
    across = np.sin(turn) * np.cos(to_north)
    along = np.cos(north) * np.sin(to_north) - np.sin(north) * np.cos(to_north) * np.cos(turn)
    inner = np.sin(north) * np.sin(to_north) + np.cos(north) * np.cos(to_north) * np.cos(turn)
    angle = np.arctan2(np.hypot(across, along), inner)
    return EARTH * angle, np.degrees(np.arctan2(across, along)) % 360
