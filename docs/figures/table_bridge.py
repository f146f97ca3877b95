"""Draw ``docs/images/table_bridge.png``: ``python docs/figures/table_bridge.py``; needs vega_datasets."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vega_datasets import data

import interpolants as itp
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.task import Split, Task
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
BINS = 24
NAMES = ("held-out rows", "samples")


def panel(title: str, real: Any, sampled: Any) -> Panel:
    """Fractions of both tables in the bins, or of the levels, of a column."""
    if real.dtype.kind in "fM":
        return numbers(
            title,
            *(column.to_numpy().astype(float) for column in (real, sampled)),
            date=real.dtype.kind == "M",
        )
    levels = sorted(set(real))
    positions = np.arange(len(levels), dtype=float)
    series = tuple(
        Series(
            mark="bars",
            arrays={
                "x": positions + 0.2 * (2 * k - 1),
                "height": [(column == level).mean() for level in levels],
            },
            name=name,
            hue=_hue(k),
            size=0.38,
        )
        for k, (name, column) in enumerate(zip(NAMES, (real, sampled), strict=True))
    )
    return Panel(
        series=series,
        title=title,
        x=Axis(ticks=tuple(positions.tolist()), names=tuple(levels)),
        y=Axis(low=0),
    )


def numbers(title: str, real: NDArray[Any], sampled: NDArray[Any], *, date: bool) -> Panel:
    """Fractions of both tables in equal bins."""
    edges = np.linspace(min(real.min(), sampled.min()), max(real.max(), sampled.max()), BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    series = tuple(
        Series(
            mark="line",
            arrays={"x": middles, "y": np.histogram(column, edges)[0] / len(column)},
            name=name,
            hue=_hue(k),
        )
        for k, (name, column) in enumerate(zip(NAMES, (real, sampled), strict=True))
    )
    return Panel(series=series, title=title, x=_years(edges) if date else Axis(), y=Axis(low=0))


def _years(edges: NDArray[Any]) -> Axis:
    """Ticks at the beginning of each year, for dates in microseconds since 1970."""
    years = np.arange(2012, 2017)
    ticks = [float(np.datetime64(f"{year}-01-01", "us").astype(int)) for year in years]
    return Axis(ticks=tuple(ticks), names=tuple(map(str, years)))


def _hue(k: int) -> Any:
    return "muted" if k == 0 else 0


def main() -> None:
    """Fit the weather of Seattle, and draw each column next to held-out rows, the worst first."""
    weather = data.seattle_weather()
    task = Task.of(itp.TableBridge().roles(), {"x1": weather}, Split(test=0.4))
    real = task.part("test")["x1"]
    model: Any = task.fit(itp.TableBridge(seed=0))
    sampled = model.sample(len(real), seed=1)
    panels = []
    for column in itp.compare(real, sampled).columns:
        if column.name not in weather:
            continue
        title = f"{column.name}: {column.distance:.3f} (floor {column.floor:.3f})"
        panels.append(panel(title, real[column.name], sampled[column.name]))
        print(column)
    figure = Figure(
        name="table_bridge", panels=tuple(panels), columns=3, width=960, height=520, legend_columns=2
    )
    save([figure], IMAGES, dpi=120)


if __name__ == "__main__":
    main()
