"""Figures of ensembles: one case as curves or maps, rank histograms, spectra, and scores case by case."""

from collections.abc import Mapping

import torch
from torch import Tensor

from interpolants.data.gridded import LATITUDES, LONGITUDES, Grid, Gridded
from interpolants.framework.figures import Axis, Figure, Panel, Series

_MOST = 4  # panels of one row
_CAPTION = "One test case: seeds, what came, and the emulated ensemble."


def case_figure(seeds: Gridded, truth: Tensor, drawn: Tensor) -> Figure:
    """The first variable of one case, as curves along an axis or as maps.

    Args:
        seeds: One case with its seeds.
        truth: ``(C, *G)``.
        drawn: ``(N, C, *G)``.
    """
    if drawn.ndim == 3:
        return Figure(
            name="case",
            panels=(_curves(seeds, truth[0], drawn[:, 0]),),
            caption=_CAPTION,
            width=720,
            height=300,
        )
    return _maps(seeds, truth[0], drawn[:, 0])


def _curves(seeds: Gridded, truth: Tensor, drawn: Tensor) -> Panel:
    name = seeds.grid.dims[0]
    place = torch.arange(len(truth), dtype=torch.float64)
    x = place if name in seeds.grid.words else seeds.grid.coords.get(name, place)
    low, middle, high = drawn.quantile(torch.tensor([0.05, 0.5, 0.95], dtype=drawn.dtype), 0)
    marks = [
        Series(
            mark="band", arrays={"x": x, "low": low, "high": high}, alpha=0.3, name="5 % to 95 % of members"
        ),
        Series(mark="line", arrays={"x": x, "y": middle}, name="median of members"),
    ]
    for k, one in enumerate(seeds.values[0, :, 0].double()):
        name_ = "seeds" if k == 0 else ""
        marks.append(Series(mark="line", arrays={"x": x, "y": one}, hue=1, dash="--", name=name_))
    marks.append(Series(mark="points", arrays={"x": x, "y": truth}, hue=2, size=4, name="what came"))
    unit = seeds.grid.units[0] if seeds.grid.units else ""
    return Panel(series=tuple(marks), x=Axis(label=name), y=Axis(label=seeds.grid.variables[0], unit=unit),
                 legend="below", legend_columns=4)  # fmt: skip


def _maps(seeds: Gridded, truth: Tensor, drawn: Tensor) -> Figure:
    mean = seeds.values[0, :, 0].double().mean(0)
    spreads = {"error of the members' mean": (truth - drawn.mean(0)).abs(), "spread of members": drawn.std(0)}
    fields = {"mean of the seeds": mean, "what came": truth, "one member": drawn[0]}
    low, high = (float(edge(torch.stack(list(fields.values())))) for edge in (torch.min, torch.max))
    top = float(torch.stack(list(spreads.values())).max())
    panels = [_map(seeds, mean, "mean of the seeds", low, high)]
    panels += [_map(seeds, field, title, 0.0, top) for title, field in spreads.items()]
    panels += [_map(seeds, fields[title], title, low, high) for title in ("what came", "one member")]
    unit = f" ({seeds.grid.units[0]})" if seeds.grid.units and seeds.grid.units[0] else ""
    told = f"{seeds.grid.variables[0]}{unit}: {low:.4g} to {high:.4g}; error and spread 0 to {top:.3g}."
    caption = f"{_CAPTION} {told}"
    return Figure(name="case", panels=tuple(panels), columns=3, caption=caption, width=900, height=330)


