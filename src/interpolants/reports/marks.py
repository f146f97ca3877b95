"""The marks of figures, drawn on matplotlib's axes in the colours of a theme."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.foundations.extras import require
from interpolants.framework.figures import Axis, Series
from interpolants.reports.style import SMALL, Theme, plain

COLOURS, GREYS = "cividis", "gray"
DECIBELS = 80.0  # range of a spectrogram below its loudest place
_MOST_COLUMNS = 1000  # of a waveform: more than a figure has pixels
# What axes show where a figure does not say it.
AXES: dict[str, tuple[Axis, Axis]] = {
    "map": (Axis(label="longitude", unit="°"), Axis(label="latitude", unit="°")),
    "spectrogram": (Axis(label="time", unit="s"), Axis(label="frequency", unit="Hz")),
    "audio": (Axis(label="time", unit="s"), Axis()),
}

Array = NDArray[Any]


def hue(series: Series, theme: Theme) -> str:
    """Colour of a series."""
    return theme.muted if series.hue == "muted" else theme.hues[int(series.hue) % len(theme.hues)]


def _array(series: Series, name: str) -> Array:
    values: Array = series.arrays[name].numpy()
    return values.astype(float) if values.dtype != bool else values


def _label(series: Series) -> dict[str, Any]:
    return {"label": series.name or "_", "alpha": series.alpha}


def _line(axes: Any, series: Series, theme: Theme) -> None:
    style = {"color": hue(series, theme), "lw": 1.2, "ls": series.dash or "none"}
    style |= {"marker": series.symbol or None, "ms": series.size or 5, **_label(series)}
    if series.size and not series.symbol:
        style["lw"] = series.size
    x, y = _array(series, "x"), _array(series, "y")
    if "error" in series.arrays:
        axes.errorbar(x, y, _array(series, "error"), capsize=2, **style)
    elif "low" in series.arrays:
        axes.errorbar(x, y, [y - _array(series, "low"), _array(series, "high") - y], capsize=2, **style)
    else:
        axes.plot(x, y, **style)


def _band(axes: Any, series: Series, theme: Theme) -> None:
    low, high = _array(series, "low"), _array(series, "high")
    style = {"color": hue(series, theme), "lw": 0, "label": series.name or "_"}
    axes.fill_between(_array(series, "x"), low, high, alpha=0.2 * series.alpha, **style)


def _points(axes: Any, series: Series, theme: Theme) -> None:
    x, y, size = _array(series, "x"), _array(series, "y"), series.size or 4
    colour: dict[str, Any] = {"color": hue(series, theme)}
    if "value" in series.arrays:
        colour = {"c": _array(series, "value"), "cmap": COLOURS, "vmin": series.low, "vmax": series.high}
    width = 1.0 if series.symbol in ("x", "+") else 0.0
    axes.scatter(x, y, s=size, marker=series.symbol or "o", linewidths=width, **colour, **_label(series))


def _rule(axes: Any, series: Series, theme: Theme) -> None:
    """A straight line, or a band, from edge to edge."""
    style = {"color": hue(series, theme), **_label(series)}
    for side, line in (("x", axes.axvline), ("y", axes.axhline)):
        if side in series.arrays:
            line(float(series.arrays[side]), lw=1.0, ls=series.dash, **style)
    if "low" in series.arrays:
        low, high = (float(series.arrays[name]) for name in ("low", "high"))
        axes.axhspan(low, high, lw=0, zorder=0, color=hue(series, theme), alpha=0.2 * series.alpha)


def _heat(axes: Any, series: Series, theme: Theme) -> None:
    """Values ``(H, W)``, the first row at the bottom; from the page's colour to grey where the hue is muted.

    Named values have a colour bar.
    """
    extent = tuple(_array(series, "extent")) if "extent" in series.arrays else None
    muted = "Greys" if theme.name == "light" else "Greys_r"
    colours = muted if series.hue == "muted" else COLOURS
    style = {"origin": "lower", "cmap": colours, "aspect": "auto", "alpha": series.alpha}
    heat = axes.imshow(_array(series, "values"), extent=extent, vmin=series.low, vmax=series.high, **style)
    if series.name:
        _scale(axes, heat, series.name, theme)


def _contour(axes: Any, series: Series, theme: Theme) -> None:
    """Lines of equal value over the places of a heat map."""
    extent = tuple(_array(series, "extent")) if "extent" in series.arrays else None
    style = {"colors": hue(series, theme), "linewidths": series.size or 0.9, "alpha": series.alpha}
    levels = np.unique(_array(series, "levels"))
    axes.contour(_array(series, "values"), levels, extent=extent, origin="lower", **style)
    if series.name:  # matplotlib's contours have no entry of a legend
        axes.plot([], [], color=hue(series, theme), lw=series.size or 0.9, label=series.name)


def _text(axes: Any, series: Series, theme: Theme) -> None:
    style = {"family": "monospace", "va": "center", "fontsize": series.size or SMALL, "parse_math": False}
    x, y = (float(series.arrays[name]) for name in "xy")
    axes.text(x, y, series.name, color=hue(series, theme), alpha=series.alpha, **style)


def _histogram(axes: Any, series: Series, theme: Theme) -> None:
    style = {"color": hue(series, theme), **_label(series), "baseline": None, "ls": series.dash, "lw": 1.2}
    axes.stairs(_array(series, "counts"), _array(series, "edges"), **style)


def _images(axes: Any, series: Series, theme: Theme) -> None:
    """Images ``(R, C, H, W)`` or ``(R, C, H, W, 3)`` as one mosaic with a clear pixel between them.

    Image (r, c) is centred at ``(c + 0.5, r + 0.5)``. Pixels that are NaN are blue.
    """
    images = _array(series, "images")
    low = np.nanmin(images) if series.low is None else series.low
    high = np.nanmax(images) if series.high is None else series.high
    scaled = ((images - low) / (high - low or 1e-300)).clip(0, 1)  # low above high shows dark on light
    rows, columns, height, width = scaled.shape[:4]
    mosaic = np.zeros((rows * (height + 1) - 1, columns * (width + 1) - 1, 4))
    for r in range(rows):
        for c in range(columns):
            top, left = r * (height + 1), c * (width + 1)
            mosaic[top : top + height, left : left + width] = _colours(scaled[r, c], theme)
    style = {"interpolation": "nearest", "aspect": (height + 1) / (width + 1)}
    axes.imshow(mosaic, extent=(0, columns, rows, 0), **style)


def _colours(image: Array, theme: Theme) -> Array:
    """An image as ``(H, W, 4)``."""
    if image.ndim == 3:
        return np.concatenate([image[..., :3], np.ones((*image.shape[:2], 1))], -1)
    greys = require("matplotlib", by="draw").colormaps[GREYS].with_extremes(bad=theme.hues[5])
    found: Array = greys(image)
    return found


def _map(axes: Any, series: Series, theme: Theme) -> None:
    """Values over longitude and latitude, each degree as wide as it is in the middle of the map."""
    lon, lat = _array(series, "lon"), _array(series, "lat")
    style = {"cmap": COLOURS, "vmin": series.low, "vmax": series.high, "shading": "nearest"}
    shown = axes.pcolormesh(lon, lat, _array(series, "values"), alpha=series.alpha, **style)
    axes.set_aspect(1 / max(np.cos(np.deg2rad(float(lat.mean()))), 0.1))
    _scale(axes, shown, series.name, theme)


def _mesh(axes: Any, series: Series, theme: Theme) -> None:
    """Values at the corners of triangles, linear between them."""
    points, faces = _array(series, "points"), _array(series, "faces").astype(int)
    style = {"cmap": COLOURS, "vmin": series.low, "vmax": series.high, "shading": "gouraud"}
    values = _array(series, "values")
    shown = axes.tripcolor(points[:, 0], points[:, 1], values, triangles=faces, alpha=series.alpha, **style)
    axes.set_aspect("equal")
    _scale(axes, shown, series.name, theme)


def _spectrogram(axes: Any, series: Series, theme: Theme) -> None:
    """Power ``(F, T)`` in decibels below its largest value."""
    power = np.maximum(_array(series, "power"), 0)
    with np.errstate(divide="ignore"):
        level = 10 * np.log10(power / (power.max() or 1.0))
    low = -DECIBELS if series.low is None else series.low
    style = {"cmap": COLOURS, "vmin": low, "vmax": 0.0 if series.high is None else series.high}
    time, frequency = _array(series, "time"), _array(series, "frequency")
    shown = axes.pcolormesh(time, frequency, level.clip(low), shading="nearest", **style)
    _scale(axes, shown, "power (dB)", theme)


def _scale(axes: Any, shown: Any, label: str, theme: Theme) -> None:
    """The colours' scale beside a panel."""
    bar = axes.figure.colorbar(shown, ax=axes, shrink=0.85, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=theme.muted, labelcolor=theme.muted, labelsize=SMALL, width=0.7, length=3)
    bar.set_label(plain(label), fontsize=SMALL, color=theme.muted)


