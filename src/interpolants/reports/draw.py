"""Figures from data: panels of marks in the style of the reports, as PNG."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.reports.style import LIGHT, dress, new_figure, png

# Okabe and Ito's hues, told apart with the common kinds of colour blindness.
HUES = ("#0072b2", "#d55e00", "#007d5c", "#cc79a7", "#8a6d00", "#56b4e9")
COLOURS, GREYS = "cividis", "gray"


def save(figures: Iterable[Figure], folder: Path, *, dpi: int = 110) -> list[Path]:
    """Draw figures as PNG files of a folder; their paths."""
    paths = []
    for figure in figures:
        paths.append(folder / f"{figure.name}.png")
        folder.mkdir(parents=True, exist_ok=True)
        paths[-1].write_bytes(draw(figure, dpi=dpi))
    return paths


def draw(figure: Figure, *, dpi: int = 110) -> bytes:
    """A figure on white as PNG.

    Raises:
        InvalidInputError: If a mark cannot be drawn, such as sound.
    """
    made = new_figure(figure.width, figure.height)
    made.patch.set(facecolor="white", alpha=1.0)
    columns = figure.columns or len(figure.panels)
    rows = -(-len(figure.panels) // columns)
    shares = [panel.width for panel in figure.panels[:columns]]
    heights = [panel.height for panel in figure.panels[::columns]]
    options: dict[str, Any] = {"width_ratios": shares, "height_ratios": heights, "squeeze": False}
    grid = made.subplots(rows, columns, **options).ravel()
    for axes, panel in zip(grid, figure.panels, strict=False):
        _panel(axes, panel)
    for axes in grid[len(figure.panels) :]:
        axes.set_axis_off()
    if figure.legend_columns:
        _legend(made, grid, "outside lower center", figure.legend_columns)
    return png(made, dpi=dpi, photo=figure.photo)


def _panel(axes: Any, panel: Panel) -> None:
    for series in panel.series:
        if series.mark not in _DRAWERS:
            raise invalid("draw", f"mark must be one of {', '.join(_DRAWERS)}", repr(series.mark))
        _DRAWERS[series.mark](axes, series)
    grid = {(True, True): "both", (True, False): "x", (False, True): "y"}.get(
        (panel.x.grid, panel.y.grid), ""
    )
    dress(axes, LIGHT, title=panel.title, x=panel.x.text, y=panel.y.text, grid=grid)
    _axis(axes, "x", panel.x)
    _axis(axes, "y", panel.y)
    if panel.equal:
        axes.set_aspect("equal")
    if panel.bare:
        _bare(axes, panel)
    if panel.legend:
        _legend(axes, (axes,), panel.legend, panel.legend_columns)


def _bare(axes: Any, panel: Panel) -> None:
    """No lines; of the ticks only the names that were given."""
    axes.tick_params(which="both", length=0)
    for side, axis in (("x", panel.x), ("y", panel.y)):
        if axis.ticks is None:
            getattr(axes, f"set_{side}ticks")(())
    for spine in axes.spines.values():
        spine.set_visible(False)


def _legend(where: Any, grid: Iterable[Any], place: str, columns: int) -> None:
    """A legend of the series of some panels: each name once."""
    named: dict[str, Any] = {}
    for axes in grid:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(name, handle)
    options: dict[str, Any] = {
        "frameon": False,
        "fontsize": 8,
        "labelcolor": LIGHT.ink,
        "loc": place,
        "ncols": columns,
    }
    legend = where.legend(list(named.values()), list(named), **options)
    for handle in legend.legend_handles:
        if hasattr(handle, "set_sizes"):  # dots may be small in the panel, not in the legend
            handle.set_sizes([max(16.0, *handle.get_sizes())])


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
        change["ticks"](axis.ticks, names)
        change["ticks"]((), minor=True)
    if axis.low is not None or axis.high is not None:
        change["lim"](axis.low, axis.high)


# --- marks -----------------------------------------------------------------------------------------------


def _hue(series: Series) -> str:
    return LIGHT.muted if series.hue == "muted" else HUES[int(series.hue) % len(HUES)]


def _array(series: Series, name: str) -> NDArray[Any]:
    values: NDArray[Any] = series.arrays[name].numpy()
    return values.astype(float) if values.dtype != bool else values


def _label(series: Series) -> dict[str, Any]:
    return {"label": series.name or "_", "alpha": series.alpha}


def _line(axes: Any, series: Series) -> None:
    style = {"color": _hue(series), "lw": 1.2, "ls": series.dash or "none", "marker": series.symbol or None}
    style |= {"ms": series.size or 5, **_label(series)}
    if series.size and not series.symbol:
        style["lw"] = series.size
    x, y = _array(series, "x"), _array(series, "y")
    if "error" in series.arrays:
        axes.errorbar(x, y, _array(series, "error"), capsize=2, **style)
    elif "low" in series.arrays:
        axes.errorbar(x, y, [y - _array(series, "low"), _array(series, "high") - y], capsize=2, **style)
    else:
        axes.plot(x, y, **style)


def _band(axes: Any, series: Series) -> None:
    low, high = _array(series, "low"), _array(series, "high")
    style = {"color": _hue(series), "lw": 0, "label": series.name or "_"}
    axes.fill_between(_array(series, "x"), low, high, alpha=0.2 * series.alpha, **style)


def _points(axes: Any, series: Series) -> None:
    x, y, size = _array(series, "x"), _array(series, "y"), series.size or 4
    colour: dict[str, Any] = {"color": _hue(series)}
    if "value" in series.arrays:
        colour = {"c": _array(series, "value"), "cmap": COLOURS, "vmin": series.low, "vmax": series.high}
    width = 1.0 if series.symbol in ("x", "+") else 0.0
    axes.scatter(x, y, s=size, marker=series.symbol or "o", linewidths=width, **colour, **_label(series))


def _rule(axes: Any, series: Series) -> None:
    """A straight line, or a band, from edge to edge."""
    style = {"color": _hue(series), **_label(series)}
    for side, line in (("x", axes.axvline), ("y", axes.axhline)):
        if side in series.arrays:
            line(float(series.arrays[side]), lw=1.0, ls=series.dash, **style)
    if "low" in series.arrays:
        low, high = (float(series.arrays[name]) for name in ("low", "high"))
        axes.axhspan(low, high, lw=0, zorder=0, color=_hue(series), alpha=0.2 * series.alpha)


def _heat(axes: Any, series: Series) -> None:
    """Values ``(H, W)``, the first row at the bottom; from white to grey where the hue is muted."""
    extent = tuple(_array(series, "extent")) if "extent" in series.arrays else None
    colours = "Greys" if series.hue == "muted" else COLOURS
    style = {"origin": "lower", "cmap": colours, "aspect": "auto", "alpha": series.alpha}
    axes.imshow(_array(series, "values"), extent=extent, vmin=series.low, vmax=series.high, **style)


def _histogram(axes: Any, series: Series) -> None:
    style = {"color": _hue(series), **_label(series)}
    axes.stairs(
        _array(series, "counts"), _array(series, "edges"), baseline=None, ls=series.dash, lw=1.2, **style
    )


def _images(axes: Any, series: Series) -> None:
    """Images ``(R, C, H, W)`` or ``(R, C, H, W, 3)`` as one mosaic with a pixel between them; image (r, c) is

    centred at ``(c + 0.5, r + 0.5)``. Pixels that are NaN are blue.
    """
    images = _array(series, "images")
    low = np.nanmin(images) if series.low is None else series.low
    high = np.nanmax(images) if series.high is None else series.high
    scaled = ((images - low) / (high - low)).clip(0, 1)
    rows, columns, height, width = scaled.shape[:4]
    mosaic = np.ones((rows * (height + 1) - 1, columns * (width + 1) - 1, *scaled.shape[4:]))
    for r in range(rows):
        for c in range(columns):
            top, left = r * (height + 1), c * (width + 1)
            mosaic[top : top + height, left : left + width] = scaled[r, c]
    greys = require("matplotlib", by="draw").colormaps[GREYS].with_extremes(bad=HUES[5])
    style = {"vmin": 0, "vmax": 1, "interpolation": "nearest", "aspect": (height + 1) / (width + 1)}
    axes.imshow(mosaic, cmap=greys, extent=(0, columns, rows, 0), **style)


def _bars(axes: Any, series: Series) -> None:
    height = _array(series, "height")
    x = _array(series, "x") if "x" in series.arrays else np.arange(len(height))
    error = _array(series, "error") if "error" in series.arrays else None
    style = {"color": _hue(series), "ecolor": LIGHT.ink, "capsize": 2, **_label(series)}
    axes.bar(x, height, width=series.size or 0.8, yerr=error, **style)


def _table(axes: Any, series: Series) -> None:
    """Numbers ``(R, C)`` in cells, cell (r, c) centred at ``(c + 0.5, r + 0.5)``; from ``low`` to ``high`` each shade

    is a factor.
    """
    values = _array(series, "values")
    low, high = series.low or np.nanmin(values), series.high or np.nanmax(values)
    with np.errstate(invalid="ignore"):
        shades = np.nan_to_num(np.log(values.clip(low, high) / low) / np.log(high / low))
    ends = np.array([[1.0, 1.0, 1.0], [0.0, 0.27, 0.5]])
    rows, columns = values.shape
    colours = ends[0] + shades[..., None] * (ends[1] - ends[0])
    axes.imshow(colours, extent=(0, columns, rows, 0), aspect="auto", interpolation="nearest")
    for r in range(rows):
        for c in range(columns):
            style = {"ha": "center", "va": "center", "fontsize": 7}
            ink = "white" if shades[r, c] > 0.6 else "black"
            axes.text(c + 0.5, r + 0.52, _short(values[r, c]), color=ink, **style)
    axes.tick_params(length=0)


def _short(value: float) -> str:
    if np.isnan(value):
        return "–"
    return "> 10k" if value >= 9999.5 else f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def _phase(axes: Any, series: Series) -> None:
    x, y, u, v = (_array(series, name) for name in "xyuv")
    axes.quiver(x, y, u, v, color=_hue(series), **_label(series))


_DRAWERS: dict[str, Callable[[Any, Series], None]] = {
    "line": _line,
    "band": _band,
    "points": _points,
    "rule": _rule,
    "heat": _heat,
    "histogram": _histogram,
    "images": _images,
    "bars": _bars,
    "phase": _phase,
    "table": _table,
}
