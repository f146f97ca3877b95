"""Units of windows of series: fixed for all of them, or the size of what each window may look at.

Letters: R windows, T times, C columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from interpolants.data.windows import all_windows
from interpolants.foundations.asked import invalid
from interpolants.foundations.records import record
from interpolants.framework.frames import Standard, constant_columns
from interpolants.framework.series import Series

Scale = Literal["standard", "window", "level"]
# Least deviation of a window in units of its level, as a share of the usual one.
_LEAST = 1e-2
# Windows of a series from which the usual deviation is taken.
_MOST_WINDOWS = 1000


@record("window_units")
@dataclass(frozen=True)
class WindowUnits:
    """``(x - shift) / scale`` per column.

    Attributes:
        kind: ``"standard"``: mean and deviation of the training part; ``"window"``: no shift, and the mean absolute
            value of what is seen of each window; ``"level"``: the mean of what is seen of each window, and its
            deviation from it.
        shift: ``(C,)``, float64.
        scale: ``(C,)``, float64, positive; for ``"window"`` the mean size of the training part, for ``"level"`` the
            root mean square of the deviations of its windows.
        kept: Scales of some training windows, ``(K, C)``, for windows that are drawn freely.
        levels: Levels of these windows, ``(K, C)``, for ``"level"``.
        flat: Columns that are constant over the training part, ``(C,)``: what is drawn of them is this constant.

    Source: Kollovieh et al. (2023), arXiv:2307.11494, for the mean absolute value.
    """

    kind: Scale
    shift: Tensor
    scale: Tensor
    kept: Tensor
    flat: Tensor | None = None
    levels: Tensor | None = None

    @classmethod
    def fit(cls, kind: Scale, series: Sequence[Series], context: int = 1) -> Self:
        """From training series.

        Args:
            kind: Kind of units.
            series: The series.
            context: Times of a window that give its level and scale, for ``"level"``.

        Raises:
            InvalidInputError: If a column was never seen, or never differs from zero with ``"window"``.
        """
        values = torch.cat([one.with_gaps() for one in series])
        for c, seen in enumerate(values.isfinite().any(0).tolist()):
            if not seen:
                raise invalid("every column must have values", f"none in column {c}")
        if kind == "standard":
            frame = Standard().fit(values)
            shift, scale = torch.as_tensor(frame.shift), torch.as_tensor(frame.scale)
        elif kind == "level":
            shift, scale = values.nanmean(0), _usual_deviation(series, context)
        else:
            shift, scale = values.new_zeros(values.shape[1]), values.abs().nanmean(0)
            if not bool((scale > 0).all()):
                remedy = "Leave the column out, or use scale='standard'."
                raise invalid("no column may be zero throughout", "zeros alone", remedy)
        flat = torch.stack([constant_columns(column[column.isfinite()][:, None])[0] for column in values.mT])
        return cls(kind, shift, scale, scale[None], None if kind == "window" else flat)

    def keeping(self, scales: Tensor, levels: Tensor) -> Self:
        """The same with scales and levels of training windows, ``(K, C)``."""
        return replace(self, kept=scales, levels=levels if self.kind == "level" else None)

    def drawn(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and scale ``(R, 1, C)`` of windows that are drawn freely, those of kept windows in turn."""
        rows = rows % len(self.kept)
        shift = self.shift.expand(len(rows), -1) if self.levels is None else self.levels[rows]
        return shift[:, None], self.kept[rows][:, None]

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
        count = seen.sum(1, keepdim=True)
        if self.kind == "level":
            return self._about_level(values, seen, count)
        total = (values.abs() * seen).sum(1, keepdim=True)
        return shift, total / count.clamp(min=1)

    def _about_level(self, values: Tensor, seen: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of what is seen; the usual deviation where it is next to constant."""
        # Means about the first seen value keep the digits of levels far from 0.
        first = values.gather(1, seen.int().argmax(1, keepdim=True))
        away = torch.where(seen, values - first, 0.0)
        mean = away.sum(1, keepdim=True) / count.clamp(min=1)
        squares = torch.where(seen, (away - mean).square(), 0.0).sum(1, keepdim=True)
        scale = (squares / count.clamp(min=1)).sqrt()
        usual = self.scale.expand_as(scale)
        scale = torch.where(scale > _LEAST * usual, scale, usual)
        return first + mean, torch.where(count > 0, scale, 0.0)


def _usual_deviation(series: Sequence[Series], context: int) -> Tensor:
    """Root mean square over windows of their deviations from their means, ``(C,)``; 1 where it is 0."""
    parts = []
    for one in series:
        windows = all_windows(one.with_gaps(), min(context, len(one)))
        windows = windows[:: max(1, len(windows) // _MOST_WINDOWS)]
        parts.append((windows - windows.nanmean(1, keepdim=True)).square().nanmean(1))
    found = torch.cat(parts).nanmean(0).sqrt()
    return torch.where(found > 0, found, 1.0)
