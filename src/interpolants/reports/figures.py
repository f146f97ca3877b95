"""The figures of a report: arrays in, one small matplotlib figure out.

Every figure is a panel that a phone can show at its own width; the page sets panels side by side. Images are
(N, C, H, W) with C 1 or 3 and values about [-1, 1]; points are (N, 2); trajectories carry time first.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpolants.reports.style import LIGHT, NORMAL, SMALL, Theme, dress, new_figure, plain

Array = NDArray[Any]
Limits = tuple[tuple[float, float], tuple[float, float]]

MOST_POINTS = 2000  # more dots than this cover each other


# --- ranges ----------------------------------------------------------------------------------------------


def limits(real: Array, *others: Array, reach: float = 1.0) -> Limits:
    """Axis limits around points (N, 2): all the real ones, and the others up to ``reach`` ranges beyond.

    A diverged sample would otherwise press everything else into one dot; what lies outside is counted in
    the figure by :func:`scatter`.
    """
    found = []
    for axis in (0, 1):
        low, high = _span(real[:, axis])
        room = (high - low) * reach
        low_all = min([low, *(_span(o[:, axis])[0] for o in others if len(o))])
        high_all = max([high, *(_span(o[:, axis])[1] for o in others if len(o))])
        low, high = max(low_all, low - room), min(high_all, high + room)
        pad = 0.06 * (high - low)
        found.append((low - pad, high + pad))
    return found[0], found[1]


def _span(values: Array) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return -1.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _outside(points: Array, box: Limits) -> int:
    (left, right), (low, high) = box
    x, y = points[:, 0], points[:, 1]
    return int(np.sum(~((x >= left) & (x <= right) & (y >= low) & (y <= high))))


def _plane(box: Limits, theme: Theme, title: str, names: tuple[str, str]) -> tuple[Any, Any]:
    """A panel for points: equal units on both axes, unless it would become a ribbon or a tower."""
    (left, right), (low, high) = box
    ratio = (high - low) / (right - left)
    shown = min(max(ratio, 0.6), 1.25)
    frame_x, frame_y = 34 + 16 * bool(names[1]), 24 + 20 * bool(title) + 16 * bool(names[0])
    figure = new_figure(260, frame_y + (260 - frame_x) * shown)
    axes = figure.subplots()
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)
    if shown == ratio:
        axes.set_aspect("equal", adjustable="box")
    dress(axes, theme, title=title, x=names[0], y=names[1])
    return figure, axes


# --- curves ----------------------------------------------------------------------------------------------


def loss_curve(history: Sequence[Mapping[str, Any]], *, theme: Theme = LIGHT) -> Any:
    """Losses over steps: each raw curve faint, its running mean bold and named at its end."""
    figure = new_figure(480, 280)
    axes = figure.subplots()
    positive = True
    for name, colour in zip(losses_of(history), _cycle(theme), strict=False):
        step, value = _series(history, name)
        smooth = running_mean(value)
        positive &= bool(np.all(value > 0))
        axes.plot(step, value, color=colour, linewidth=0.8, alpha=0.3)
        axes.plot(step, smooth, color=colour, linewidth=1.8, label=plain(name, 24))
    if positive and axes.lines:
        axes.set_yscale("log")
        _plain_log(axes)
    axes.margins(x=0.01)
    dress(axes, theme, x="training step", y="loss", grid="y")
    _legend(axes, theme, "upper right")
    return figure


def losses_of(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the curves in a history: the total and the heads, what is not a clock or a setting."""
    others = {"step", "seconds", "time", "lr", "epoch", "grad_norm", "skipped", "eta", "steps_per_second"}
    names = [key for row in history for key, value in row.items() if key not in others and _is_number(value)]
    return list(dict.fromkeys(names))[:5]


