"""Tracks as a kind of role: arrays, ragged lists, long tables and files of moving points."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from interpolants.apps.trajectories.data.tracks import Tracks, ragged_tracks, read_tracks, tracks_of_table
from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import as_tensor, is_table
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.tell import OutsideWarning, tell
from interpolants.framework.role import Reading, Role, role_kind

TABLES = (".csv", ".parquet")


class TracksKind:
    """Moving points of several cases, as :class:`~interpolants.apps.trajectories.data.tracks.Tracks`."""

    has_rows = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[Tracks, Given]:
        """From arrays with NaN where nothing was seen, a list with one array per case, a long table or a file.

        ``{"x": positions, "types": types}`` brings the types of nodes. See ``Tracks.of``,
        ``ragged_tracks`` and ``tracks_of_table``.

        Raises:
            InvalidInputError: If it is none of them, or its dimensions are not those of the fit.
        """
        who = f"{reading.who}: {role.name}"
        tracks, given = _tracks(value, role, reading, who)
        before = reading.before
        known = () if before is None else tuple(before.columns)
        if known and tracks.columns and tuple(tracks.columns) != known:
            tracks = _in_order(tracks, known, who)
        if before is not None and (stride := tracks.stride) > 1 and int(tracks.seen.any(2).sum(1).max()) > 2:
            told = f"{who}: one frame in {stride} was seen of every case"
            words = (
                f"frames of the fit are counted by ones: divide them by {stride} if these are as far apart"
            )
            tell(OutsideWarning, f"{told}; {words}.")
        return tracks, given

    def read_file(self, text: str, role: Role, key: str | None = None) -> Tracks | Tensor:
        """Tracks of a file: a long table, or an array ``(B, T, N, D)``."""
        from interpolants.data.files import read_array

        if text.endswith(TABLES):
            return read_tracks(text, role.name)
        return read_array(text, role.name, key=key, gaps=True, exact=True).x


def _tracks(value: Any, role: Role, reading: Reading, who: str) -> tuple[Tracks, Given]:
    if isinstance(value, str) and value.endswith(TABLES):
        value = read_tracks(value, who)
    if isinstance(value, Tracks):
        return value, Given("torch", "float64", columns=value.columns)
    if isinstance(value, Mapping):
        return _with_types(value, role, reading, who)
    if is_table(value):
        found = tracks_of_table(value, who)
        return found, Given("pandas", "float64", columns=found.columns)
    if isinstance(value, list | tuple) and value and getattr(value[0], "ndim", 0) in (2, 3):
        parts = [_array(part, role, reading)[0] for part in value]
        return ragged_tracks(parts, who=who), Given("list", "float64")
    x, given = _array(value, role, reading)
    return Tracks.of(x, who=who), given


def _array(value: Any, role: Role, reading: Reading) -> tuple[Tensor, Given]:
    return as_tensor(value, reading.who, role.name, dtype=torch.float64, gaps=True)


def _with_types(value: Mapping[str, Any], role: Role, reading: Reading, who: str) -> tuple[Tracks, Given]:
    for name in value:
        if name not in ("x", "types"):
            raise invalid(
                who, "a dict of tracks must have x and types", repr(name), nearest(name, ("x", "types"))
            )
    if "x" not in value:
        raise invalid(who, "a dict of tracks must have x", ", ".join(value))
    x, types = value["x"], value.get("types")
    if isinstance(x, list | tuple) and x and getattr(x[0], "ndim", 0) in (2, 3):
        parts = [_array(part, role, reading)[0] for part in x]
        kinds = None if types is None else [torch.as_tensor(own) for own in types]
        return ragged_tracks(parts, kinds, who=who), Given("list", "float64")
    tensor, given = _array(x, role, reading)
    return Tracks.of(tensor, None if types is None else torch.as_tensor(types), who=who), given


def _in_order(tracks: Tracks, columns: tuple[str, ...], who: str) -> Tracks:
    """Dimensions in the order of the fit."""
    from dataclasses import replace

    for name in columns:
        if name not in tracks.columns:
            rule = f"tracks must have the dimensions of the fit, {', '.join(columns)}"
            raise invalid(who, rule, ", ".join(tracks.columns), nearest(name, tracks.columns))
    places = [tracks.columns.index(name) for name in columns]
    return replace(tracks, x=tracks.x[..., places], columns=columns)


role_kind("tracks", TracksKind())


def tracks_role() -> Role:
    """The tracks that a method of this room learns from."""
    about = "Moving points: (cases, frames, nodes, dimensions) with NaN where nothing was seen."
    return Role(name="tracks", kind="tracks", gaps=True, about=about)
