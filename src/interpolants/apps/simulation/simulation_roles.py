"""Roles of this folder: simulations on meshes, prompts, and meshes to answer on; and answers like what was given."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os.path import isfile  # a prompt may be too long for a path
from pathlib import Path
from typing import Any, ClassVar

import torch

from interpolants.apps.simulation.data.mesh_fields import (
    SUFFIXES,
    MeshField,
    mesh_field,
    read_mesh_fields,
    write_mesh_fields,
)
from interpolants.data.arrays import Kind as Given
from interpolants.data.unit_words import same_unit
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record, settings_of
from interpolants.framework.role import Reading, Role, role_kind

FIELDS, ARRAYS, XARRAY = "fields", "arrays", "xarray"


@record("simulation_container", parts=lambda kind: settings_of(kind.named(), "index"))
@dataclass(frozen=True)
class SimulationContainer(Given):
    """How simulations were given.

    Attributes:
        form: ``"fields"``, ``"arrays"`` or ``"xarray"``.
        names: Names of the channels, in the order of the network.
        axes: Names of the coordinates.
        units: Units of the channels.
    """

    form: str = FIELDS
    names: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    @property
    def headings(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self.names


class SimulationKind:
    """Simulations on meshes of their own: a list of `MeshField`; a single one is a list of one."""

    has_rows = True
    writes: ClassVar[tuple[str, ...]] = SUFFIXES

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[list[MeshField], Given]:
        """From `MeshField`, mappings with points, times and values, or Datasets of xarray; one or a list.

        Channels of Datasets come in the order of the fit, by their names.

        Raises:
            InvalidInputError: If one is no simulation, or they differ in coordinates or channels.
        """
        many = list(value) if isinstance(value, list | tuple) else [value]
        if not many:
            raise invalid(reading.who, f"{role.name} must contain simulations", "none")
        parts = [mesh_field(one, reading.who, role.name) for one in many]
        given = _given(many[0], parts[0], single=not isinstance(value, list | tuple))
        before = reading.before if isinstance(reading.before, SimulationContainer) else given
        parts = [_in_order(one, before, reading.who, role.name) for one in parts]
        if several := [one for one in parts if one.values.ndim > 3]:
            rule = f"a simulation of {role.name} must have values (T, M, C)"
            raise invalid(
                reading.who, rule, tuple(several[0].values.shape), "Pass each member as a simulation."
            )
        sizes = {(one.points.shape[1], one.values.shape[-1]) for one in parts}
        if len(sizes) > 1:
            rule = f"all simulations of {role.name} must have as many coordinates and channels"
            raise invalid(reading.who, rule, " and ".join(f"{d} and {c}" for d, c in sorted(sizes)))
        told = {key: getattr(before, key) or getattr(given, key) for key in ("names", "axes", "units")}
        return parts, replace(given, **told)

    def numbers(self, value: Sequence[MeshField]) -> torch.Tensor:
        """Channels by frame, ``(N, C, points)``, NaN behind the points of smaller meshes."""
        frames = [one.values.flatten(0, -3).movedim(-1, 1) for one in value]
        most = max(part.shape[2] for part in frames)
        pad = torch.nn.functional.pad
        return torch.cat([pad(part, (0, most - part.shape[2]), value=torch.nan) for part in frames])

    def read_file(self, text: str, role: Role, key: str | None = None) -> Any:
        """From an npz or NetCDF file, or a folder of them; a list, so that answers can be written again."""
        found = read_mesh_fields(text, f"--{role.name}")
        return found if isinstance(found, list) else [found]


def _given(value: Any, one: MeshField, *, single: bool) -> SimulationContainer:
    form = FIELDS if isinstance(value, MeshField) else XARRAY if hasattr(value, "coords") else ARRAYS
    dtype = str(one.values.dtype).removeprefix("torch.")
    names: dict[str, Any] = {"names": one.channels, "axes": one.axes, "units": one.units}
    return SimulationContainer("list", dtype, flat=single, form=form, **names)


def _in_order(one: MeshField, before: SimulationContainer, who: str, name: str) -> MeshField:
    """With the channels and coordinates of the fit, by name where both have names."""
    for key, wanted, have in (
        ("channels", before.names, one.channels),
        ("coordinates", before.axes, one.axes),
    ):
        if wanted and have and set(wanted) != set(have):
            raise invalid(who, f"{name} must have the {key} {', '.join(wanted)}", ", ".join(have))
    if before.names and one.channels and before.names != one.channels:
        order = [one.channels.index(channel) for channel in before.names]
        units = tuple(one.units[k] for k in order) if one.units else ()
        one = replace(one, values=one.values[..., order], channels=before.names, units=units)
    for channel, unit, known in zip(before.names, one.units, before.units, strict=False):
        if not same_unit(unit, known):
            rule = f"{channel} of {name} must be in {known}, as in the other simulations"
            raise invalid(who, rule, unit, f"Convert it to {known}, or correct the attribute units.")
    if before.axes and one.axes and before.axes != one.axes:
        order = [one.axes.index(axis) for axis in before.axes]
        one = replace(one, points=one.points[:, order], axes=before.axes)
    return one


class PromptKind:
    """Sentences, one a row; None or an empty cell for a row without one. A single text stands for all rows."""

    has_rows = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[list[str | None], Given]:
        """From a text, a list, or a column of a table.

        Raises:
            InvalidInputError: If a prompt is no text, or an empty one.
        """
        if isinstance(value, str):
            rows: list[Any] = [value] * (1 if reading.rows is None else reading.rows)
        else:
            given = getattr(value, "to_numpy", lambda: value)()
            if isinstance(given, bytes) or not isinstance(given, Iterable):
                raise invalid(reading.who, f"{role.name} must be a text, or several", repr(given))
            rows = list(given)
        found = [None if one is None or one != one else one for one in rows]
        for one in found:
            if one is not None and not isinstance(one, str):
                raise invalid(reading.who, f"{role.name} must be texts", repr(one))
            if one is not None and not one.strip():
                raise invalid(
                    reading.who, f"a {role.name} must not be empty", repr(one), "Leave it out: None."
                )
        return found, Given("thing", "")

    def read_file(self, text: str, role: Role, key: str | None = None) -> Any:
        """The text itself, or the lines of a .txt file."""
        if Path(text[:200]).suffix.lower() != ".txt" or not isfile(text):
            return text
        return [line for line in Path(text).read_text("utf-8").splitlines() if line.strip()]


class MeshKind:
    """Meshes to answer on: points ``(M, d)``, or a simulation whose mesh is taken; one for all rows, or one a row."""

    has_rows = True
    writes: ClassVar[tuple[str, ...]] = SUFFIXES

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[list[torch.Tensor], Given]:
        """From arrays, simulations, or lists of them."""
        many = isinstance(value, list | tuple) and bool(value) and not _is_number_list(value)
        parts = [_points(one, role, reading) for one in (value if many else [value])]
        if len(parts) == 1 and reading.rows is not None:
            parts = parts * reading.rows
        return parts, Given("thing", "")

    def read_file(self, text: str, role: Role, key: str | None = None) -> Any:
        """The meshes of simulations in a file."""
        return read_mesh_fields(text, f"--{role.name}")


def _is_number_list(value: Sequence[Any]) -> bool:
    """Whether a list is one mesh, written as a list of points, or of numbers along a line."""
    first = value[0]
    if isinstance(first, int | float):
        return True
    return isinstance(first, list | tuple) and bool(first) and isinstance(first[0], int | float)


def _points(one: Any, role: Role, reading: Reading) -> torch.Tensor:
    if isinstance(one, MeshField) or hasattr(one, "coords"):
        return mesh_field(one, reading.who, role.name).points
    plain = one["points"] if isinstance(one, dict) and "points" in one else one
    plain = getattr(plain, "to_numpy", lambda: plain)()
    try:
        points = torch.as_tensor(plain, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise invalid(reading.who, f"{role.name} must be points (M, d)", str(error)) from error
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or not len(points) or not bool(points.isfinite().all()):
        raise invalid(reading.who, f"{role.name} must be finite points (M, d)", tuple(points.shape))
    return points


class SimulationList(list[Any]):
    """Simulations in whatever form, which can be written to one file.

    Attributes:
        writes: Endings of the files.
    """

    writes: ClassVar[tuple[str, ...]] = SUFFIXES

    def write_file(self, out: Path) -> None:
        """All of them to an npz file, or a single one to a NetCDF file."""
        write_mesh_fields([mesh_field(one, "write", "the answer") for one in self], out)


@record("simulations")
@dataclass(frozen=True, eq=False)
class Simulations:
    """Answers, one `MeshField` a row.

    Attributes:
        parts: The rows.
    """

    parts: list[MeshField]

    def in_kind(self, given: Given) -> object:
        """In the form and type of what was given: a list, or the single one."""
        if not isinstance(given, SimulationContainer):
            return SimulationList(self.parts)
        told: dict[str, Any] = {"channels": given.names, "axes": given.axes, "units": given.units}
        dtype = getattr(torch, str(given.dtype))
        named = [replace(one, values=one.values.to(dtype), **told) for one in self.parts]
        found = SimulationList(_as_form(one, given.form) for one in named)
        return found[0] if given.flat and len(found) == 1 else found


def _as_form(one: MeshField, form: str) -> Any:
    return one if form == FIELDS else one.to_xarray() if form == XARRAY else one.arrays()


role_kind("simulations", SimulationKind())
role_kind("prompts", PromptKind())
role_kind("meshes", MeshKind())
