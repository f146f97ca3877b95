"""Points on a globe as a panel: the near side in orthographic projection, with meridians and parallels."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.spaces.sphere import Sphere

_GLOBE = Sphere(2)
# Degrees between meridians and parallels, and points of one of these lines.
_EVERY, _POINTS = 30, 181


def globe_panel(
    title: str, points: Tensor, facing: Tensor, *, hue: int | Literal["muted"] = 0, size: float = 4.0
) -> Panel:
    """Points on the side of the globe that the mean of other points faces.

    Args:
        title: Title of the panel.
        points: Unit vectors ``(N, 3)``, with the north pole at (0, 0, 1).
        facing: Unit vectors ``(M, 3)`` whose mean direction is the centre of the view.
        hue: Colour of the points.
        size: Area of a point.
    """
    view = _view(facing)
    lines = [_visible(view, line, line=True) for line in _graticule(points)]
    grid = [Series(mark="line", arrays={"x": x, "y": y}, hue="muted", alpha=0.35) for x, y in lines if len(x)]
    angle = torch.linspace(0, 2 * torch.pi, _POINTS, dtype=points.dtype)
    edge = Series(mark="line", arrays={"x": angle.cos(), "y": angle.sin()}, hue="muted")
    x, y = _visible(view, points)
    dots = Series(mark="points", arrays={"x": x, "y": y}, dash="", hue=hue, size=size, alpha=0.6)
    limits = [Axis(low=-1.03, high=1.03) for _ in range(2)]
    return Panel(series=(*grid, edge, dots), title=title, x=limits[0], y=limits[1], bare=True)


def _view(facing: Tensor) -> Tensor:
    """Rows to the right, up and towards the reader ``(3, 3)``; north is up."""
    north = facing.new_tensor([0.0, 0.0, 1.0])
    towards = facing.mean(0)
    side = torch.linalg.cross(north, towards)
    if float(side.norm()) < 1e-6:  # the mean is at a pole, or nowhere
        towards, side = facing.new_tensor([1.0, 0.0, 0.0]), facing.new_tensor([0.0, 1.0, 0.0])
    towards, right = _GLOBE.project(towards), _GLOBE.project(side)
    return torch.stack([right, torch.linalg.cross(towards, right), towards])


def _visible(view: Tensor, points: Tensor, *, line: bool = False) -> tuple[Tensor, Tensor]:
    """Coordinates of the points on the near side; points of a line on the far side are NaN."""
    projected = points @ view.T
    is_visible = projected[:, 2] > 0
    if line:
        projected = torch.where(is_visible[:, None], projected, torch.nan)
        return (
            (projected[:, 0], projected[:, 1])
            if bool(is_visible.any())
            else (projected[:0, 0], projected[:0, 1])
        )
    return projected[is_visible, 0], projected[is_visible, 1]


def _graticule(facing: Tensor) -> list[Tensor]:
    """Meridians and parallels, ``(181, 3)`` each."""
    turn = torch.linspace(-180, 180, _POINTS, dtype=facing.dtype).deg2rad()
    meridians = [(turn / 2, turn.new_full((_POINTS,), float(lon)).deg2rad()) for lon in range(0, 360, _EVERY)]
    parallels = [(turn.new_full((_POINTS,), float(lat)).deg2rad(), turn) for lat in range(-60, 90, _EVERY)]
    return [
        torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], -1)
        for lat, lon in (*meridians, *parallels)
    ]


def globe_figure(name: str, sets: Mapping[str, Tensor], *, limit: int = 4) -> Figure:
    """Sets of unit vectors side by side, all seen from where the first set lies.

    Args:
        name: Name of the figure.
        sets: Title -> unit vectors ``(N, 3)``.
        limit: Largest number of sets to show.
    """
    selected = dict(list(sets.items())[:limit])
    facing = next(iter(selected.values()))
    panels = tuple(globe_panel(title, points, facing) for title, points in selected.items())
    caption = "Generated rows and real ones on the globe: the side that the real ones face, north up."
    return Figure(name=name, panels=panels, caption=caption, width=260 * len(panels), height=270.0)
