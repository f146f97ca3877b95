"""Figures from data: panels of marks in the style of the reports, as PNG."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from interpolants.foundations.storage import write_bytes
from interpolants.framework.figures import Axis, Figure, Panel
from interpolants.reports.marks import AXES, DRAWERS
from interpolants.reports.style import LIGHT, SMALL, Theme, dress, new_figure, plain, png

_LETTER, _HANDLE = 0.55, 5.0  # widths of a letter, and of a handle with the space around it, in font sizes
BELOW = "below"  # place of a legend that covers no curve


def save(figures: Iterable[Figure], folder: Path, *, dpi: int = 110) -> list[Path]:
    """Draw figures as PNG files of a folder; their paths."""
    paths = []
    for figure in figures:
        paths.append(folder / f"{figure.name}.png")
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(paths[-1], draw(figure, dpi=dpi))
    return paths


def draw(figure: Figure, *, dpi: int = 110, theme: Theme = LIGHT, clear: bool = False) -> bytes:
    """A figure as PNG.

    Args:
        figure: Panels of marks.
        dpi: Resolution; 100 is one pixel for each CSS pixel.
        theme: Colours of a light or a dark page.
        clear: Without a background, for a page that has its own.
    """
    made = new_figure(figure.width, figure.height)
    made.patch.set(facecolor=theme.paper, alpha=0.0 if clear else 1.0)
    columns = figure.columns or len(figure.panels)
    rows = -(-len(figure.panels) // columns)
    shares = [panel.width for panel in figure.panels[:columns]]
    heights = [panel.height for panel in figure.panels[::columns]]
    options: dict[str, Any] = {"width_ratios": shares, "height_ratios": heights, "squeeze": False}
    grid = made.subplots(rows, columns, **options).ravel()
    for axes, panel in zip(grid, figure.panels, strict=False):
        _panel(axes, panel, theme, figure.width * panel.width / sum(shares))
    for axes in grid[len(figure.panels) :]:
        axes.set_axis_off()
    if figure.legend_columns:
        _legend(made, grid, "outside lower center", figure.legend_columns, theme)
    return png(made, dpi=dpi, photo=figure.photo)


def _panel(axes: Any, panel: Panel, theme: Theme, width: float) -> None:
    """Draw a panel that is about so many pixels wide."""
    for k, series in enumerate(panel.series):
        known = set(axes.get_children())
        DRAWERS[series.mark](axes, series, theme)
        for artist in set(axes.get_children()) - known:
            # Else matplotlib has every line before every dot; pictures and bands stay behind.
            if artist.zorder > 0:
                artist.set_zorder(1 + k / len(panel.series))
    x, y = _axes_of(panel)
    grid = {(True, True): "both", (True, False): "x", (False, True): "y"}.get((x.grid, y.grid), "")
    dress(axes, theme, title=panel.title, x=x.text, y=y.text, grid=grid)
    _axis(axes, "x", x)
    _axis(axes, "y", y)
    if panel.equal:
        axes.set_aspect("equal")
    if panel.bare:
        _bare(axes, panel)
    if panel.legend:
        _legend(axes, (axes,), panel.legend, panel.legend_columns, theme, width)


def _axes_of(panel: Panel) -> tuple[Axis, Axis]:
    """Axes of a panel; those that say nothing are named by the mark, where it has a meaning of its own."""
    x, y = AXES.get(panel.series[0].mark if panel.series else "", (panel.x, panel.y))
    return (x if panel.x == Axis() else panel.x), (y if panel.y == Axis() else panel.y)


def _bare(axes: Any, panel: Panel) -> None:
    """No lines; of the ticks only the names that were given."""
    axes.tick_params(which="both", length=0)
    for side, axis in (("x", panel.x), ("y", panel.y)):
        if axis.ticks is None:
            getattr(axes, f"set_{side}ticks")(())
    for spine in axes.spines.values():
        spine.set_visible(False)


def _legend(
    where: Any, grid: Iterable[Any], place: str, columns: int, theme: Theme, width: float = 0
) -> None:
    """A legend of the series of some panels: each name once; below a panel, in as many columns as it has room for."""
    named: dict[str, Any] = {}
    for axes in grid:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(plain(name), handle)
    options: dict[str, Any] = {
        "frameon": False,
        "fontsize": SMALL,
        "labelcolor": theme.ink,
        "loc": place,
        "ncols": columns,
    }
    if place == BELOW:
        options |= {
            "loc": "upper center",
            "bbox_to_anchor": (0.5, -0.2),
            "ncols": max(columns, _columns_that_fit(named, width)),
        }
    legend = where.legend(list(named.values()), list(named), **options)
    for handle in legend.legend_handles:
        if hasattr(handle, "set_sizes"):  # dots may be small in the panel, not in the legend
            handle.set_sizes([max(16.0, *handle.get_sizes())])


def _columns_that_fit(names: Iterable[str], width: float) -> int:
    """Columns of a legend of these names, at most 3, that are not wider than so many pixels."""
    longest = max(map(len, names), default=0)
    pixels = SMALL * 100 / 72  # of the font's size, at the resolution of `Figure.width`
    return max(1, min(3, int(width / (_LETTER * pixels * longest + _HANDLE * pixels))))


def _axis(axes: Any, side: str, axis: Axis) -> None:
    change = {key: getattr(axes, f"set_{side}{key}") for key in ("scale", "lim", "ticks")}
    nothing = not np.isfinite(getattr(axes, f"{side}axis").get_minpos())
    if axis.scale in ("log", "log2") and nothing:
        pass  # matplotlib cannot place ticks on a logarithmic axis without a positive number
    elif axis.scale == "log2":
        change["scale"]("log", base=2)
    elif axis.scale == "symlog":
        change["scale"]("symlog", linthresh=axis.near_zero)
    else:
        change["scale"](axis.scale)
    if axis.ticks is not None:
        names = axis.names or [f"{tick:g}" for tick in axis.ticks]
        change["ticks"](axis.ticks, ["\n".join(map(plain, name.split("\n"))) for name in names])
        change["ticks"]((), minor=True)
    if axis.low is not None or axis.high is not None:
        change["lim"](axis.low, axis.high)
