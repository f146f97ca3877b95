"""Tracks: moving points, frame by frame, padded; types of points that do not change.

Letters: B cases, T frames, N nodes (points), D dimensions of space.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from interpolants.apps.trajectories.data.packs import packed
from interpolants.data.series_table import without_row_numbers
from interpolants.data.table_files import csv_frame, parquet_frame
from interpolants.foundations.errors import InvalidInputError, invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.records import record

_NO_NAMES: tuple[str | int, ...] = ()
_KEYS = ("track", "frame", "node", "type")
_DEGREES = re.compile(r"(lat|lon|long|lng|latitude|longitude)s?([_ .(\[]*deg(rees?)?[_a-z\])]*)?")
_CLOCKS = ("time", "times", "timestamp", "t", "date", "datetime", "seconds")


@record("tracks")
@dataclass(frozen=True, kw_only=True, eq=False)
class Tracks:
    """Moving points of several cases.

    Attributes:
        x: ``(B, T, N, D)``, zero where nothing was seen; kept in float64.
        seen: ``(B, T, N)`` bool.
        types: Type of each node, ``(B, N)`` int64, 0 for all where there are no types.
        columns: Names of the dimensions; may be empty.
        typed: Whether types were given; where they were not, all are 0.
        single: Whether they came without an axis of nodes, ``(B, T, D)``.
        cases: Names of the cases in a table, B of them; empty for arrays.
        nodes: Names of the nodes in a table, N of them; empty for arrays.

    Raises:
        InvalidInputError: If a position is infinite or NaN, which :meth:`of` reads as not seen.
    """

    x: Tensor
    seen: Tensor
    types: Tensor
    columns: tuple[str, ...] = ()
    typed: bool = False
    single: bool = False
    cases: tuple[str | int, ...] = ()
    nodes: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        if not bool(self.x.isfinite().all()):
            remedy = "Tracks.of(x) reads positions with NaN where nothing was seen."
            raise invalid("Tracks", "x must be finite, 0 where nothing was seen", "inf or NaN", remedy)
        object.__setattr__(self, "x", self.x.double())

    @classmethod
    def of(
        cls, x: Tensor, types: Tensor | None = None, *, columns: Sequence[str] = (), who: str = "Tracks"
    ) -> "Tracks":
        """From positions with NaN where a node was not seen.

        Args:
            x: ``(B, T, N, D)``, or ``(B, T, D)`` for single nodes. A node is seen in a frame wholly or not at all.
            types: ``(B, N)`` or ``(N,)`` whole numbers >= 0.
            columns: Names of the dimensions.
            who: Name of the caller, used in error messages.

        Raises:
            InvalidInputError: If shapes do not fit, a position is infinite or known in some dimensions alone.
        """
        single = x.ndim == 3
        x = x[:, :, None] if single else x
        if x.ndim != 4 or not all(x.shape):
            rule = "tracks must be (cases, frames, nodes, dimensions), or (cases, frames, dimensions)"
            raise invalid(who, rule, tuple(x.shape), "A single case needs x[None].")
        if bool(x.isinf().any()):
            raise invalid(who, "positions must be finite, or NaN where nothing was seen", "inf")
        known = ~x.isnan()
        if bool((known.any(-1) != known.all(-1)).any()):
            case, frame, node = (known.any(-1) != known.all(-1)).nonzero()[0].tolist()
            rule = "a node must be seen in all dimensions or in none"
            raise invalid(who, rule, f"some of case {case}, frame {frame}, node {node}")
        places = torch.where(known, x, 0.0).double()
        kinds = _types(types, len(x), x.shape[2], who)
        seen, names = known.all(-1), tuple(columns)
        return cls(x=places, seen=seen, types=kinds, columns=names, typed=types is not None, single=single)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> "Tracks":
        """Some cases, by slice or indices."""
        index = rows if isinstance(rows, slice) else torch.as_tensor(rows)
        names = tuple(self.cases[k] for k in torch.arange(len(self.x))[index].tolist()) if self.cases else ()
        return replace(self, x=self.x[index], seen=self.seen[index], types=self.types[index], cases=names)

    def frames(self, first: int, last: int) -> "Tracks":
        """Frames ``first`` to ``last - 1`` of all cases."""
        return replace(self, x=self.x[:, first:last], seen=self.seen[:, first:last])

    @property
    def labels(self) -> dict[str, tuple[str | int, ...]]:
        """Names of cases and nodes for an answer about them, where they have names."""
        return {axis: names for axis, names in (("case", self.cases), ("node", self.nodes)) if names}

    @property
    def stride(self) -> int:
        """The largest number of which all distances between seen frames of a case are multiples; 0 without any."""
        found = 0
        for row in self.seen.any(2):
            frames = row.nonzero()[:, 0]
            found = math.gcd(found, *frames.diff().tolist())
            if found == 1:
                break
        return found

    def with_gaps(self) -> Tensor:
        """Positions with NaN where nothing was seen, ``(B, T, N, D)``."""
        return torch.where(self.seen[..., None], self.x, torch.nan)


def _types(types: Tensor | None, cases: int, nodes: int, who: str) -> Tensor:
    if types is None:
        return torch.zeros(cases, nodes, dtype=torch.long)
    found = torch.as_tensor(types)
    found = found.expand(cases, -1) if found.ndim == 1 else found
    if found.shape != (cases, nodes):
        raise invalid(who, f"types must be ({cases}, {nodes}), one for each node", tuple(found.shape))
    if found.is_complex() or bool((found != found.round()).any()) or bool((found < 0).any()):
        raise invalid(who, "types must be whole numbers >= 0", found.flatten()[:4].tolist())
    return found.long().contiguous()


def ragged_tracks(
    parts: Sequence[Tensor], types: Sequence[Tensor] | None = None, *, who: str = "Tracks"
) -> Tracks:
    """Tracks of cases that differ in frames and nodes, ``(T_i, N_i, D)`` or ``(T_i, D)`` each, padded.

    Args:
        parts: One array per case.
        types: Types of the nodes of each case, ``(N_i,)``.
        who: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If cases differ in their dimensions, or types do not fit.
    """
    wide = [part[:, None] if part.ndim == 2 else part for part in parts]
    pack, single = packed(wide, axes=2, fill=torch.nan), all(part.ndim == 2 for part in parts)
    if types is None:
        return replace(Tracks.of(pack.values, who=who), single=single)
    for number, (part, own) in enumerate(zip(wide, types, strict=True)):
        if len(own) != part.shape[1]:
            rule = f"case {number} must have {part.shape[1]} types, one for each node"
            raise invalid(who, rule, len(own))
    kinds = packed([torch.as_tensor(own) for own in types]).values
    return replace(Tracks.of(pack.values, kinds, who=who), single=single)


def tracks_of_table(table: Any, who: str = "Tracks") -> Tracks:
    """Tracks of a long table: a row for each case, frame and node.

    Columns ``track`` and ``frame`` (whole numbers, counted from the first of each track) are needed; ``node`` and
    ``type`` (a whole number that belongs to the node) may be there. All others are dimensions of space. A row that
    is missing, or has NaN, was not seen. Tracks stand in the order in which they come, nodes in that of their names;
    both keep their names.

    Args:
        table: A DataFrame.
        who: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If a column is missing or no number, a row comes twice, a node has two types, positions
            are degrees, which are no distances, or a column holds times.
    """
    names = {str(name): name for name in table.columns}
    for name in _KEYS[:2]:
        if name not in names:
            rule = f"a table of tracks must have a column {name}"
            raise invalid(who, rule, ", ".join(names), nearest(name, names))
    space = [name for name in names if name not in _KEYS]
    if not space:
        raise invalid(who, "a table of tracks must have columns with positions", ", ".join(names))
    if clocks := [name for name in space if name.lower() in _CLOCKS]:
        rule = "columns beside track, frame, node and type must be positions"
        raise invalid(who, rule, f"times, {' and '.join(clocks)}", "Leave it out: frame counts the time.")
    if degrees := [name for name in space if _DEGREES.fullmatch(name.lower())]:
        remedy = "Bring them to a map in km, e.g. with data.storms.equal_area(lat, lon, centre)."
        raise invalid(who, "positions must be lengths", f"degrees, {' and '.join(degrees)}", remedy)
    if not len(table):
        raise invalid(who, "a table of tracks must have rows", "none")
    frame = _whole_column(table[names["frame"]], "frame", who)
    case, cases = _codes(table[names["track"]], "track", who)
    first = torch.full((int(case.max()) + 1,), torch.iinfo(torch.long).max).scatter_reduce(
        0, case, frame, "amin"
    )
    node, nodes = torch.zeros_like(case), _NO_NAMES
    if "node" in names:
        node, nodes = _codes(table[names["node"]], "node", who, ordered=True)
    place = (case, frame - first[case], node)
    sizes = [int(part.max()) + 1 for part in place]
    _check_once(place, sizes, who)
    x = torch.full((*sizes, len(space)), torch.nan, dtype=torch.float64)
    x[place] = _positions(table[[names[name] for name in space]], who)
    types = None
    if "type" in names:
        types = _types_of_nodes(_whole_column(table[names["type"]], "type", who), case, node, sizes, who)
    return replace(Tracks.of(x, types, columns=space, who=who), cases=cases, nodes=nodes)


def read_tracks(path: str, who: str) -> Tracks:
    """Tracks of a CSV or Parquet file, see :func:`tracks_of_table`.

    Raises:
        InvalidInputError: If there is no such file, or it is no such table.
    """
    require("pandas", by=who)
    try:
        table = parquet_frame(who, path) if path.endswith(".parquet") else csv_frame(who, path)
    except InvalidInputError:
        raise
    except (OSError, ValueError) as error:
        raise invalid(who, "the file must be a table of tracks", path, str(error)) from error
    return tracks_of_table(without_row_numbers(table), who)


def _whole_column(column: Any, name: str, who: str) -> Tensor:
    values = column.to_numpy()
    if values.dtype.kind not in "iuf" or not bool((values == values.round()).all()):
        remedy = "Number them: frames 0, 1, 2, ... at equal distances in time; types 0, 1, ..."
        raise invalid(who, f"column {name} must contain whole numbers", str(column.iloc[0]), remedy)
    return torch.from_numpy(values.astype("int64"))


def _codes(
    column: Any, name: str, who: str, *, ordered: bool = False
) -> tuple[Tensor, tuple[str | int, ...]]:
    """Numbers 0, 1, ... of the values of a column, as they come or in their own order, and these values."""
    pandas = require("pandas", by="Tracks")
    if bool(column.isna().any()):
        row = int(column.isna().to_numpy().nonzero()[0][0])
        raise invalid(
            who, f"column {name} must have a value in every row", f"none in row {row + 1}", "Drop these rows."
        )
    codes, values = pandas.factorize(column, sort=ordered)
    whole = getattr(values.dtype, "kind", "O") in "iu"
    names = tuple(int(value) if whole else str(value) for value in values)
    return torch.from_numpy(codes.astype("int64")), names


def _positions(table: Any, who: str) -> Tensor:
    try:
        return torch.from_numpy(table.to_numpy(dtype="float64").copy())
    except (TypeError, ValueError) as error:
        rule = "all columns but track, frame, node and type must be positions"
        raise invalid(who, rule, str(error)) from error


def _check_once(place: tuple[Tensor, ...], sizes: Sequence[int], who: str) -> None:
    flat = (place[0] * sizes[1] + place[1]) * sizes[2] + place[2]
    counts = flat.bincount()
    if bool((counts > 1).any()):
        where = int(counts.argmax())
        case, rest = divmod(where, sizes[1] * sizes[2])
        told = f"frame {rest // sizes[2]} of track {case} (counted from 0)"
        raise invalid(who, "every track, frame and node must come once", told)


def _types_of_nodes(kind: Tensor, case: Tensor, node: Tensor, sizes: Sequence[int], who: str) -> Tensor:
    low, high = (
        torch.full((sizes[0] * sizes[2],), fill).scatter_reduce(0, case * sizes[2] + node, kind, how)
        for fill, how in ((torch.iinfo(torch.long).max, "amin"), (-1, "amax"))
    )
    if bool(((low != high) & (high >= 0)).any()):
        raise invalid(who, "a node must have one type in all frames", "two")
    return high.clamp_min(0).reshape(sizes[0], sizes[2])
