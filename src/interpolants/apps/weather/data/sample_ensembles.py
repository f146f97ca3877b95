"""Two small weather ensembles from the samples in the source archive of cfgrib.

The archive is no wheel and is not installed; both loaders take its path, or that of the file within it. Without a path
they look for it in the working directory.
"""

import io
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interpolants.data.bundled import BundledFile, DataInfo, Dataset, Split, check_split, reads
from interpolants.data.gridded import Gridded
from interpolants.data.gridded_files import gridded_of, open_dataset
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import MissingExtraError, invalid
from interpolants.foundations.extras import require
from interpolants.foundations.unpacking import gunzipped

ARCHIVE = "cfgrib-0.9.15.1.tar.gz"
INSTALL = "pip download --no-deps --no-binary :all: cfgrib==0.9.15.1"
_FOLDER = "cfgrib-0.9.15.1/tests/sample-data"
_LICENCE = "Copernicus: free of charge, with attribution"


def _carrier(name: str) -> BundledFile:
    """A file that no package installs: it is never found, and says how to get it."""
    install = f"{INSTALL}, and leave the archive in the working directory or pass its path"
    return BundledFile(
        package="the source archive of cfgrib",
        path=f"cfgrib_samples/{name}",
        sha256="",
        version="0.9.15.1",
        install=install,
    )


ERA5, UKMO = _carrier("era5-levels-members.nc"), _carrier("forecast_monthly_ukmo.grib")


@reads(ERA5)
def load_era5_members(split: Split = "train", *, every: int = 1, path: str = "") -> Dataset:
    """The ERA5 ensemble of data assimilation: 10 members of geopotential and temperature at 850 and 500 hPa.

    Four times, 1 and 2 January 2017 at 0 and 12 UTC, on the globe in steps of 3 degrees, 61 x 120 points.

    Args:
        split: ``train`` (1 January), ``test`` (2 January) or ``all``.
        every: Every so many points of latitude and longitude, a divisor of 60.
        path: The archive, or the NetCDF or GRIB file in it.

    Returns:
        ``x`` (N, 10, 4, *G); grid and dates in ``info.gridded``.

    Raises:
        MissingExtraError: If there is no archive, or no package that reads it.
        InvalidInputError: If the file is no such archive, or for an unknown split.

    Source: Hersbach et al. (2020), ERA5 reanalysis, from samples of cfgrib.
    """
    who = "load_era5_members"
    check_split(who, split)
    if 60 % whole(who, "every", every, at_least=1):
        raise invalid(who, "every must divide 60", every)
    fields = gridded_of(_opened(who, path, ERA5), who, "the file")
    half = {"train": slice(2), "test": slice(2, 4), "all": slice(4)}[split]
    return _dataset("era5_members", coarser(fields[half], every), split, path)


@reads(UKMO)
def load_seasonal_forecasts(split: Split = "train", *, path: str = "") -> Dataset:
    """Seasonal forecasts of the UK Met Office: 7 members of monthly 2 m temperature over the north of Italy.

    Eight starts from 9 December 2015 to 1 February 2016, each with the means of the next three months as variables
    ``month1`` to ``month3``, on 6 x 11 points in steps of a degree.

    Args:
        split: ``train`` (the first six starts), ``test`` (the last two) or ``all``.
        path: The archive, or the GRIB file in it.

    Returns:
        ``x`` (N, 7, 3, 6, 11) in kelvin; grid and dates in ``info.gridded``.

    Raises:
        MissingExtraError: If there is no archive, or cfgrib is not installed.
        InvalidInputError: If the file is no such archive, or for an unknown split.

    Source: Copernicus Climate Change Service, seasonal forecasts, from samples of cfgrib.
    """
    who = "load_seasonal_forecasts"
    check_split(who, split)
    fields = gridded_of(by_month(_opened(who, path, UKMO)), who, "the file")
    half = {"train": slice(6), "test": slice(6, 8), "all": slice(8)}[split]
    return _dataset("seasonal_forecasts", fields[half], split, path)


def coarser(fields: Gridded, every: int) -> Gridded:
    """Every so many points of both axes."""
    grid = fields.grid
    coords = {name: x[::every] for name, x in grid.coords.items()}
    sizes = tuple(len(range(0, size, every)) for size in grid.sizes)
    values = fields.values[..., ::every, ::every].contiguous()
    return replace(fields, values=values, grid=replace(grid, sizes=sizes, coords=coords))


def by_month(data: Any) -> Any:
    """Members and months of each start, packed: the file has places for members and steps of all starts together."""
    xarray = require("xarray", by="load_seasonal_forecasts")
    one = data.t2m.transpose("time", "step", "number", "latitude", "longitude")
    x = one.values
    there = np.isfinite(x).all((-1, -2))
    kept = [own[seen.any(1)][:, seen.any(0)] for own, seen in zip(x, there, strict=True)]
    packed = np.stack(kept)  # (start, month, member, ...)
    axes = ("time", "number", "latitude", "longitude")
    coords = {name: one.coords[name].values for name in ("time", "latitude", "longitude")}
    months = {f"month{k + 1}": (axes, packed[:, k], {"units": "K"}) for k in range(packed.shape[1])}
    return xarray.Dataset(months, coords)


def _opened(who: str, path: str, file: BundledFile) -> Any:
    """The sample as an ``xarray.Dataset``, from the archive, the folder that it was unpacked to, or the file."""
    place = Path(path or ARCHIVE)
    if not place.exists():
        if path:
            raise invalid(who, "path must be the archive or a file of it", path, f"Get it with: {INSTALL}")
        raise MissingExtraError(f"{who} needs {file.package}. Install it with: {file.install}")
    name = Path(file.path).name
    if not place.name.endswith(".tar.gz"):
        return open_dataset(str(place), who, "path")
    plain = io.BytesIO(gunzipped(who, place.name, place.read_bytes()))
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=plain, mode="r:") as archive:
        try:
            member = archive.extractfile(f"{_FOLDER}/{name}")
        except KeyError as error:
            raise invalid(who, f"the archive must contain {_FOLDER}/{name}", path or ARCHIVE) from error
        assert member is not None
        copy = Path(folder) / name
        copy.write_bytes(member.read())
        return open_dataset(str(copy), who, "path")


def _dataset(name: str, fields: Gridded, split: Split, path: str) -> Dataset:
    info = DataInfo(
        name=name,
        shape=tuple(fields.values.shape),
        split=split,
        source=path or ARCHIVE,
        licence="" if path else _LICENCE,
        sha256={},
        gridded=fields,
    )
    return Dataset(fields.values.to(torch.float32), None, info)
