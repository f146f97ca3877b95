"""Sequences of frames on a grid: their role, their units, windows of past and future, and answers with coordinates.

Letters: N sequences, T frames of each, P past and K future frames of a window, C variables, H rows, W columns,
M members.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor

from interpolants.data.gridded import Gridded, as_dates
from interpolants.data.gridded_files import FRAMES, WRITES, write_gridded
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.records import record
from interpolants.framework.answers import Ensemble
from interpolants.framework.gridded import GriddedKind
from interpolants.framework.role import Role, role_kind

role_kind("frames", GriddedKind(inner=FRAMES))
Transform = Literal["none", "sqrt"]
# How far steps of a clock may differ, as a ratio: months do by 31/28.
_EVEN = 1.2


def sequences_role() -> Role:
    """Sequences of frames; cells that were not seen are NaN."""
    about = (
        "sequences: cases by frames by points, or one sequence by its times, as xarray, an array (N, T, H, W), or a "
        "NetCDF or Zarr file; NaN where nothing was seen"
    )
    return Role(name="sequences", kind="frames", axis="case", gaps=True, about=about)


def maps(who: str, fields: Gridded) -> Tensor:
    """Values ``(N, T, C, H, W)``, if the grid has two axes.

    Raises:
        InvalidInputError: If it has one.
    """
    if len(fields.grid.sizes) != 2:
        rule = "sequences must be of maps with rows and columns"
        raise invalid(who, rule, f"axes {', '.join(fields.grid.dims)}")
    if bool(fields.values.isinf().any()):
        raise invalid(who, "sequences must be finite, or NaN where nothing was seen", "infinite values")
    return fields.values


def clock_step(who: str, fields: Gridded, like: float = 0.0) -> float:
    """Time between two frames in the unit of their coordinates, seconds for dates; 0 where they have none.

    Args:
        who: Name of the caller, used in error messages.
        fields: Sequences.
        like: The step that they must have; 0 for any.

    Raises:
        InvalidInputError: If frames are out of order, some are left out, or the step is another.
    """
    if len(fields.members) < 2:
        return 0.0
    steps = fields.members.diff()
    if not float(steps.min()) > 0 or float(steps.max()) > _EVEN * float(steps.min()):
        bad = int((steps - steps.median()).abs().argmax())
        rule = "frames must follow each other evenly"
        found = (
            f"{float(steps[bad]):g} between frames {bad} and {bad + 1}, elsewhere {float(steps.median()):g}"
        )
        raise invalid(who, rule, found, "Put frames of NaN where some are left out.")
    step = float(steps.median())
    if like and not 1 / _EVEN < step / like < _EVEN:
        raise invalid(who, f"frames must be {like:g} apart, as those of the fit", f"{step:g}")
    return step


@record("sequence_units")
@dataclass(frozen=True, kw_only=True, eq=False)
class SequenceUnits:
    """``(f(x) - mean) / std`` of each variable, f a root for amounts with many zeros and long tails.

    Attributes:
        transform: ``"none"`` or ``"sqrt"``.
        mean: ``(C, 1, 1)`` float64.
        std: ``(C, 1, 1)`` float64, positive.
    """

    transform: str
    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, x: Tensor, transform: Transform, who: str) -> Self:
        """From values ``(N, T, C, H, W)``, NaN where nothing was seen.

        Raises:
            InvalidInputError: If a variable has no value, or roots are to be taken of negative ones.
        """
        values = _forward(x.double(), transform, who).movedim(2, 0).flatten(1)
        found = [row[row.isfinite()] for row in values]
        if empty := [k for k, row in enumerate(found) if not len(row)]:
            raise invalid(who, "every variable must have values", f"none of variable {empty[0]}")
        mean, std = (torch.stack([make(row) for row in found])[:, None, None] for make in (torch.mean, _std))
        return cls(transform=transform, mean=mean, std=torch.where(std > 0, std, 1.0))

    def encode(self, x: Tensor, who: str) -> Tensor:
        """``(..., C, H, W)`` in data units to float32; NaN stays."""
        return ((_forward(x.double(), self.transform, who) - self.mean) / self.std).float()

    def decode(self, x: Tensor) -> Tensor:
        """Back to data units, float64; a negative root is nothing at all."""
        values = x.double() * self.std + self.mean
        return values.clamp_min(0).square() if self.transform == "sqrt" else values


def _std(x: Tensor) -> Tensor:
    return x.std(correction=0)


def _forward(x: Tensor, transform: str, who: str) -> Tensor:
    if transform == "none":
        return x
    if bool((x < 0).any()):
        remedy = "Use transform='none', or mark what was not measured as NaN."
        raise invalid(who, "values must be >= 0 for roots", float(x[x < 0].min()), remedy)
    return x.sqrt()


@dataclass(frozen=True, eq=False)
class Windows:
    """Pieces of ``P + K`` frames of sequences, each of which has been seen at both sides.

    Attributes:
        x: Sequences in the method's units, ``(N, T, C, H, W)`` float32.
        at: Sequence and first frame of each window, ``(n, 2)``.
        past: P.
        future: K.
    """

    x: Tensor
    at: Tensor
    past: int
    future: int

    @classmethod
    def of(cls, x: Tensor, past: int, future: int, who: str) -> Self:
        """All windows of sequences.

        Raises:
            InvalidInputError: If sequences are too short, or nothing was seen in any window.
        """
        length = past + future
        if x.shape[1] < length:
            rule = f"sequences must have past + future = {length} frames at least"
            raise invalid(who, rule, x.shape[1], "Use fewer frames, or longer sequences.")
        seen = x.isfinite().flatten(2).any(2)  # (N, T)
        pieces = seen.unfold(1, length, 1)
        good = pieces[..., past - 1] & pieces[..., past:].any(2)
        if not bool(good.any()):
            raise invalid(who, "some window must have values in its last past and in a future frame", "none")
        return cls(x, good.nonzero(), past, future)

    def __len__(self) -> int:
        return len(self.at)

    def some(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Past and future of some windows, ``(b, P, C, H, W)`` and ``(b, K, C, H, W)``."""
        found = torch.stack([self.x[n, t : t + self.past + self.future] for n, t in self.at[rows].tolist()])
        return found[:, : self.past], found[:, self.past :]