def _audio(axes: Any, series: Series, theme: Theme) -> None:
    """The waveform: least and largest sample of each stretch of time."""
    samples, rate = _array(series, "samples"), float(series.arrays["rate"])
    size = max(1, -(-len(samples) // _MOST_COLUMNS))
    padded = np.pad(samples, (0, -len(samples) % size), mode="edge").reshape(-1, size)
    time = (np.arange(len(padded)) + 0.5) * size / rate
    style = {"color": hue(series, theme), "lw": 0.6, "label": series.name or "_"}
    axes.fill_between(time, padded.min(1), padded.max(1), **style)
    axes.margins(x=0)


def _bars(axes: Any, series: Series, theme: Theme) -> None:
    height = _array(series, "height")
    x = _array(series, "x") if "x" in series.arrays else np.arange(len(height))
    error = _array(series, "error") if "error" in series.arrays else None
    style = {"color": hue(series, theme), "ecolor": theme.ink, "capsize": 2, **_label(series)}
    axes.bar(x, height, width=series.size or 0.8, yerr=error, **style)


def _table(axes: Any, series: Series, theme: Theme) -> None:
    """Numbers ``(R, C)`` in cells, cell (r, c) centred at ``(c + 0.5, r + 0.5)``; each shade is a factor."""
    values = _array(series, "values")
    low, high = series.low or np.nanmin(values), series.high or np.nanmax(values)
    with np.errstate(invalid="ignore"):
        shades = np.nan_to_num(np.log(values.clip(low, high) / low) / np.log(high / low))
    colours = require("matplotlib.colors", by="draw")
    first = np.array(colours.to_rgb(theme.paper))
    last = np.array([0.0, 0.27, 0.5]) if theme.name == "light" else np.array(colours.to_rgb(theme.hues[0]))
    rows, columns = values.shape
    shown = first + shades[..., None] * (last - first)
    axes.imshow(shown, extent=(0, columns, rows, 0), aspect="auto", interpolation="nearest")
    for r in range(rows):
        for c in range(columns):
            style = {"ha": "center", "va": "center", "fontsize": 7}
            ink = theme.paper if shades[r, c] > 0.6 else theme.ink
            axes.text(c + 0.5, r + 0.52, _short(values[r, c]), color=ink, **style)
    axes.tick_params(length=0)


def _short(value: float) -> str:
    if np.isnan(value):
        return "–"
    return "> 10k" if value >= 9999.5 else f"{value:.0f}" if value >= 99.5 else f"{value:.1f}"


def _phase(axes: Any, series: Series, theme: Theme) -> None:
    x, y, u, v = (_array(series, name) for name in "xyuv")
    axes.quiver(x, y, u, v, color=hue(series, theme), **_label(series))


DRAWERS: dict[str, Callable[[Any, Series, Theme], None]] = {
    "line": _line,
    "band": _band,
    "points": _points,
    "rule": _rule,
    "heat": _heat,
    "histogram": _histogram,
    "images": _images,
    "map": _map,
    "mesh": _mesh,
    "spectrogram": _spectrogram,
    "bars": _bars,
    "phase": _phase,
    "audio": _audio,
    "table": _table,
    "contour": _contour,
    "text": _text,
}
