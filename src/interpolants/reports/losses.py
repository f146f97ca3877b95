"""Curves of training: what was logged of each stage of a fit, as a figure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.reports.facts import StageFacts
from interpolants.reports.words import spaced

# Logged numbers that are clocks, counts, settings or weights.
_OTHERS = frozenset(("step", "seconds", "time", "lr", "epoch", "grad_norm", "skipped", "eta", "eps", "w_min"))
_MOST = 5
_DECADES = 20  # ratio from which a logarithmic axis is easier to read
CAPTION = (
    "What was logged in training. Faint: each logged step; bold: running mean; dashed: on rows that training does not "
    "see. A loss need not come to zero: what cannot be predicted remains."
)


def loss_figure(stages: Sequence[StageFacts]) -> Figure | None:
    """One panel per stage with at least two logged rows; None where there is none."""
    told = [stage for stage in stages if len(stage.history) > 1 and _curves(stage.history)]
    if not told:
        return None
    panels = tuple(_panel(stage, titled=len(stages) > 1) for stage in told)
    wide = 480 if len(panels) == 1 else 340 * len(panels)
    return Figure(name="training", panels=panels, caption=CAPTION, width=wide, height=270)


def _panel(stage: StageFacts, *, titled: bool) -> Panel:
    curves, unseen = _curves(stage.history), _curves(stage.held_out)
    lines = [line for hue, (name, xy) in enumerate(curves.items()) for line in _lines(name, *xy, hue)]
    lines += [_dashed(name, *xy, len(curves) + k) for k, (name, xy) in enumerate(unseen.items())]
    every = torch.cat([y for _, y in (*curves.values(), *unseen.values())])
    low, high = float(every.min()), float(every.max())
    wide = low > 0 and high > _DECADES * low
    y = Axis(label="logged value", scale="log" if wide else "linear", grid=True)
    title = f"stage {spaced(stage.name)}" if titled else ""
    return Panel(series=tuple(lines), title=title, x=Axis(label="step"), y=y, legend="below")


def _lines(name: str, step: Tensor, value: Tensor, hue: int) -> tuple[Series, Series]:
    faint = Series(mark="line", arrays={"x": step, "y": value}, hue=hue, size=0.8, alpha=0.35)
    bold = Series(
        mark="line", arrays={"x": step, "y": running_mean(value)}, hue=hue, size=1.8, name=spaced(name)
    )
    return faint, bold


def _dashed(name: str, step: Tensor, value: Tensor, hue: int) -> Series:
    """What validations measured."""
    named = spaced(name).replace("held out", "held-out")
    return Series(mark="line", arrays={"x": step, "y": value}, hue=hue, dash="--", name=named)


def _curves(history: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Tensor, Tensor]]:
    """Name -> steps and values, without those that repeat an earlier one."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for name in dict.fromkeys(key for row in history for key in row if key not in _OTHERS):
        rows = [row for row in history if _is_number(row.get(name))]
        if len(rows) < 2:
            continue
        step, value = (torch.tensor([float(row[key]) for row in rows]) for key in ("step", name))
        if not any(value.shape == y.shape and torch.equal(value, y) for _, y in found.values()):
            found[name] = step, value
    return dict(list(found.items())[:_MOST])


def running_mean(values: Tensor) -> Tensor:
    """Mean over a centred window of about a twentieth of the curve, which shrinks at both ends."""
    n = len(values)
    place = torch.arange(n)
    reach = torch.minimum(place, place.flip(0)).clamp(max=max(1, n // 40))
    total = torch.cat([torch.zeros(1, dtype=torch.float64), values.double().cumsum(0)])
    return (total[place + reach + 1] - total[place - reach]) / (2 * reach + 1)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
