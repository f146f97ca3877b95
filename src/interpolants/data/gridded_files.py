"""Gridded fields from arrays, from xarray's objects, and from NetCDF, Zarr and GRIB files.

Axes are told by their names; an axis that is missing has one entry. Each level of pressure is a variable, ``z500``.
Arrays without names are ``(N, M, L)`` or
``(N, M, H, W)`` for one variable, ``(N, M, C, H, W)`` for several.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import as_tensor
from interpolants.data.axis_labels import axis_labels
from interpolants.data.gridded import PLAIN, Grid, Gridded
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.tell import DataWarning, tell
from interpolants.foundations.unpacking import check_unpacked, check_zip, refusing_content, size_on_disk

CASES = ("case", "start", "init", "initial_time", "forecast_reference_time", "reference_time", "date", "time")
MEMBERS = (
    "member",
    "number",
    "realization",
    "realisation",
    "ensemble",
    "ensemble_member",
    "ens",
    "perturbation",
)
# Of a sequence; times are its frames where no other axis is, else the starts.
FRAMES = ("frame", "lead", "lead_time", "step", "prediction_timedelta", "forecast_period", "time")
LEVELS = ("isobaricinhpa", "level", "plev", "pressure_level", "pressure")
NETCDF, ZARR, GRIB = (".nc", ".nc4", ".cdf", ".netcdf"), (".zarr",), (".grib", ".grib2", ".grb")
SUFFIXES = (*NETCDF, *ZARR, *GRIB)
WRITES = (".nc", ".zarr")


def gridded_of(value: Any, who: str, name: str, *, inner: Sequence[str] = MEMBERS) -> Gridded:
    """Fields of cases and members from what users have.

    Args:
        value: A ``Gridded``, an ``xarray.Dataset`` or ``DataArray``, or an array ``(N, M, *F)``.
        who: Name of the caller, used in error messages.
        name: Name of the value for errors.
        inner: Names of the second axis: members, or times of a sequence.

    Raises:
        InvalidInputError: If axes cannot be told, variables have different axes, or values are no numbers.
    """
    if isinstance(value, Gridded):
        return value
    if hasattr(value, "data_vars") or hasattr(value, "dims"):
        return _of_xarray(value, who, name, inner)
    return _of_array(value, who, name)


def _of_array(value: Any, who: str, name: str) -> Gridded:
    x, _ = as_tensor(value, who, name, gaps=True)
    if x.ndim not in (3, 4, 5):
        rule = f"{name} must be (cases, members, points), (..., rows, columns) or (..., variables, rows, columns)"
        raise invalid(who, rule, tuple(x.shape), "Pass an xarray.Dataset for other axes.")
    x = x if x.ndim == 5 else x[:, :, None]
    names = ("x",) if x.shape[2] == 1 else tuple(f"x{k}" for k in range(x.shape[2]))
    dims = PLAIN[x.ndim - 4]
    return Gridded(values=x, grid=Grid(dims=dims, sizes=tuple(x.shape[3:]), variables=names))


def _of_xarray(value: Any, who: str, name: str, inner: Sequence[str]) -> Gridded:
    arrays = {str(k): v for k, v in value.data_vars.items()} if hasattr(value, "data_vars") else None
    arrays = _by_level({str(value.name or "x"): value} if arrays is None else arrays)
    if not arrays:
        raise invalid(who, f"{name} must have variables", "none")
    first = max(arrays.values(), key=lambda one: one.ndim)
    arrays = {key: one for key, one in arrays.items() if one.ndim == first.ndim}
    dims = tuple(map(str, first.dims))
    if not first.size:
        raise invalid(who, f"{name} must have values", f"none along {dims[first.shape.index(0)]}")
    member = _named(dims, inner)
    case = _named([d for d in dims if d != member], CASES)
    grid = tuple(d for d in dims if d not in (case, member) and first.sizes[d] > 1)
    if not 1 <= len(grid) <= 2:
        rule = f"{name} must have one or two axes beside {case or 'cases'} and {member or 'members'}"
        remedy = f"Select others with .sel(...). Known names: {', '.join((*CASES, *inner))}."
        raise invalid(who, rule, f"axes {', '.join(grid) or 'none'}", remedy)
    parts = [_part(one, key, dims, (case, member, *grid), who, name) for key, one in arrays.items()]
    values = torch.stack(parts, 2)
    cases, own = axis_labels(first, case), axis_labels(first, member)
    labels = {d: axis_labels(first, d) for d in grid if d in first.coords}
    _tell_repeated(cases.numbers, case, who, name)
    return Gridded(
        values=values,
        grid=Grid(
            dims=grid,
            sizes=tuple(int(first.sizes[d]) for d in grid),
            variables=tuple(arrays),
            units=tuple(str(one.attrs.get("units", "")) for one in arrays.values()),
            coords={d: one.numbers for d, one in labels.items()},
            words={d: one.words for d, one in labels.items() if one.words},
        ),
        dims=(case or "case", member or "member"),
        cases=cases.numbers,
        dated=cases.dated,
        words=cases.words,
        members=own.numbers if not own.words else torch.arange(len(own.words), dtype=torch.float64),
        dated_members=own.dated,
    )


def _tell_repeated(cases: Tensor, axis: str, who: str, name: str) -> None:
    """Tell of cases that come more than once, as where files that overlap were joined."""
    again = len(cases) - len(set(cases.tolist()))
    if again:
        told = f"{who}: {again} of {len(cases)} cases of {name} have the {axis} of another one"
        words = (
            "where files overlap, drop those that come again: they count twice, and may be learnt and tested"
        )
        tell(DataWarning, f"{told}; {words}.")


def _by_level(arrays: dict[str, Any]) -> dict[str, Any]:
    """Variables with an axis of pressure levels as one variable for each, such as ``z500``."""
    found = {}
    for key, one in arrays.items():
        axis = _named(tuple(map(str, one.dims)), LEVELS)
        if not axis:
            found[key] = one
            continue
        for level in range(one.sizes[axis]):
            part = one.isel({axis: level}, drop=True)
            label = float(one.coords[axis].values[level]) if axis in one.coords else level
            found[f"{key}{label:g}"] = part
    return found


def _named(dims: Sequence[str], known: Sequence[str]) -> str:
    """The axis with one of the known names; empty where there is none."""
    return next((d for word in known for d in dims if d.lower() == word), "")


def _part(one: Any, key: str, dims: tuple[str, ...], wanted: tuple[str, ...], who: str, name: str) -> Tensor:
    """One variable as ``(N, M, *G)``."""
    if set(map(str, one.dims)) != set(dims):
        rule = f"all variables of {name} must have the axes {', '.join(dims)}"
        raise invalid(
            who, rule, f"{key} with {', '.join(map(str, one.dims))}", "Select variables: data[['t2m']]."
        )
    kept = one.squeeze([d for d in dims if d not in wanted], drop=True)
    for place, d in enumerate(wanted[:2]):
        if not d:
            kept = kept.expand_dims(f"axis_{place}")
    order = [d or f"axis_{place}" for place, d in enumerate(wanted)]
    array = np.asarray(kept.transpose(*order).values)
    if array.dtype.kind not in "fiu":
        raise invalid(who, f"variables of {name} must be numbers", f"{key} of type {array.dtype}")
    wide = array if array.dtype == np.float64 else array.astype(np.float32)
    return torch.from_numpy(np.array(wide, order="C"))


# --- files ---------------------------------------------------------------------------------------------------


def read_gridded(
    path: str, who: str, name: str, key: str | None = None, *, inner: Sequence[str] = MEMBERS
) -> Gridded:
    """Fields from a file: NetCDF, Zarr or GRIB with their coordinates, or an array of NumPy.

    Args:
        path: The file or, for Zarr, the folder.
        who: Name of the caller, used in error messages.
        name: Name of the value for errors.
        key: A variable of the file, or several with commas between; all if none.
        inner: As in :func:`gridded_of`.

    Raises:
        InvalidInputError: If there is no such file or variable, or it cannot be read.
        MissingExtraError: If a package is missing; says how to install it.
    """
    place, suffix = Path(path), Path(path).suffix.lower()
    if place.exists() and suffix in (".npy", ".npz"):
        return gridded_of(_array_of(place, who, name, key), who, name, inner=inner)
    found = open_dataset(path, who, name)
    return gridded_of(found if key is None else _selected(found, key, who, name), who, name, inner=inner)


def open_dataset(path: str, who: str, name: str, *, decode_times: bool = True) -> Any:
    """The ``xarray.Dataset`` of a NetCDF, Zarr or GRIB file, in memory.

    Args:
        path: The file or, for Zarr, the folder.
        who: Name of the caller, used in error messages.
        name: Name of the value for errors.
        decode_times: Make dates of times; clocks that xarray does not know need False.

    Raises:
        InvalidInputError: If there is no such file, or it cannot be read.
        MissingExtraError: If a package is missing; says how to install it.
    """
    place, suffix = Path(path), Path(path).suffix.lower()
    if not place.exists():
        raise invalid(who, f"{name} must be a file that there is", path)
    if suffix not in SUFFIXES:
        raise invalid(who, f"{name} must end in {', '.join((*SUFFIXES, '.npy', '.npz'))}", repr(suffix))
    xarray = require("xarray", by=who)
    engine = _engine(suffix, who)
    rule = f"{name}, {place.name}, must be a readable {suffix} file"
    with (
        refusing_content(who, rule),
        xarray.open_dataset(path, decode_times=decode_times, **engine) as opened,
    ):
        check_unpacked(who, place.name, size_on_disk(place), opened.nbytes)
        return opened.load()


def _engine(suffix: str, who: str) -> dict[str, Any]:
    """Options of ``xarray.open_dataset``; the packages behind them are named where they are missing."""
    if suffix in GRIB:
        require("cfgrib", by=who)
        return {"engine": "cfgrib", "backend_kwargs": {"indexpath": ""}}
    if suffix in ZARR:
        require("zarr", by=who)
        return {"engine": "zarr"}
    return {}


def _selected(found: Any, key: str, who: str, name: str) -> Any:
    wanted = [word.strip() for word in key.split(",")]
    for word in wanted:
        if word not in found.data_vars:
            known = [str(one) for one in found.data_vars]
            raise invalid(who, f"variables of {name} must be in the file", repr(word), nearest(word, known))
    return found[wanted]


def _array_of(place: Path, who: str, name: str, key: str | None) -> Any:
    check_zip(who, place)
    rule = f"{place.name} must be a whole NumPy file of plain numbers"
    with refusing_content(who, rule, "Save it again with numpy.save."), place.open("rb") as file:
        found = np.load(file, allow_pickle=False)
        if not hasattr(found, "files"):
            return found
        names = [key] if key else list(found.files)
        if len(names) != 1 or names[0] not in found.files:
            raise invalid(
                who, f"--key must name an array of {name}", key, f"There are {', '.join(found.files)}."
            )
        return found[names[0]]


def write_gridded(dataset: Any, out: Path) -> None:
    """An ``xarray.Dataset`` to NetCDF or Zarr, by the ending.

    Raises:
        MissingExtraError: If the package behind the ending is missing.
    """
    if out.suffix.lower() in ZARR:
        require("zarr", by="write_gridded")
        dataset.to_zarr(out, mode="w", zarr_format=2, consolidated=True)
        return
    require("h5netcdf", by="write_gridded")
    dataset.to_netcdf(out, engine="h5netcdf")