def running_mean(values: Array) -> Array:
    """Mean over a centred window of about a twentieth of the curve, which shrinks at both ends."""
    n = len(values)
    reach = np.minimum(np.minimum(np.arange(n), np.arange(n)[::-1]), max(1, n // 40))
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    smooth: Array = (total[np.arange(n) + reach + 1] - total[np.arange(n) - reach]) / (2 * reach + 1)
    return smooth


def schedule(t: Array, curves: Mapping[str, Array], *, theme: Theme = LIGHT) -> Any:
    """The weights of the path over time."""
    figure = new_figure(440, 260)
    axes = figure.subplots()
    styles = zip((theme.start, theme.generated, theme.accent), ("-", "-", (0, (4, 2))), strict=True)
    for (name, values), (colour, dashes) in zip(curves.items(), styles, strict=False):
        axes.plot(t, values, color=colour, linewidth=1.8, linestyle=dashes, label=name)
    axes.set_xlim(0, 1)
    axes.set_ylim(min(0.0, *(float(np.min(v)) for v in curves.values())) - 0.03, None)
    dress(axes, theme, x="time t", grid="y")
    handles, names = axes.get_legend_handles_labels()
    legend = figure.legend(
        handles, names, loc="outside upper left", ncols=3, frameon=False, fontsize=SMALL, handlelength=1.8
    )
    _colour(legend, theme)
    return figure


def noise_levels(t: Array, levels: Array, constant: float | None, *, theme: Theme = LIGHT) -> Any:
    """A noise level over time, and the constant beside it."""
    figure = new_figure(440, 240)
    axes = figure.subplots()
    axes.plot(t, levels, color=theme.generated, linewidth=1.8, marker="o", markersize=3, label="at each time")
    if constant is not None:
        axes.axhline(constant, color=theme.start, linewidth=1.4, linestyle=(0, (4, 2)), label="constant")
    axes.set_xlim(0, 1)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.5, high * 1.5)
    _plain_log(axes)
    dress(axes, theme, x="time t", y="ε", grid="y")
    _legend(axes, theme, "best")
    return figure


def log_prob(train: Array | None, heldout: Array | None, *, unit: str = "nats", theme: Theme = LIGHT) -> Any:
    """Histograms of log-densities, training data filled, held-out data as a line, means as ticks."""
    figure = new_figure(480, 260)
    axes = figure.subplots()
    train, heldout = (None if v is None else v[np.isfinite(v)] for v in (train, heldout))
    low, high = _span(np.concatenate([v for v in (train, heldout) if v is not None]))
    bins = np.linspace(low, high, 41)
    shown = (
        (train, "training data", theme.real, "stepfilled"),
        (heldout, "held-out data", theme.generated, "step"),
    )
    for values, name, colour, kind in shown:
        if values is None or not len(values):
            continue
        axes.hist(
            values,
            bins=bins,
            density=True,
            histtype=kind,
            color=colour,
            alpha=0.45 if kind == "stepfilled" else 1.0,
            linewidth=1.8,
            label=name,
        )
        axes.axvline(float(np.mean(values)), color=colour, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    axes.set_yticks([])
    dress(axes, theme, x=f"log-density ({unit}); dashed: mean", y="share of points")
    _legend(axes, theme, "upper left")
    return figure


def metric_scale(rows: Sequence[tuple[str, float, float]], *, theme: Theme = LIGHT) -> Any:
    """Metrics on one scale, 0 the trivial baseline and 1 two halves of real data; (title, place, error)."""
    figure = new_figure(480, 50 + 46 * len(rows))
    axes = figure.subplots()
    places = np.array([place for _, place, _ in rows])
    left = max(-1.0, min(0.0, float(places.min()))) - 0.08
    right = min(1.5, max(1.0, float(places.max()))) + 0.08
    for y, (title, place, error) in enumerate(rows):
        at = min(max(place, left + 0.02), right - 0.02)
        inside = left < place < right
        marker = "o" if inside else ("<" if place <= left else ">")
        axes.plot([0, at], [y, y], color=theme.generated, linewidth=2.2, alpha=0.45)
        xerr = error if inside else None
        axes.errorbar(at, y, xerr=xerr, color=theme.generated, marker=marker, ms=6, lw=1.4)
        axes.text(left + 0.1, y - 0.22, plain(title, 64), color=theme.ink, fontsize=SMALL, va="bottom")
    axes.axvline(0, color=theme.start, linewidth=1.4, linestyle=(0, (2, 2)))
    axes.axvline(1, color=theme.real, linewidth=1.6)
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.6, -0.75)
    axes.set_xlim(left, right)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["trivial\nbaseline", "25 %", "50 %", "75 %", "real\ndata"])
    dress(axes, theme)
    axes.spines["left"].set_visible(False)
    return figure