def last_frames(x: Tensor, past: int, who: str) -> Tensor:
    """The last P frames of sequences ``(B, T, ...)``.

    Raises:
        InvalidInputError: If there are fewer, or nothing was seen in the last one of a case.
    """
    if x.shape[1] < past:
        raise invalid(who, f"sequences must have at least {past} frames", x.shape[1])
    blind = ~x[:, -1].isfinite().flatten(1).any(1)
    if bool(blind.any()):
        rule = "the last frame must have values"
        raise invalid(who, rule, f"none in case {int(blind.nonzero()[0])}", "Leave empty frames out.")
    return x[:, -past:]


@record("nowcasts", skip=("given",))
@dataclass(frozen=True, kw_only=True, eq=False)
class Nowcasts(Ensemble):
    """Members of the frames that follow, ``x (B, M, K, C, H, W)``, with the coordinates of the frames before.

    Attributes:
        asked: The sequences that came in.
    """

    asked: Gridded | None = None
    writes: ClassVar[Sequence[str]] = WRITES

    def rows(self, rows: slice) -> "Nowcasts":
        """Some cases."""
        cut = super().rows(rows)
        return replace(
            self, x=cut.x, status=cut.status, asked=None if self.asked is None else self.asked[rows]
        )

    def dataset(self) -> Any:
        """An ``xarray.Dataset``: cases, members and frames, whose times go on from those that came in."""
        if self.asked is None:
            raise invalid("Nowcasts.dataset", "the context must have coordinates", "none")
        xarray, asked = require("xarray", by="Nowcasts.dataset"), self.asked
        base = asked.dataset(asked.values[:, :1])
        axes = (asked.dims[0], "member", asked.dims[1], *asked.grid.dims)
        coords = {
            name: base.coords[name] for name in (asked.dims[0], *asked.grid.dims) if name in base.coords
        }
        coords |= {"member": np.arange(self.x.shape[1]), asked.dims[1]: self._frames()}
        units = asked.grid.units or ("",) * len(asked.grid.variables)
        arrays = {
            name: (axes, self.x[:, :, :, k].detach().cpu().numpy(), {"units": unit} if unit else {})
            for k, (name, unit) in enumerate(zip(asked.grid.variables, units, strict=True))
        }
        return xarray.Dataset(arrays, coords)

    def _frames(self) -> Any:
        """Coordinates of the frames: the last step of those that came in goes on."""
        assert self.asked is not None
        ahead, known = torch.arange(1, self.x.shape[2] + 1, dtype=torch.float64), self.asked.members
        if len(known) < 2:
            return ahead.numpy()
        times = known[-1] + ahead * (known[-1] - known[-2])
        return as_dates(times) if self.asked.dated_members else times.numpy()

    def table(self) -> Any:
        """A DataFrame with one row per case, member, frame and point."""
        return self.dataset().to_dataframe()

    def write_file(self, out: Path) -> None:
        """Write NetCDF or Zarr, by the ending."""
        write_gridded(self.dataset(), out)


def nowcasts(x: Tensor, asked: Gridded) -> Nowcasts:
    """Members ``(B, M, K, C, H, W)`` in the type of the frames that came in."""
    dims = ("frame", "variable", *asked.grid.dims)
    return Nowcasts(x=x.to(asked.values.dtype), dims=dims, asked=asked)
