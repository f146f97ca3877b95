"""Units of windows of series: fixed for all of them, or the size of what each window may look at.

Letters: R windows, T times, C columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record
from interpolants.framework.frames import Standard, constant_columns
from interpolants.framework.series import Series

SCALES = ("standard", "window")


@record("window_units")
@dataclass(frozen=True)
class WindowUnits:
    """``(x - shift) / scale`` per column.

    Attributes:
        kind: ``"standard"``: mean and deviation of the training part; ``"window"``: no shift, and the mean absolute
            value of what is seen of each window.
        shift: ``(C,)``, float64.
        scale: ``(C,)``, float64, positive; for ``"window"`` the mean of the training part, to fall back upon.
        kept: Scales of some training windows, ``(K, C)``, for windows that are drawn freely.
        flat: Columns that are constant over the training part, ``(C,)``: what is drawn of them is this constant.

    Source: Kollovieh et al. (2023), arXiv:2307.11494, for the mean absolute value.
    """

    kind: str
    shift: Tensor
    scale: Tensor
    kept: Tensor
    flat: Tensor | None = None

    @classmethod
    def fit(cls, kind: str, series: Sequence[Series]) -> Self:
        """From training series.

        Raises:
            InvalidInputError: If a column was never seen, or never differs from zero with ``"window"``.
        """
        who = "SelfGuidedDiffusion"
        one_of(who, "scale", kind, SCALES)
        values = torch.cat([one.with_gaps() for one in series])
        for c, seen in enumerate(values.isfinite().any(0).tolist()):
            if not seen:
                raise invalid(f"{who}.fit", "every column must have values", f"none in column {c}")
        if kind == "standard":
            frame = Standard().fit(values)
            shift, scale = torch.as_tensor(frame.shift), torch.as_tensor(frame.scale)
        else:
            shift, scale = values.new_zeros(values.shape[1]), values.abs().nanmean(0)
            if not bool((scale > 0).all()):
                remedy = "Leave the column out, or take scale='standard'."
                raise invalid(f"{who}.fit", "no column may be zero throughout", "zeros alone", remedy)
        flat = torch.stack([constant_columns(column[column.isfinite()][:, None])[0] for column in values.mT])
        return cls(kind, shift, scale, scale[None], flat if kind == "standard" else None)

    def keeping(self, scales: Tensor) -> Self:
        """The same with scales of training windows, ``(K, C)``."""
        return replace(self, kept=scales)

    def decode(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        """Windows ``(R, L, C)`` in data units, float64."""
        found = x.double() * scale + shift
        return found if self.flat is None else torch.where(self.flat, shift, found)

    def of(self, values: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and scale ``(R, 1, C)`` of windows, from what they may look at; scale 0 where there is nothing.

        Args:
            values: ``(R, T, C)``, finite.
            seen: Which entries may be looked at, ``(R, T, C)``.
        """
        shift = self.shift.expand(len(values), 1, -1)
        if self.kind == "standard":
            return shift, self.scale.expand(len(values), 1, -1)
        total = (values.abs() * seen).sum(1, keepdim=True)
        return shift, total / seen.sum(1, keepdim=True).clamp(min=1)