def marginal(real: Array | None, generated: Mapping[str, Array], name: str, *, theme: Theme = LIGHT) -> Any:
    """One coordinate: real data filled, each set of samples as a line."""
    figure = new_figure(260, 200)
    axes = figure.subplots()
    everything = [v for v in (real, *generated.values()) if v is not None]
    column = np.stack([np.concatenate(everything), np.zeros(sum(map(len, everything)))], 1)
    base = column if real is None else np.stack([real, np.zeros(len(real))], 1)
    low, high = limits(base, column, reach=0.5)[0]
    bins = np.linspace(low, high, 36)
    if real is not None:
        axes.hist(real, bins=bins, density=True, color=theme.real, alpha=0.45, label="held-out data")
    for (label, values), colour, dashes in zip(generated.items(), _cycle(theme), _DASHES, strict=False):
        inside = values[(values >= low) & (values <= high)]
        if not len(inside):
            continue
        axes.hist(
            inside,
            bins=bins,
            density=True,
            histtype="step",
            color=colour,
            lw=1.6,
            ls=dashes,
            label=plain(label),
        )
    axes.set_xlim(low, high)
    axes.set_yticks([])
    dress(axes, theme, x=name)
    axes.spines["left"].set_visible(False)
    return figure


def distances(generated: Array, training: Array, *, theme: Theme = LIGHT) -> Any:
    """Distance of samples from their nearest training point, as a histogram; both (N, *D), row by row."""
    figure = new_figure(440, 240)
    axes = figure.subplots()
    gap = np.linalg.norm((generated.astype(np.float64) - training).reshape(len(generated), -1), axis=1)
    axes.hist(gap[np.isfinite(gap)], bins=30, color=theme.generated, alpha=0.8)
    axes.set_xlim(0, None)
    axes.set_yticks([])
    dress(axes, theme, x="distance to the nearest training point", y="samples")
    return figure


# --- images ----------------------------------------------------------------------------------------------


def mosaic(images: Array, columns: int, gap: int | None = None) -> Array:
    """Images (N, C, H, W) in rows of ``columns``, as one (rows, columns, 4) byte image with clear gaps."""
    n, _, height, width = images.shape
    gap = max(1, height // 14) if gap is None else gap
    rows = math.ceil(n / columns)
    whole = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), dtype=np.uint8)
    values = np.nan_to_num(images.astype(np.float64), nan=-1.0, posinf=1.0, neginf=-1.0)
    shade = np.clip((values + 1) * 127.5, 0, 255).round().astype(np.uint8)
    for i in range(n):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        tile = whole[top : top + height, left : left + width]
        tile[..., :3] = np.broadcast_to(shade[i].transpose(1, 2, 0), (height, width, 3))
        tile[..., 3] = 255
    return whole