def _map(seeds: Gridded, values: Tensor, title: str, low: float, high: float) -> Panel:
    grid = seeds.grid
    lat, lon = (grid.coords.get(name) for name in grid.dims)
    geographic = grid.dims[0].lower() in LATITUDES and grid.dims[1].lower() in LONGITUDES
    arrays = {"values": values}
    if geographic and lat is not None and lon is not None:
        series = Series(mark="map", arrays={**arrays, "lat": lat, "lon": lon}, low=low, high=high)
        return Panel(
            series=(series,),
            title=title,
            x=Axis(label="longitude", unit="°"),
            y=Axis(label="latitude", unit="°"),
        )
    return Panel(series=(Series(mark="heat", arrays=arrays, low=low, high=high),), title=title,
                 x=Axis(label=grid.dims[1]), y=Axis(label=grid.dims[0]))  # fmt: skip


def ranks_figure(ranks: Mapping[str, Tensor]) -> Figure:
    """Rank histograms ``(N + 1,)`` side by side."""
    panels = tuple(_ranks(title, counts) for title, counts in list(ranks.items())[:_MOST])
    caption = (
        "Rank of what came among the members, all points together; even (dashed) for a reliable ensemble."
    )
    return Figure(name="ranks", panels=panels, caption=caption, width=240 * len(panels), height=230)


def _ranks(title: str, counts: Tensor) -> Panel:
    share = counts.double() / counts.sum()
    edges = torch.arange(len(share) + 1, dtype=torch.float64) - 0.5
    bars = Series(mark="histogram", arrays={"edges": edges, "counts": share})
    even = Series(mark="rule", arrays={"y": torch.tensor(1 / len(share))}, hue="muted", dash="--")
    return Panel(series=(bars, even), title=title, x=Axis(label="rank"), y=Axis(label="share", low=0.0))


def spectra_figure(spectra: Mapping[str, Tensor], grid: Grid, *, half: bool) -> Figure:
    """Power ``(K,)`` by wavenumber of the first variable, a line for each name.

    Args:
        spectra: Name -> power, at the wavenumbers 0, 1, 2, ..., or 0, 1/2, 1, ...
        grid: Grid of the fields.
        half: Whether wavenumbers go by halves.
    """
    marks = []
    for k, (name, power) in enumerate(spectra.items()):
        number = torch.arange(1, len(power), dtype=torch.float64) / (2 if half else 1)
        kept = power[1:] > 0
        dash = "--" if k == 0 else "-"
        arrays = {"x": number[kept], "y": power[1:][kept]}
        marks.append(
            Series(mark="line", arrays=arrays, name=name, hue="muted" if k == 0 else k - 1, dash=dash)
        )
    one = grid.units[0] if grid.units else ""
    unit = f"{one}²" if one.isalpha() else f"({one})²" if one else ""
    panel = Panel(
        series=tuple(marks), x=Axis(label=f"waves along {grid.dims[-1]}", scale="log2"),
        y=Axis(label=f"power of {grid.variables[0]}", unit=unit, scale="log"), legend="below", legend_columns=3,
    )  # fmt: skip
    caption = "Power by wavenumber: too little at the right is a blurred field, too much a speckled one."
    return Figure(name="spectra", panels=(panel,), caption=caption, width=420, height=330)


def paired_figure(own: Tensor, rivals: Mapping[str, Tensor]) -> Figure:
    """Scores ``(B,)`` of rivals against those of the emulator, a point for each case."""
    panels = tuple(_paired(own, other, title) for title, other in list(rivals.items())[:_MOST])
    caption = "Fair CRPS case by case: above the line the emulator is better."
    return Figure(name="paired", panels=panels, caption=caption, width=260 * len(panels), height=260)


def _paired(own: Tensor, other: Tensor, title: str) -> Panel:
    ends = torch.stack([torch.minimum(own, other).min(), torch.maximum(own, other).max()])
    points = Series(mark="points", arrays={"x": own, "y": other}, size=3, alpha=0.7)
    line = Series(mark="line", arrays={"x": ends, "y": ends}, hue="muted", dash="--")
    return Panel(
        series=(line, points),
        x=Axis(label="CRPS of the emulator"),
        y=Axis(label=f"CRPS of {title}"),
        equal=True,
    )
