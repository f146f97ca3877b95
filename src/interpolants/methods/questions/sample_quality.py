"""How far samples are from held-out data, beside the same distance between two sets of real data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.kinds import Check, Count
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.task import Task
from interpolants.methods.parts.space_frame import choose_space
from interpolants.methods.questions.calls import options_for, unknown_option
from interpolants.methods.questions.distances import (
    Distances,
    as_rows,
    column_names,
    pooled_rows,
    real_rows,
)
from interpolants.methods.questions.globe import globe_figure
from interpolants.methods.questions.plane import Plane, fit_plane
from interpolants.methods.questions.torus import torus_figure
from interpolants.metrics.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class SampleQuality(Question):
    """How far generated rows are from held-out rows."""

    needs: ClassVar[str] = "sample"

    role: str = "x1"
    """Role that the samples should look like."""
    distances: Sequence[str] = ("sliced_w2", "energy_distance")
    """Two-sample metrics, by the name that their cards declare as ``two_sample``."""
    n: Annotated[int, Ge(2)] = 2000
    """Most samples to draw."""
    seed: int = 1
    """Seed of the samples and of the metrics' directions."""
    units: Literal["standard", "data"] = "standard"
    """``"standard"``: columns over their standard deviation in the training rows, images over one for all pixels; or
    ``"data"``."""
    space: Annotated[Any, Check(choose_space)] = None
    """Spaces of the columns, as ``GeodesicBridge`` takes them: rows are then compared by their points, an angle by its
    cosine and sine, so that distances have no seam. None for real numbers."""
    shown: Count = 2000
    """Most samples to keep for pictures."""
    options: Mapping[str, Any] | None = None
    """Further arguments of the method's ``sample``, such as ``n_steps``; rivals take those that they know."""

    def check_settings(self) -> None:
        """Refuse distances that there are not."""
        assert self._distances

    @property
    def _distances(self) -> Distances:
        return Distances(self.distances, self.seed, self.units, self.space)

    def about(self, name: str) -> About:
        """What a distance means."""
        return self._distances.about(name, "held-out data")

    def cannot(self, method: Method) -> str:
        """Options that the method does not know."""
        return unknown_option(method, "sample", self.options)

    def measure(self, method: Method, task: Task) -> Measured:
        """The distances of as many samples as there are test rows."""
        real = real_rows(task, self.role)
        rows = min(self.n, len(real))
        options = options_for(method, "sample", {"seed": self.seed, **(self.options or {})})
        made = as_rows(task.call(method, "sample", n=len(real), **options))[:rows]
        scaled = self._distances.scaled(task, self.role)
        values = self._distances.between(scaled(made), scaled(real))
        return Measured(values, {"samples": made[: self.shown], "real": real[: self.shown]})

    def floors(self, task: Task) -> Mapping[str, Estimate]:
        """Mean and spread of the distances between random sets of real data of these sizes."""
        real = len(real_rows(task, self.role))
        pool = self._distances.scaled(task, self.role)(pooled_rows(task, self.role))
        return self._distances.floors(pool, min(self.n, real), real)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Samples beside real data: points, or rows of images."""
        named = {"real": own.arrays["real"], "samples": own.arrays["samples"]}
        named |= {
            name.replace("_", " "): one.arrays["samples"]
            for name, one in rivals.items()
            if "samples" in one.arrays
        }
        names = column_names(task, self.role)
        frame = self._distances.frame(task, self.role)
        if frame is not None and (globe := frame.globe) is not None:
            return [globe_figure("samples", {title: globe(rows) for title, rows in named.items()})]
        if frame is not None and len(angles := list(frame.angles.items())[:2]) == 2:
            pair = [index for index, _ in angles]
            codes = [(names[index] if names else f"column {index}", code) for index, code in angles]
            return [torus_figure("samples", {title: rows[:, pair] for title, rows in named.items()}, codes)]
        return [samples_figure("samples", named, columns=names)]


def samples_figure(
    name: str,
    sets: Mapping[str, Tensor],
    *,
    most: int = 4,
    caption: str = "Generated rows beside real ones.",
    labels: Tensor | None = None,
    columns: Sequence[str] = (),
) -> Figure:
    """Sets of samples side by side: images as grids, vectors in the plane of the first set (one column as a histogram).

    Args:
        name: Name of the figure.
        sets: Title -> samples ``(N, *D)``; the first ones give the range of axes and greys.
        most: Most sets to show.
        caption: What the figure shows.
        labels: Label ``(N,)`` of the rows of each set: images then stand in rows by label.
        columns: Names of the columns of vectors.
    """
    shown = dict(list(sets.items())[:most])
    first = next(iter(shown.values()))
    height = 270.0
    if first.ndim == 4:
        least = min(len(x) for x in shown.values())
        order = _order(least, None if labels is None else labels[:least])
        panels = [_images(title, x, order, first) for title, x in shown.items()]
        height = 42.0 * len(order) + 20
        caption += " Each row was asked for one label." if len(order[0][0]) else ""
    elif first[0].numel() == 1:
        name_of = next(iter(columns), "x")
        panels = [_histogram(title, x.flatten(), first.flatten(), name_of) for title, x in shown.items()]
    else:
        plane = fit_plane(first, columns)
        panels = [_points(title, plane(x), plane(first), plane) for title, x in shown.items()]
        caption += plane.told
    return Figure(name=name, panels=tuple(panels), caption=caption, width=260 * len(panels), height=height)


# Name of a row of images, and which images stand in it.
Order = list[tuple[str, Tensor]]


def _order(n: int, labels: Tensor | None, side: int = 6) -> Order:
    """The first images in rows, or some of each label where there are several labels."""
    known = (
        []
        if labels is None
        else [(label, (labels == label).nonzero()[:, 0]) for label in torch.unique(labels).tolist()]
    )
    known = [(label, places) for label, places in known if len(places) > 1][:10]
    if len(known) > 1:
        columns = min(side, *(len(places) for _, places in known))
        return [(f"{label}", places[:columns]) for label, places in known]
    rows = max(1, min(n // side, side))
    return [("", places) for places in torch.arange(min(n, rows * side)).chunk(rows)]


def _images(title: str, x: Tensor, order: Order, like: Tensor) -> Panel:
    grid = torch.stack([x[places] for _, places in order]).float().movedim(2, -1)
    grey = grid[..., 0] if grid.shape[-1] == 1 else grid
    series = Series(mark="images", arrays={"images": grey}, low=float(like.min()), high=float(like.max()))
    names = tuple(name for name, _ in order if name)
    axis = Axis(ticks=tuple(k + 0.5 for k in range(len(names))), names=names) if names else Axis()
    return Panel(series=(series,), title=title, y=axis, bare=True)


def _points(title: str, drawn: Any, real: Any, plane: Plane) -> Panel:
    x, like = (torch.as_tensor(points) for points in (drawn, real))
    low, high = like.amin(0), like.amax(0)
    margin = 0.1 * (high - low)
    axes = [
        Axis(label=name, low=float(low[i] - margin[i]), high=float(high[i] + margin[i]))
        for i, name in enumerate(plane.names)
    ]
    series = Series(mark="points", arrays={"x": x[:, 0], "y": x[:, 1]}, dash="", size=_dot(len(x)), alpha=0.6)
    inside = ((x >= low - margin) & (x <= high + margin)).all(1)
    lost = 1 - float(inside.double().mean())
    return Panel(
        series=(series,),
        title=title + (f", {100 * lost:.0f} % outside" if lost >= 0.005 else ""),
        x=axes[0],
        y=axes[1],
    )


def _dot(n: int) -> float:
    """Size of a dot that is seen among few and lets many be told apart."""
    return min(14.0, max(1.5, 3000 / n))


def _histogram(title: str, x: Tensor, like: Tensor, name: str, bins: int = 60) -> Panel:
    low, high = float(like.min()), float(like.max())
    counts, edges = torch.histogram(x.double().cpu(), bins, range=(low, high), density=True)
    series = Series(mark="histogram", arrays={"edges": edges, "counts": counts})
    return Panel(series=(series,), title=title, x=Axis(label=name), y=Axis(label="density"))
