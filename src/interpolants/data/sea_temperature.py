"""Temperature of the sea at a buoy."""

import csv
import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from interpolants.data.bundled import BundledFile, DataInfo, Dataset, Split, check_split, reads
from interpolants.data.table_files import text_of
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.unpacking import gunzipped, refusing_content

BUOY = BundledFile(
    package="bokeh_sampledata",
    path="bokeh_sampledata/_data/sea_surface_temperature.csv.gz",
    sha256="529155ac773634b0dca439781a839487640db92e2bdb597e372a2b0ba0ffbff0",
    version="2026.1",
    install="pip install --no-deps bokeh_sampledata",
)
# Share of the days that are the training part, from the first on.
_TRAIN = 0.8


@reads(BUOY)
def load_sea_temperature(
    split: Split = "train", *, first: int = 0, days: int = 0, every: int = 1, path: str = ""
) -> Dataset:
    """Sea surface temperature off the coast of Maine, half-hourly over 14 months from 15 February 2016, with gaps.

    Args:
        split: ``train`` (the first four fifths of the days that are asked for), ``test`` or ``all``.
        first: First day, counted from the first of the series.
        days: Number of days; 0 for all.
        every: Take each such measurement only.
        path: A CSV file with the columns time and temperature (.csv or .csv.gz) instead of the package's.

    Returns:
        ``x`` (N, 2) float64: days since the first measurement, temperature in degrees Celsius.

    Raises:
        MissingExtraError: If bokeh_sampledata is not installed, and no path is given.
        InvalidInputError: If the file is another one or no such table, or for an unknown split.

    Source: buoy B01 of the Northeastern Regional Association of Coastal Ocean Observing Systems.
    """
    who = "load_sea_temperature"
    check_split(who, split)
    for name, value in (("first", first), ("days", days), ("every", every - 1)):
        whole(who, name, value, at_least=0)
    table = _table(who, _text(who, path))
    last = first + days if days else table[-1, 0] + 1
    table = table[(table[:, 0] >= first) & (table[:, 0] < last)][::every]
    if not len(table):
        raise invalid(who, "there must be measurements on the days asked for", f"none from day {first} on")
    cut = table[0, 0] + _TRAIN * (table[-1, 0] - table[0, 0])
    part = {"train": table[:, 0] <= cut, "test": table[:, 0] > cut, "all": table[:, 0] >= 0}[split]
    x = torch.from_numpy(np.ascontiguousarray(table[part]))
    info = DataInfo(
        name="sea_temperature",
        shape=tuple(x.shape),
        split=split,
        source=path or f"{BUOY.package} {BUOY.installed_version()}",
        licence="" if path else "public domain (package: BSD-3)",
        sha256={} if path else {Path(BUOY.path).name: BUOY.sha256},
        columns=("day", "temperature"),
    )
    return Dataset(x, None, info)


def _text(who: str, path: str) -> str:
    return text_of(who, path) if path else gunzipped(who, BUOY.path, BUOY.read(who)).decode("utf-8")


def _table(who: str, text: str) -> NDArray[np.float64]:
    """Days since the first measurement, and temperatures, in the order of time."""
    with refusing_content(who, "the file must have a column of times and one of temperatures"):
        rows = list(csv.reader(io.StringIO(text)))[1:]
        times = np.array([np.datetime64(row[0].replace(" ", "T")[:19]) for row in rows])
        values = np.array([float(row[1]) for row in rows])
        order = np.argsort(times, kind="stable")
        days = (times[order] - times[order][0]) / np.timedelta64(1, "D")
    return np.stack([days, values[order]], 1)
