"""Sequences of maps from two system packages: hourly rain of a hurricane, and monthly winds of the globe.

A record is cut into windows of so many frames, the last part of it is the test, and no window of the test shares a
frame with one of the training part.

Letters: N windows, T frames of a window, C variables, H rows, W columns.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from interpolants.data.bundled import BundledFile
from interpolants.data.gridded import Gridded
from interpolants.data.gridded_files import FRAMES, gridded_of, open_dataset
from interpolants.data.packaged import Found, Opened, packaged
from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid, nearest

RAIN = BundledFile(
    package="r-cran-stars",
    path="/usr/lib/R/site-library/stars/nc/test_stageiv_xyt.nc",
    sha256="51952a496e69e2f0cf36fa14947adac6db4a78bb8b9c4dd146e15636aee89586",
    version="0.6-8-1",
    install="apt-get install r-cran-stars",
)
WINDS = BundledFile(
    package="ferret-datasets",
    path="/usr/share/ferret-vis/data/monthly_navy_winds.cdf",
    sha256="225a9e4fed7bb1a7b558afb662abbe2dc5e3d3db4100fa019cb994f10b115faa",
    version="7.6.0-8",
    install="apt-get install ferret-datasets",
)


@packaged(
    RAIN,
    licence="public domain (US government)",
    own="a NetCDF or Zarr file with times, rows and columns",
)
def load_hurricane_rain(
    file: Opened, *, frames: int = 6, test: float = 0.4, every: int = 2, variable: str = ""
) -> Found:
    """Hourly rain over the Carolinas while hurricane Florence came ashore, 13 and 14 September 2018.

    Radars and gauges together, 118 x 87 cells of 4 km, 23 hours: one storm, a demonstration and no training set. The
    first hours train, the last ones are the test.

    Args:
        frames: T, hours of a window.
        test: Share of the record that is the test, in (0, 1).
        every: Means over blocks of so many cells; 1 for the cells of the file.
        variable: Variable of the file; the first with times if empty.

    Returns:
        ``x`` (N, T, 1, H, W) in mm per hour, the unit of the file; grid and times in ``info.gridded``.

    Source: NCEP Stage IV analysis (Lin & Mitchell 2005), as a sample file of the R package stars.
    """
    data = open_dataset(str(file.place()), file.who, "path")
    known = [str(name) for name in data.data_vars]
    if variable and variable not in known:
        raise invalid(file.who, "variable must be one of the file", repr(variable), nearest(variable, known))
    names = [variable] if variable else [name for name in known if data[name].ndim >= 3][:1]
    if not names:
        rule = "the file must have a variable with times, rows and columns"
        raise invalid(file.who, rule, ", ".join(known))
    return _windows(file, data[names], frames, test, every)


@packaged(WINDS, licence="public domain (US government)", own="a copy of monthly_navy_winds.cdf")
def load_monthly_winds(file: Opened, *, frames: int = 6, test: float = 0.2, every: int = 3) -> Found:
    """Monthly means of the wind near the surface of the globe, 1982 to 1992, on a grid of 2.5 degrees.

    The first months train, the last ones are the test.

    Args:
        frames: T, months of a window.
        test: Share of the record that is the test, in (0, 1).
        every: Every so many points of latitude and longitude, from the south pole on.

    Returns:
        ``x`` (N, T, 2, H, W), wind to the east and to the north in m/s; grid in ``info.gridded``.

    Source: Fleet Numerical Oceanography Center of the US Navy, as a data set of Ferret.
    """
    one = open_dataset(str(file.place()), file.who, "path", decode_times=False)
    for name in ("UWND", "VWND", "TIME", "FNOCX", "FNOCY"):
        if name not in one.variables:
            raise invalid(file.who, f"the file must have {name}", ", ".join(map(str, one.variables)))
    whole(file.who, "every", every, at_least=1)
    one = one[["UWND", "VWND"]].rename(TIME="time", FNOCY="latitude", FNOCX="longitude")
    one = one.isel(latitude=slice(None, None, every), longitude=slice(None, None, every))
    return _windows(file, one, frames, test, 1)


def _windows(file: Opened, data: Any, frames: int, test: float, every: int) -> Found:
    whole(file.who, "frames", frames, at_least=2), whole(file.who, "every", every, at_least=1)
    number(file.who, "test", test, above=0, below=1)
    record = _coarser(gridded_of(data, file.who, "the file", inner=FRAMES), every)
    if len(record) != 1:
        raise invalid(file.who, "the file must contain one record of times", f"{len(record)} cases")
    total = record.values.shape[1]
    cut = total - round(test * total)
    first, last = {"train": (0, cut), "test": (cut, total), "all": (0, total)}[file.split]
    if last - first < frames:
        rule = f"a part of the record must have {frames} frames at least"
        remedy = "Use fewer frames, or another value of test."
        raise invalid(file.who, rule, f"{last - first} of {file.split}", remedy)
    fields = windows(record.some_members(slice(first, last)), frames)
    steps = record.members.diff()
    if file.path and len(steps) and float(steps.max()) - float(steps.min()) < 1e-6 * float(steps.max()):
        fields = replace(fields, members=_leads(frames) * float(steps[0]))  # the clock of the user's file
    return Found(x=fields.values.float().numpy(), is_cut=True, gridded=fields)


def _coarser(fields: Gridded, every: int) -> Gridded:
    """Means over blocks of cells; what is left at the ends is cut off, and a block with a gap is one."""
    if every == 1:
        return fields
    down, across = (size // every for size in fields.grid.sizes)
    cut = fields.values[..., : down * every, : across * every]
    means = cut.reshape(*cut.shape[:-2], down, every, across, every).mean((-3, -1))
    coords = {
        name: x[: len(x) // every * every].reshape(-1, every).mean(1)
        for name, x in fields.grid.coords.items()
    }
    return replace(fields, values=means, grid=replace(fields.grid, sizes=(down, across), coords=coords))


def windows(record: Gridded, frames: int) -> Gridded:
    """All windows of a record ``(1, T', ...)`` as cases ``(T' - frames + 1, frames, ...)``, named by their first time.

    The frames of a window are counted in steps of the record's clock from its first one.
    """
    values = record.values[0].unfold(0, frames, 1).movedim(-1, 1)
    times = record.members
    starts = times[: len(values)] if len(times) else torch.zeros(0, dtype=torch.float64)
    return replace(
        record, values=values.contiguous(), dims=("start", "lead"), cases=starts, words=(), dated=record.dated_members,
        members=_leads(frames), dated_members=False,
    )  # fmt: skip


def _leads(frames: int) -> Tensor:
    return torch.arange(frames, dtype=torch.float64)
