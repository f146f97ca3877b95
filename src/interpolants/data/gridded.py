"""Fields on a grid: cases by members (or times) by variables by points, with the coordinates of all of them.

Letters: N cases, M members of each case, C variables, G the axes of the grid (one or two).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from interpolants.data.unit_words import same_unit
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.records import record

LATITUDES, LONGITUDES = ("latitude", "lat"), ("longitude", "lon")
# Axes of arrays without names.
PLAIN = (("point",), ("row", "column"))
# Relative to a step of the grid: how far a circle of longitudes may be from closing, and a row from a pole.
_CLOSE = 1e-3
_DAY = 86_400.0


@record("grid")
@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """Axes of a grid, the variables on it, and where its points lie.

    Attributes:
        dims: Names of the axes G.
        sizes: Their lengths.
        variables: Names of the variables.
        units: Unit of each variable; empty where unknown.
        coords: Coordinates of axes, ``(size,)`` float64, by the name of the axis; those of geography are in degrees.
        words: The coordinates of axes that have words, such as names of stations; ``coords`` holds a number for each.
    """

    dims: tuple[str, ...]
    sizes: tuple[int, ...]
    variables: tuple[str, ...]
    units: tuple[str, ...] = ()
    coords: Mapping[str, Tensor] = field(default_factory=dict)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """``(C, *G)``."""
        return (len(self.variables), *self.sizes)

    @property
    def is_plain(self) -> bool:
        """Whether it is that of an array, whose axes and variables have no names of their own."""
        return not self.coords and self.dims in PLAIN

    def edges(self) -> tuple[str, ...]:
        """What lies beyond each axis, as networks on grids ask: circles of longitude close, latitudes end at poles.

        ``"border"`` for what is no whole circle, and for grids without coordinates.
        """
        return tuple(self._edge(name, k) for k, name in enumerate(self.dims))

    def _edge(self, name: str, k: int) -> str:
        x = self.coords.get(name)
        if x is None or len(x) < 2:
            return "border"
        step = float(x.diff().abs().mean())
        if name.lower() in LONGITUDES and abs(step * len(x) - 360) < _CLOSE * step * len(x):
            return "periodic"
        circle = k + 1 < len(self.dims) and self._edge(self.dims[k + 1], k + 1) == "periodic"
        if name.lower() in LATITUDES and circle and self.sizes[k + 1] % 2 == 0:
            gap = (90 - x.abs().max()) / step, (90 + min(float(x[0]), float(x[-1]))) / step
            for word, wanted in (("pole_row", 0.0), ("pole", 0.5)):
                if all(abs(float(one) - wanted) < _CLOSE for one in gap):
                    return word
        return "border"

    def weights(self) -> Tensor:
        """Share of the area of each point, ``(*G)`` float64 with mean 1: bands between latitudes, or equal cells.

        A band ends half way to the next latitude, and at the poles; its area is the difference of the sines of its
        ends. Rows at a pole have half a cell and not, as with the cosine, nothing.
        """
        found = torch.ones(self.sizes, dtype=torch.float64)
        for k, name in enumerate(self.dims):
            x = self.coords.get(name)
            if name.lower() in LATITUDES and x is not None and len(x) > 1:
                shape = [-1 if j == k else 1 for j in range(len(self.dims))]
                found = found * _bands(x).reshape(shape)
        return found / found.mean()

    def checked_like(self, other: "Grid", who: str, name: str) -> None:
        """Refuse another grid, other variables, or other units of these.

        Raises:
            InvalidInputError: With the axis, the variable or the unit that differs.
        """
        if self.variables != other.variables:
            rule = f"{name} must have the variables {', '.join(other.variables)}, in this order"
            raise invalid(who, rule, ", ".join(self.variables))
        for variable, unit, wanted in zip(self.variables, self.units, other.units, strict=False):
            if not same_unit(unit, wanted):
                remedy = f"Convert it to {wanted}, or correct the attribute units."
                raise invalid(
                    who, f"{variable} of {name} must be in {wanted}, as in the other fields", unit, remedy
                )
        if self.sizes != other.sizes:
            rule = f"{name} must be on a grid of {' x '.join(map(str, other.sizes))} points"
            raise invalid(who, rule, " x ".join(map(str, self.sizes)), "Bring both onto one grid.")
        for k, axis in enumerate(other.dims):
            own, theirs = self.coords.get(self.dims[k]), other.coords.get(axis)
            if own is None or theirs is None or torch.allclose(own, theirs, rtol=0, atol=tolerance(theirs)):
                continue
            first = int((own - theirs).abs().argmax())
            found, wanted = self._place(self.dims[k], first), other._place(axis, first)
            rule = f"{name} must have the {axis} of the other fields: {wanted} at place {first}"
            raise invalid(who, rule, found, "Sort or interpolate it onto the same grid.")

    def _place(self, axis: str, k: int) -> str:
        """A coordinate in words."""
        return self.words[axis][k] if axis in self.words else f"{float(self.coords[axis][k]):g}"


def tolerance(x: Tensor) -> float:
    """How far coordinates may differ that count as one."""
    return 1e-3 * float(x.diff().abs().min()) if len(x) > 1 else 1e-6


def _bands(latitude: Tensor) -> Tensor:
    """Areas of bands of latitude, ``(H,)``, proportional to the difference of the sines of their ends."""
    x, order = latitude.sort()
    middle = (x[1:] + x[:-1]) / 2
    ends = torch.cat([2 * x[:1] - middle[:1], middle, 2 * x[-1:] - middle[-1:]]).clamp(-90, 90)
    area = (ends * math.pi / 180).sin().diff()
    return torch.empty_like(area).index_copy_(0, order, area)


@record("gridded")
@dataclass(frozen=True, kw_only=True, eq=False)
class Gridded:
    """Fields of N cases.

    Attributes:
        values: ``(N, M, C, *G)``, float32 or float64; NaN where nothing is known.
        grid: Where the points lie, and the variables.
        dims: Names of the axes of cases and members.
        cases: Coordinates of the cases, ``(N,)`` float64: dates in seconds since 1970, or numbers; empty for none.
        dated: Whether the cases are dates.
        members: Coordinates of the members, ``(M,)`` float64; empty for none.
        dated_members: Whether the members are times of a sequence, with dates.
        words: Names of the cases, where their coordinates are words; ``cases`` holds a number for each.
    """

    values: Tensor
    grid: Grid
    dims: tuple[str, str] = ("case", "member")
    cases: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    dated: bool = False
    members: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    dated_members: bool = False
    words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim < 4 or tuple(self.values.shape[2:]) != self.grid.shape:
            rule = f"values must be (N, M, {', '.join(map(str, self.grid.shape))})"
            raise invalid("Gridded", rule, tuple(self.values.shape))
        for name, length in (("cases", self.values.shape[0]), ("members", self.values.shape[1])):
            if len(getattr(self, name)) not in (0, length):
                raise invalid("Gridded", f"{name} must have length {length}", len(getattr(self, name)))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> Self:
        """Some cases, by slice or indices."""
        index = rows if isinstance(rows, slice) else torch.as_tensor(rows)
        cases = self.cases[index] if len(self.cases) else self.cases
        words = (
            tuple(self.words[k] for k in torch.arange(len(self.values))[index].tolist()) if self.words else ()
        )
        return replace(self, values=self.values[index], cases=cases, words=words)

    def some_members(self, index: Any) -> Self:
        """Some members of every case, by slice or indices."""
        members = self.members[index] if len(self.members) else self.members
        return replace(self, values=self.values[:, index], members=members)

    def day_of_year(self) -> Tensor | None:
        """Day of the year of each case, ``(N,)`` from 0 to 364, 29 February as the day before; None without dates."""
        if not self.dated:
            return None
        return days_of_year(self.cases)

    def dataset(self, values: Tensor | None = None, members: Tensor | None = None) -> Any:
        """An ``xarray.Dataset`` with the coordinates, one variable each.

        Args:
            values: Other values ``(N, M', C, *G)``; its own if none.
            members: Coordinates of their members; its own if none.
        """
        xarray = require("xarray", by="Gridded.dataset")
        x = self.values if values is None else values
        labels = self.members if members is None and values is None else members
        inner = labels if labels is not None and len(labels) else torch.arange(x.shape[1])
        coords = {self.dims[0]: self._cases(), self.dims[1]: inner.numpy()}
        for name, one in self.grid.coords.items():
            places = np.array(self.grid.words[name]) if name in self.grid.words else one.numpy()
            coords[name] = (name, places, _geography(name))
        axes = (*self.dims, *self.grid.dims)
        arrays = {
            name: (axes, x[:, :, k].detach().cpu().numpy(), {"units": unit} if unit else {})
            for k, (name, unit) in enumerate(zip(self.grid.variables, self._units(), strict=True))
        }
        return xarray.Dataset(arrays, coords)

    def _cases(self) -> Any:
        if self.words:
            return np.array(self.words)
        if not self.dated:
            return (self.cases if len(self.cases) else torch.arange(len(self))).numpy()
        return as_dates(self.cases)

    def _units(self) -> tuple[str, ...]:
        return self.grid.units or ("",) * len(self.grid.variables)


def _geography(axis: str) -> dict[str, str]:
    """Attributes by which programs for the climate and the weather (CF conventions) know an axis of the globe."""
    for names, unit in ((LATITUDES, "degrees_north"), (LONGITUDES, "degrees_east")):
        if axis.lower() in names:
            return {"standard_name": names[0], "units": unit}
    return {}


def as_dates(seconds: Tensor) -> Any:
    """Dates of seconds since 1970, to the microsecond, as xarray takes them."""
    whole = np.round(seconds.numpy() * 1e6).astype(np.int64)
    return whole.astype("datetime64[us]").astype("datetime64[ns]")


def joined_cases(parts: Sequence[Gridded]) -> Gridded:
    """Cases of one grid, one part after the other."""
    values, cases = (torch.cat([getattr(part, name) for part in parts]) for name in ("values", "cases"))
    words = tuple(word for part in parts for word in part.words)
    return replace(parts[0], values=values, cases=cases, words=words)


def days_of_year(seconds: Tensor) -> Tensor:
    """Day of the year of dates in seconds since 1970, ``(N,)`` from 0 to 364; 29 February counts as the 28th."""
    stamps = np.floor(seconds.numpy() / _DAY).astype(np.int64).astype("datetime64[D]")
    years = stamps.astype("datetime64[Y]")
    day = (stamps - years.astype("datetime64[D]")).astype(np.int64)
    year = years.astype(np.int64) + 1970
    leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    return torch.from_numpy(np.where(leap & (day >= 59), day - 1, day))