def image_grid(
    images: Array,
    columns: int,
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    title: str = "",
    width: int = 320,
    theme: Theme = LIGHT,
) -> Any:
    """A grid of images, its rows or columns named where names are given."""
    whole = mosaic(images, columns)
    rows = math.ceil(len(images) / columns)
    margin = 8 + 6.3 * max((min(len(plain(label)), 14) for label in row_labels), default=-1.3)
    top = 24.0 * bool(title) + 19.0 * bool(column_labels)
    height = (width - margin) * whole.shape[0] / whole.shape[1]
    full = height + top
    figure = new_figure(width, full)
    figure.set_layout_engine("none")
    axes = figure.add_axes((margin / width, 0, 1 - margin / width, height / full))
    # Whole pixels, so that each cell keeps its size; the page scales the picture, not the data.
    axes.imshow(whole, interpolation="nearest", aspect="auto", extent=(0, columns, rows, 0))
    axes.set_axis_off()
    for row, label in enumerate(row_labels):
        axes.text(
            -0.08, row + 0.5, plain(label, 14), ha="right", va="center", color=theme.muted, fontsize=SMALL
        )
    for column, label in enumerate(column_labels):
        x, y = column + 0.5, -4 * rows / height
        axes.text(x, y, plain(label, 14), ha="center", va="bottom", color=theme.muted, fontsize=SMALL)
    if title:
        figure.text(
            margin / width, 1 - 4 / full, plain(title), ha="left", va="top", color=theme.ink, fontsize=NORMAL
        )
    return figure


def image_pairs(
    above: Array,
    below: Array,
    names: tuple[str, str],
    *,
    columns: int = 8,
    title: str = "",
    theme: Theme = LIGHT,
) -> Any:
    """Start and end of each transport: start above, end below, in blocks of ``columns``."""
    n = min(len(above), len(below))
    n -= n % columns if n > columns else 0
    columns = min(columns, n)
    blocks = [half[i : i + columns] for i in range(0, n, columns) for half in (above, below)]
    labels = list(names) * (len(blocks) // 2)
    return image_grid(np.concatenate(blocks), columns, row_labels=labels, title=title, width=440, theme=theme)


def filmstrip(
    trajectory: Array, times: Array, *, most: int = 8, title: str = "", theme: Theme = LIGHT
) -> Any:
    """Trajectories of images (T, N, C, H, W): one row for each, time from left to right."""
    picked = np.unique(np.linspace(0, len(times) - 1, min(most, len(times))).round().astype(int))
    frames = trajectory[picked].swapaxes(0, 1)
    labels = [f"t = {times[i]:.2g}" if i == picked[0] else f"{times[i]:.2g}" for i in picked]
    flat = frames.reshape(-1, *frames.shape[2:])
    return image_grid(flat, len(picked), column_labels=labels, title=title, width=440, theme=theme)


# --- points ----------------------------------------------------------------------------------------------


def scatter(
    points: Array,
    box: Limits,
    *,
    context: Array | None = None,
    marked: Array | None = None,
    title: str = "",
    names: tuple[str, str] = ("", ""),
    real: bool = False,
    theme: Theme = LIGHT,
) -> Any:
    """Points (N, 2) over faint context, in given limits; points outside them are counted in the corner."""
    figure, axes = _plane(box, theme, title, names)
    if context is not None:
        _dots(axes, context, theme.real, alpha=0.35, size=5)
    many = len(points) > 200
    _dots(
        axes,
        points,
        theme.real if real else theme.generated,
        alpha=0.6 if many else 0.9,
        size=5 if many else 16,
    )
    if marked is not None:
        axes.scatter(
            *marked.T, s=70, color=theme.start, marker="X", linewidths=0.8, edgecolors=theme.ink, zorder=5
        )
    if lost := _outside(points, box):
        corner = axes.text(0.98, 0.02, f"{lost} outside", transform=axes.transAxes, ha="right", va="bottom")
        corner.set(color=theme.start, fontsize=SMALL)
    return figure


def paths(
    trajectory: Array,
    box: Limits,
    *,
    context: Array | None = None,
    title: str = "",
    names: tuple[str, str] = ("", ""),
    theme: Theme = LIGHT,
) -> Any:
    """Trajectories in the plane (T, N, 2), from the open ring to the dot."""
    figure, axes = _plane(box, theme, title, names)
    if context is not None:
        _dots(axes, context, theme.real, alpha=0.3, size=5)
    axes.plot(trajectory[..., 0], trajectory[..., 1], color=theme.generated, linewidth=0.9, alpha=0.6)
    axes.scatter(*trajectory[0].T, s=16, facecolors="none", edgecolors=theme.start, linewidths=1.2, zorder=4)
    axes.scatter(*trajectory[-1].T, s=14, color=theme.generated, zorder=4)
    return figure


def paths_in_time(
    trajectory: Array, times: Array, *, title: str = "", y: str = "x", theme: Theme = LIGHT
) -> Any:
    """One coordinate of trajectories (T, N) over time."""
    figure = new_figure(260, 230)
    axes = figure.subplots()
    axes.plot(times, trajectory, color=theme.generated, linewidth=0.9, alpha=0.6)
    axes.scatter(np.full(trajectory.shape[1], times[0]), trajectory[0], s=14, color=theme.start, zorder=4)
    axes.margins(x=0.03)
    dress(axes, theme, title=title, x="time t", y=y)
    return figure


def point_pairs(
    start: Array,
    end: Array,
    box: Limits,
    *,
    title: str = "",
    names: tuple[str, str] = ("", ""),
    most: int = 150,
    theme: Theme = LIGHT,
) -> Any:
    """Start and end of each transport in the plane (N, 2), joined by a hairline."""
    figure, axes = _plane(box, theme, title, names)
    start, end = start[:most], end[:most]
    axes.plot(*np.stack([start, end]).transpose(2, 0, 1), color=theme.muted, linewidth=0.6, alpha=0.5)
    axes.scatter(*start.T, s=12, facecolors="none", edgecolors=theme.start, linewidths=1.1, zorder=3)
    axes.scatter(*end.T, s=11, color=theme.generated, zorder=3)
    return figure


# --- pieces ----------------------------------------------------------------------------------------------

_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.5, 1)), "-.")


