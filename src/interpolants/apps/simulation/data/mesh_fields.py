"""Fields on meshes over time: one simulation, what it can be made of, and its files.

Letters: M points of a mesh, d coordinates, T times, C channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.gridded_files import MEMBERS
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.records import record
from interpolants.foundations.storage import replacing
from interpolants.foundations.unpacking import check_unpacked, check_zip, refusing_content, size_on_disk

_NAMES = ("points", "times", "values")
_TIMES, _DATES = ("time", "t", "times"), "mM"
SUFFIXES = (".npz", ".nc")


@record("mesh_field")
@dataclass(frozen=True, eq=False)
class MeshField:
    """Values at the points of one mesh, at some times.

    Attributes:
        points: Coordinates, ``(M, d)`` float64.
        times: ``(T,)`` float64, increasing.
        values: ``(T, M, C)``; ``(members, T, M, C)`` for several fields on one mesh.
        channels: Names of the channels; may be empty.
        axes: Names of the coordinates; may be empty.
        units: Unit of each channel, as files have them; may be empty.
    """

    points: Tensor
    times: Tensor
    values: Tensor
    channels: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def first(self, frames: int) -> "MeshField":
        """Its first frames."""
        return replace(self, times=self.times[:frames], values=self.values[..., :frames, :, :])

    def cloud(self) -> tuple[Tensor, Tensor]:
        """All points at all times, ``(T M, 1 + d)`` with the time first, and their values ``(T M, C)``."""
        frames, size = self.values.shape[-3:-1]
        times = self.times.repeat_interleave(size)[:, None]
        return torch.cat([times, self.points.repeat(frames, 1)], 1), self.values.flatten(-3, -2)

    def to_xarray(self) -> Any:
        """A Dataset with the axes time and node, coordinates of nodes, and one variable a channel.

        Raises:
            MissingExtraError: If xarray is not installed.
        """
        xarray = require("xarray", by="MeshField.to_xarray")
        dims = ("member",) * (self.values.ndim - 3) + ("time", "node")
        axes = self.axes or tuple("xyz"[: self.points.shape[1]])
        channels = self.channels or tuple(f"u{k + 1}" for k in range(self.values.shape[-1]))
        values = self.values.detach().cpu().numpy()
        points = self.points.numpy()
        coords = {axis: ("node", points[:, k]) for k, axis in enumerate(axes)}
        return xarray.Dataset(
            {name: (dims, values[..., k], self._attributes(k)) for k, name in enumerate(channels)},
            coords={"time": self.times.numpy(), **coords},
        )

    def _attributes(self, channel: int) -> dict[str, str]:
        return {"units": self.units[channel]} if self.units and self.units[channel] else {}

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Arrays by name."""
        return {name: getattr(self, name).detach().cpu().numpy() for name in _NAMES}


# --- reading -------------------------------------------------------------------------------------------------


def mesh_field(value: Any, who: str, name: str) -> MeshField:
    """One simulation from a `MeshField`, a mapping of arrays, or a Dataset or DataArray of xarray.

    Args:
        value: Arrays ``points (M, d)``, ``values (T, M, C)`` or ``(T, M)``, and ``times (T,)``, which count from 0 if
            there are none; or what xarray holds, with an axis of times, and the points along one axis with coordinates
            or along several, as on a regular grid; an axis of members (member, number, ...) holds several fields on
            one mesh.
        who: Name of the caller, used in error messages.
        name: Name of the argument.

    Raises:
        InvalidInputError: If shapes do not fit, times do not increase, or a number is not finite.
    """
    if hasattr(value, "to_dataset") or (hasattr(value, "data_vars") and hasattr(value, "coords")):
        value = _of_xarray(value, who, name)
    if isinstance(value, Mapping):
        value = _of_arrays(value, who, name)
    if not isinstance(value, MeshField):
        rule = f"{name} must be simulations: points, times and values, or a Dataset of xarray"
        raise invalid(
            who,
            rule,
            type(value).__name__,
            "For example, pass {'points': (M, 2), 'times': (T,), 'values': (T, M, 1)}.",
        )
    _check(value, who, name)
    return value


def _of_arrays(value: Mapping[str, Any], who: str, name: str) -> MeshField:
    for key in ("points", "values"):
        if key not in value:
            raise invalid(
                who, f"a simulation of {name} must have {key}", f"only {', '.join(map(str, value))}"
            )
    points, values = (torch.as_tensor(np.ascontiguousarray(value[key])) for key in ("points", "values"))
    values = values[..., None] if values.ndim == 2 else values
    given = value.get("times")
    times = torch.arange(len(values)) if given is None else torch.as_tensor(np.ascontiguousarray(given))
    points = points[:, None] if points.ndim == 1 else points
    single = values if values.is_floating_point() else values.double()
    return MeshField(points.double(), times.double().reshape(-1), single)


