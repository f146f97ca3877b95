"""Pairs of angles as a panel: the torus, cut open at the ends of both periods."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.spaces.codes import Angle


def torus_panel(
    title: str, angles: Tensor, axes: Sequence[Axis], *, hue: int | Literal["muted"] = 0, size: float = 4.0
) -> Panel:
    """Pairs of angles over one period of each; the title states the percentage of pairs outside.

    Args:
        title: Title of the panel.
        angles: Pairs ``(N, 2)`` in the units of their columns.
        axes: Axes of the two columns, as :func:`period_axis` returns them.
        hue: Colour of the points.
        size: Area of a point.
    """
    bounds = torch.tensor([[axis.low, axis.high] for axis in axes], dtype=torch.float64)
    outside = ((angles < bounds[:, 0]) | (angles > bounds[:, 1])).any(1).double().mean()
    label = f"{title}, {100 * float(outside):.0f} % outside" if float(outside) >= 0.005 else title
    arrays = {"x": angles[:, 0], "y": angles[:, 1]}
    dots = Series(mark="points", arrays=arrays, dash="", hue=hue, size=size, alpha=0.6)
    return Panel(series=(dots,), title=label, x=axes[0], y=axes[1])


def period_axis(name: str, code: Angle) -> Axis:
    """Axis of one period of a column, with ticks at its quarters."""
    low, turn = code.low or 0.0, code.turn
    ticks = tuple(low + turn * quarter / 4 for quarter in range(5))
    return Axis(label=name, low=low, high=low + turn, ticks=ticks, grid=True)


def torus_figure(
    name: str, sets: Mapping[str, Tensor], codes: Sequence[tuple[str, Angle]], *, limit: int = 4
) -> Figure:
    """Sets of pairs of angles side by side.

    Args:
        name: Name of the figure.
        sets: Title -> pairs of angles ``(N, 2)``.
        codes: Names and codes of the two columns.
        limit: Largest number of sets to show.
    """
    axes = [period_axis(label, code) for label, code in codes]
    selected = dict(list(sets.items())[:limit])
    panels = tuple(torus_panel(title, angles.double(), axes) for title, angles in selected.items())
    caption = "Generated rows and real ones on the torus of two angles: opposite edges are the same line."
    return Figure(name=name, panels=panels, caption=caption, width=260 * len(panels), height=290.0)