def _cycle(theme: Theme) -> tuple[str, ...]:
    return theme.generated, theme.start, theme.accent, theme.ink, theme.muted


def _dots(axes: Any, points: Array, colour: str, *, alpha: float, size: float) -> None:
    shown = points[:MOST_POINTS]
    axes.scatter(shown[:, 0], shown[:, 1], s=size, color=colour, alpha=alpha, linewidths=0, rasterized=True)


def _legend(axes: Any, theme: Theme, place: str) -> None:
    if axes.get_legend_handles_labels()[0]:
        _colour(axes.legend(frameon=False, fontsize=SMALL, loc=place, handlelength=1.6), theme)


def _colour(legend: Any, theme: Theme) -> None:
    for text in legend.get_texts():
        text.set_color(theme.ink)


def _plain_log(axes: Any) -> None:
    """Few, readable ticks on a logarithmic axis that often spans less than a decade."""
    low, high = axes.get_ylim()
    steps = [m * 10.0**e for e in range(-12, 13) for m in (1, 2, 5)]
    ticks = [v for v in steps if low <= v <= high]
    if len(ticks) > 7:
        ticks = [v for v in ticks if math.isclose(math.log10(v), round(math.log10(v)), abs_tol=1e-9)]
    if len(ticks) >= 2:
        axes.set_yticks(ticks, [f"{v:g}" for v in ticks])
        axes.minorticks_off()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _series(history: Sequence[Mapping[str, Any]], name: str) -> tuple[Array, Array]:
    pairs = [
        (row.get("step", i), row[name])
        for i, row in enumerate(history)
        if _is_number(row.get(name)) and math.isfinite(row[name])
    ]
    step, value = np.array(pairs, dtype=float).reshape(-1, 2).T
    return step, value
