"""One start at several noise levels, and the paths of a few starts: pictures of what noise does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count
from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud, strips, trails
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Question
from interpolants.framework.roles import count, take
from interpolants.framework.task import Task
from interpolants.methods.questions.calls import conditions, takes, unknown_option
from interpolants.methods.questions.distances import as_rows, as_tensor, column_names, real_rows
from interpolants.methods.questions.levels import check_levels, level_id, level_name, level_options
from interpolants.methods.questions.plane import Plane, fit_plane

# Times of a path that are kept, and those that are shown of paths of images.
_TIMES, _FRAMES = 26, 8
_ONE = "Ends of one start (cross), carried many times, over held-out rows (grey): the ODE has one end, the SDE many."
_FEW = "Paths of a few starts, from the start (orange) to the end (blue), over held-out rows (grey)."
# The same for images.
_ONE_STRIP = "Ends of one start, carried many times: the ODE has one end, the SDE many."
_FEW_STRIPS = "Paths of a few starts, a row each, from the start at the left to the end at the right."


@runtime_checkable
class Starting(Protocol):
    """A method that draws its starts."""

    def start_points(self, n: int, *, seed: int = 0) -> Tensor:
        """``n`` starts in data units, ``(n, *D)``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Trajectories(Question):
    """What noise does: the ends of one start that is carried many times, and the paths of a few starts.

    Starts are test rows of ``start``, or the method's own (``start_points``) where it draws them.
    """

    needs: ClassVar[str] = "transport"

    role: str = "x1"
    """Role of the rows that are led to."""
    start: str = "x0"
    """Role of the starts."""
    eps: Annotated[Sequence[float | str], Check(check_levels, 'several (number >= 0 | "auto")')] = (
        0.0,
        0.5,
        1.0,
        2.0,
    )
    """Noise levels; 0 is the ODE."""
    repeats: Annotated[int, Ge(2)] = 200
    """Runs from one start."""
    paths: Count = 20
    """Paths to show."""
    seed: int = 1
    """Seed of starts and noise."""
    options: Mapping[str, Any] | None = None
    """Options of ``transport`` at every level, such as ``n_steps``."""
    sde: Mapping[str, Any] | None = None
    """Further options where the level is not 0."""

    def about(self, name: str) -> About:
        """The spread at a level."""
        level = next(level_name(eps) for eps in self.eps if name == f"spread_{level_id(eps)}")
        return About(f"Spread of the ends of one start, {level}", "neither", "data units")

    def cannot(self, method: Method) -> str:
        """A method without noise levels or paths, or with other options."""
        if not all(takes(method, "transport", name) for name in ("eps", "details")):
            return "its transport has no noise level, or gives no details."
        return unknown_option(method, "transport", {**(self.options or {}), **(self.sde or {})})

    def measure(self, method: Method, task: Task) -> Measured:
        """Ends, their spread, and paths."""
        starts = self._starts(method, task)
        known = conditions(method, "transport", task, self.paths)
        one = {
            name: take(value, torch.zeros(self.repeats, dtype=torch.long)) for name, value in known.items()
        }
        values, arrays = {}, {"real": real_rows(task, self.role)[:2000], "start": starts}
        for eps in self.eps:
            name = level_id(eps)
            ends = self._run(method, starts[:1].expand(self.repeats, *starts.shape[1:]), eps, one).x
            few = {key: take(value, slice(0, len(starts))) for key, value in known.items()}
            done = self._run(method, starts, eps, few, return_path=True)
            kept = torch.linspace(0, len(done.path) - 1, min(len(done.path), _TIMES)).round().long()
            values[f"spread_{name}"] = float(ends.double().std(0).square().mean().sqrt())
            arrays |= {
                f"ends/{name}": ends,
                f"paths/{name}": done.path[kept],
                f"times/{name}": done.times[kept],
            }
        return Measured(values, arrays)

    def _starts(self, method: Method, task: Task) -> Tensor:
        if self.start in task.values:
            x = task.test[self.start]
            return as_rows(take(x, slice(0, min(self.paths, count(x)))))
        if not isinstance(method, Starting):
            rule = f"the task must have rows of {self.start}, or the method starts of its own"
            raise invalid("trajectories", rule, type(method).__name__)
        return as_tensor(method.start_points(self.paths, seed=self.seed))

    def _run(self, method: Method, x: Tensor, eps: float | str, cond: Mapping[str, Any], **more: Any) -> Any:
        options = {"seed": self.seed, **level_options(eps, self.options, self.sde), **more}
        return getattr(method, self.needs)(x.contiguous(), details=True, **cond, **options)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Ends of one start, and paths; for images as strips."""
        image = own.arrays["real"].ndim == 4
        one, few = (_ONE_STRIP, _FEW_STRIPS) if image else (_ONE, _FEW)
        plane = fit_plane(own.arrays["real"], column_names(task, self.role))
        one, few = (one, few) if image else (one + plane.told, few + plane.told)
        figures = ("one_start", _ends, one), ("paths", _paths, few)
        return [self._figure(name, panel, told, own, plane) for name, panel, told in figures]

    def _figure(self, name: str, panel: Any, caption: str, own: Measured, plane: Plane) -> Figure:
        panels = [panel(level_name(eps), level_id(eps), own.arrays, plane) for eps in self.eps]
        image = own.arrays["real"].ndim == 4
        columns = min(2, len(panels)) if image else min(4, len(panels))
        rows = -(-len(panels) // columns)
        width, height = (340, 44 * min(5, self.paths) + 26) if image and name == "paths" else (340, 70)
        if not image:
            width, height = 230, 240
        return Figure(
            name=name,
            panels=tuple(panels),
            caption=caption,
            columns=columns,
            width=width * columns,
            height=height * rows,
        )


Arrays = Mapping[str, Tensor]


def _ends(title: str, name: str, arrays: Arrays, plane: Plane) -> Panel:
    real, ends, start = arrays["real"], arrays[f"ends/{name}"], arrays["start"][:1]
    if real.ndim == 4:
        low, high = _span(real)
        return strips([ends[:_FRAMES, 0]], low=low, high=high, title=title)
    if real.flatten(1).shape[1] == 1:
        return _histogram(title, ends.flatten(), real.flatten())
    x = [plane(a) for a in (real, ends, start)]
    begin = Series(
        mark="points", arrays={"x": x[2][:, 0], "y": x[2][:, 1]}, hue=1, symbol="x", size=40, name="start"
    )
    shown = (cloud(x[0], "", "muted", size=3, alpha=0.3), cloud(x[1], "ends"), begin)
    return Panel(series=shown, title=title, **_axes(plane))


def _axes(plane: Plane) -> dict[str, Any]:
    return {"x": Axis(label=plane.names[0]), "y": Axis(label=plane.names[1])}


def _paths(title: str, name: str, arrays: Arrays, plane: Plane) -> Panel:
    real, paths, times = arrays["real"], arrays[f"paths/{name}"], arrays[f"times/{name}"].double()
    if real.ndim == 4:
        low, high = _span(real)
        frames = torch.linspace(0, len(paths) - 1, _FRAMES).round().long()
        rows = [paths[frames, k, 0] for k in range(min(5, paths.shape[1]))]
        return strips(rows, low=low, high=high, title=title)
    if real.flatten(1).shape[1] == 1:
        lines = [Series(mark="line", arrays={"x": times, "y": one}, size=0.7) for one in paths.flatten(1).T]
        return Panel(series=tuple(lines), title=title, x=Axis(label="time"), y=Axis(label="x"))
    flat = plane.trajectory(paths)
    begin, end = cloud(flat[0], hue=1, size=10), cloud(flat[-1], size=10)
    back = cloud(plane(real), "", "muted", size=3, alpha=0.3)
    return Panel(series=(back, trails(flat, hue=0), begin, end), title=title, **_axes(plane))


def _span(real: Tensor) -> tuple[float, float]:
    return float(real.min()), float(real.max())


def _histogram(title: str, ends: Tensor, real: Tensor) -> Panel:
    low, high = float(real.min()), float(real.max())
    lines = []
    for hue, x in ((("muted"), real), (0, ends)):
        counts, edges = torch.histogram(x.double().clamp(low, high), 40, range=(low, high))
        lines.append(Series(mark="histogram", arrays={"edges": edges, "counts": counts / len(x)}, hue=hue))  # type: ignore[arg-type]
    return Panel(series=tuple(lines), title=title, x=Axis(label="x"), y=Axis(label="share"))
