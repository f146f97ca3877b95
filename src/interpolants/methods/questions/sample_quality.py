"""How far samples are from held-out data, beside the same distance between two sets of real data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import whole
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.task import Task
from interpolants.metrics.energy_distance import energy_distance
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.sliced_wasserstein import sliced_wasserstein

# Random splits of the real data that the floor is averaged over, and most rows that distances are computed for.
_SPLITS, _MOST = 10, 2000


def _sliced(x: Tensor, y: Tensor, source: Generator) -> Estimate:
    return sliced_wasserstein(x, y, generator=source)


def _energy(x: Tensor, y: Tensor, source: Generator) -> Estimate:
    return energy_distance(x, y, generator=source)


Distance = Callable[[Tensor, Tensor, Generator], Estimate]
_DISTANCES: Mapping[str, Distance] = {"sliced_w2": _sliced, "energy_distance": _energy}


@dataclass(frozen=True, kw_only=True)
class SampleQuality(Question):
    """Distances between samples and the test rows of a role.

    Attributes:
        role: Role that the samples should look like.
        n: Most samples to draw.
        seed: Seed of the samples and of the metrics' directions.
        shown: Most samples to keep for pictures.
        options: Further arguments of the method's ``sample``, such as ``n_steps``.
    """

    needs: ClassVar[str] = "sample"
    numbers: ClassVar[Mapping[str, About]] = {
        "sliced_w2": About("Sliced W2 to held-out data", unit="data units"),
        "energy_distance": About("Energy distance to held-out data", unit="data units"),
    }

    role: str = "x1"
    n: int = 2000
    seed: int = 1
    shown: int = 2000
    options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        whole("sample_quality", "n", self.n, at_least=2)

    def measure(self, method: Method, task: Task) -> Measured:
        """Both distances of as many samples as there are test rows."""
        real = self._real(task, "test")
        rows = min(self.n, len(real))
        drawn = task.call(method, "sample", n=len(real), seed=self.seed, **(self.options or {}))
        made = as_tensor(drawn)[:rows]
        values = {name: self._distance(name, made, real) for name in _DISTANCES}
        return Measured(values, {"samples": made[: self.shown], "real": real[: self.shown]})

    def floors(self, task: Task) -> Mapping[str, Estimate]:
        """Mean and spread of the distances between random sets of real data of these sizes."""
        pool = torch.cat([self._real(task, "train"), self._real(task, "test")])
        size = min(self.n, len(self._real(task, "test")), _MOST, len(pool) // 2)
        return {name: self._floor(name, pool, size) for name in _DISTANCES}

    def _floor(self, name: str, pool: Tensor, size: int) -> Estimate:
        values = []
        for number in range(_SPLITS):
            order = torch.randperm(len(pool), generator=generator(self.seed, "floor of distances", number))
            values.append(self._distance(name, pool[order[:size]], pool[order[size : 2 * size]]).value)
        found = torch.tensor(values, dtype=torch.float64)
        return Estimate(float(found.mean()), float(found.std()), size, name)

    def _distance(self, name: str, x: Tensor, y: Tensor) -> Estimate:
        source = generator(self.seed, "directions of a metric")
        return _DISTANCES[name](x[:_MOST], y[:_MOST], source)

    def _real(self, task: Task, part: str) -> Tensor:
        return as_tensor(task.part(part)[self.role])

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Samples beside real data: points, or rows of images."""
        named = {"real": own.arrays["real"], "samples": own.arrays["samples"]}
        named |= {name: one.arrays["samples"] for name, one in rivals.items() if "samples" in one.arrays}
        return [samples_figure("samples", named)]


def samples_figure(name: str, sets: Mapping[str, Tensor], *, most: int = 4) -> Figure:
    """Sets of samples side by side: images as grids, vectors as their first two columns (or a histogram of one).

    Args:
        name: Name of the figure.
        sets: Title -> samples ``(N, *D)``.
        most: Most sets to show.
    """
    shown = dict(list(sets.items())[:most])
    first = next(iter(shown.values()))
    if first.ndim == 4:
        panels = [_images(title, x) for title, x in shown.items()]
    elif first.flatten(1).shape[1] == 1:
        panels = [_histogram(title, x.flatten(), first.flatten()) for title, x in shown.items()]
    else:
        panels = [_points(title, x.flatten(1), first.flatten(1)) for title, x in shown.items()]
    return Figure(name=name, panels=tuple(panels), width=260 * len(panels), height=270)


def _images(title: str, x: Tensor, side: int = 6) -> Panel:
    count = min(len(x), side * side) // side * side or len(x)
    grid = x[:count].float().permute(0, 2, 3, 1)
    rows = grid.reshape(-1, min(side, count), *grid.shape[1:])
    grey = rows[..., 0] if rows.shape[-1] == 1 else rows
    return Panel(series=(Series(mark="images", arrays={"images": grey}),), title=title, bare=True)


def _points(title: str, x: Tensor, like: Tensor) -> Panel:
    low, high = like[:, :2].amin(0), like[:, :2].amax(0)
    margin = 0.1 * (high - low)
    axes = [
        Axis(label=f"x{i + 1}", low=float(low[i] - margin[i]), high=float(high[i] + margin[i]))
        for i in range(2)
    ]
    series = Series(
        mark="points", arrays={"x": x[:, 0], "y": x[:, 1]}, dash="", symbol=".", size=2, alpha=0.5
    )
    return Panel(series=(series,), title=title, x=axes[0], y=axes[1])


def _histogram(title: str, x: Tensor, like: Tensor, bins: int = 60) -> Panel:
    low, high = float(like.min()), float(like.max())
    counts, edges = torch.histogram(x.double().cpu(), bins, range=(low, high), density=True)
    series = Series(mark="histogram", arrays={"edges": edges, "counts": counts})
    return Panel(series=(series,), title=title, x=Axis(label="x"), y=Axis(label="density"))


def as_tensor(value: Any) -> Tensor:
    """Numbers of any container as a tensor."""
    plain = value.to_numpy(copy=True) if hasattr(value, "to_numpy") else value
    return torch.as_tensor(plain)