def _of_xarray(value: Any, who: str, name: str) -> MeshField:
    data = value if hasattr(value, "data_vars") else value.to_dataset(name=value.name or "u")
    time = next((dim for dim in data.dims if str(dim).lower() in _TIMES), None)
    if time is None:
        raise invalid(who, f"{name} must have an axis named time", ", ".join(map(str, data.dims)))
    members = [dim for dim in data.dims if str(dim).lower() in MEMBERS]
    if still := [str(key) for key, one in data.data_vars.items() if set(one.dims) != set(data.dims)]:
        rule = f"all variables of {name} must have the axes {', '.join(map(str, data.dims))}"
        raise invalid(who, rule, f"others in {', '.join(still)}", "Leave them out: data.drop_vars([...]).")
    others = [dim for dim in data.dims if dim not in (time, *members)]
    if not others:
        raise invalid(who, f"{name} must have points beside its times", "the axis of times alone")
    stacked = data.stack(_node=others) if len(others) > 1 else data.rename({others[0]: "_node"})
    axes = [
        key
        for key, coord in stacked.coords.items()
        if coord.dims == ("_node",) and coord.dtype.kind in "fiu" and (key != "_node" or len(others) == 1)
    ]
    if not axes:
        raise invalid(
            who,
            f"points of {name} must have coordinates",
            "an axis without any",
            "Add one, for example x and y along node.",
        )
    names = tuple(map(str, data.data_vars))
    order = (*members, time, "_node")
    values = np.stack([stacked[key].transpose(*order).to_numpy() for key in data.data_vars], -1)
    points = np.stack([np.asarray(stacked[key], dtype=np.float64) for key in axes], -1)
    shown = tuple(str(others[0]) if key == "_node" else str(key) for key in axes)
    times = _plain_times(data[time].to_numpy())
    units = tuple(str(one.attrs.get("units", "")) for one in data.data_vars.values())
    return MeshField(torch.from_numpy(points), times, torch.from_numpy(values), names, shown, units)


def _plain_times(times: np.ndarray[Any, Any]) -> Tensor:
    """Dates as seconds since 1970, durations as seconds, numbers as they are."""
    if times.dtype.kind in _DATES:
        times = times.astype(f"{times.dtype.kind}8[us]").astype(np.int64) / 1e6
    return torch.from_numpy(times.astype(np.float64))


def _check(one: MeshField, who: str, name: str) -> None:
    frames, size = len(one.times), len(one.points)
    if one.points.ndim != 2 or one.values.ndim < 3 or tuple(one.values.shape[-3:-1]) != (frames, size):
        shapes = f"points {tuple(one.points.shape)}, times {(frames,)}, values {tuple(one.values.shape)}"
        rule = f"a simulation of {name} must have points (M, d), times (T,) and values (T, M, C)"
        raise invalid(who, rule, shapes)
    if not size or not frames:
        raise invalid(
            who, f"a simulation of {name} must have points and times", f"{size} points, {frames} times"
        )
    if not bool((one.times.diff() > 0).all()):
        raise invalid(
            who,
            f"times of {name} must be strictly increasing",
            one.times.tolist()[:6],
            "Sort the frames by time.",
        )
    for part in (one.points, one.times, one.values):
        if not bool(part.isfinite().all()):
            remedy = "Leave such points out of the mesh."
            raise invalid(who, f"numbers of {name} must be finite", "NaN or infinity", remedy)


def read_mesh_fields(path: str | Path, who: str) -> Any:
    """Simulations in a file, or in the files of a folder in the order of their names.

    An npz file of one simulation has the arrays points, times and values; one of several has them with a number at the
    end, ``points0``, ``values0``, ``points1``, ... (times alone for all of them, or numbered too). A NetCDF file is one
    simulation.

    Raises:
        InvalidInputError: If the file is not there or holds no simulations.
        MissingExtraError: If a NetCDF file is read without xarray.
    """
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise invalid(who, f"the folder must contain files {' or '.join(SUFFIXES)}", str(path))
        found = [read_mesh_fields(file, who) for file in files]
        return [part for one in found for part in (one if isinstance(one, list) else [one])]
    if not place.is_file():
        raise invalid(who, "the file must exist", str(path))
    if place.suffix.lower() == ".nc":
        xarray = require("xarray", by=who)
        rule = f"{place.name} must be a readable NetCDF file"
        with refusing_content(who, rule), xarray.open_dataset(place) as data:
            check_unpacked(who, place.name, size_on_disk(place), data.nbytes)
            return data.load()
    if place.suffix.lower() != ".npz":
        raise invalid(who, f"simulations are files {' or '.join(SUFFIXES)}", place.suffix)
    check_zip(who, place)
    rule = f"{place.name} must be a whole archive of plain numbers"
    with (
        refusing_content(who, rule, "Save it again with numpy.savez."),
        np.load(place, allow_pickle=False) as file,
    ):
        return _numbered(dict(file), who, str(path))


def _numbered(arrays: dict[str, Any], who: str, path: str) -> Any:
    if "values" in arrays or "points" in arrays:
        return arrays
    number, found = 0, []
    while f"points{number}" in arrays:
        one = {key: arrays.get(f"{key}{number}", arrays.get(key)) for key in _NAMES}
        found.append({key: part for key, part in one.items() if part is not None})
        number += 1
    if not found:
        raise invalid(
            who, "the file must have the arrays points, times and values", f"{path}: {', '.join(arrays)}"
        )
    return found


def write_mesh_fields(parts: list[MeshField], path: Path) -> None:
    """Simulations to one npz file, or one of them to a NetCDF file.

    Raises:
        InvalidInputError: If the file's ending is another one, or there are several for a NetCDF file.
        MissingExtraError: If a NetCDF file is written without xarray.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise invalid("write_mesh_fields", f"the file must end in {' or '.join(SUFFIXES)}", path.name)
    if suffix == ".nc" and len(parts) > 1:
        raise invalid(
            "write_mesh_fields", "a NetCDF file holds one simulation", len(parts), "Write an npz file."
        )
    with replacing(path) as temporary:
        if suffix == ".nc":
            parts[0].to_xarray().to_netcdf(temporary)
            return
        single = len(parts) == 1
        named = {
            f"{k}{'' if single else n}": x for n, one in enumerate(parts) for k, x in one.arrays().items()
        }
        with temporary.open("wb") as file:
            np.savez(file, **named)  # type: ignore[arg-type]
