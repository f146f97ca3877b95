"""How well an equation in a box is solved: against the truth of the problem, and by what is left of the equation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.methods.questions.solution import FRESH
from interpolants.metrics.estimate import Estimate, root
from interpolants.pde.box import BoxProblem

# Points of a picture: of a line, along each axis of a map.
_LINE, _MAP = 1200, 120


@dataclass(frozen=True, kw_only=True)
class SolutionInBox(Question):
    """Relative error and residual of a solution of an equation in a box, at points no fit has seen."""

    needs: ClassVar[str] = "solve"
    numbers: ClassVar[Mapping[str, About]] = {
        "relative_l2": About("Relative L2 error", note="On fresh points of the box."),
        "worst": About("Largest error", note="Relative to the root mean square of the truth."),
        "residual": About("Root mean square residual", note="On fresh points, in the units of the equation."),
    }

    problem: str = "problem"
    """Role of the problem."""
    points: Annotated[int, Ge(10)] = 4000
    """Fresh points, uniform in the box."""
    shown: Annotated[float, Interval(gt=0, le=0.5)] = 0.1
    """Share of the first axis that a picture of a line shows, from its middle on; fast waves need a small one."""
    seed: int = 1
    """Seed of the points."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Errors where the truth is known, and the residual where the method can tell it."""
        problem: BoxProblem = task.values[self.problem]
        points = self._fresh(problem)
        values: dict[str, Number] = {}
        if (truth := problem.truth_at(points)) is not None:
            error = _answer(method, "solve", points) - truth
            values |= _errors(error, truth)
        if method.can("residual"):
            values["residual"] = _root(_answer(method, "residual", points).square())
        return Measured(values, {"picture": _answer(method, "solve", self._picture_points(problem))})

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """What an exact solution would get."""
        return {"relative_l2": 0.0, "worst": 0.0, "residual": 0.0}

    def _fresh(self, problem: BoxProblem) -> Tensor:
        source = generator(self.seed, FRESH)
        share = torch.rand(self.points, len(problem.box), generator=source, dtype=torch.float64)
        return _in_box(problem, share)

    def _picture_points(self, problem: BoxProblem) -> Tensor:
        """Points of a line along x, or of a map; other coordinates are in the middle."""
        if len(problem.box) == 1:
            return _in_box(
                problem, 0.5 + self.shown * torch.linspace(0, 1, _LINE, dtype=torch.float64)[:, None]
            )
        one = torch.linspace(0, 1, _MAP, dtype=torch.float64)
        share = torch.full((_MAP**2, len(problem.box)), 0.5, dtype=torch.float64)
        share[:, :2] = torch.cartesian_prod(one, one)
        return _in_box(problem, share)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """The solution beside the truth and the rivals', and where it is wrong."""
        problem: BoxProblem = task.values[self.problem]
        points = self._picture_points(problem)
        truth, named = problem.truth_at(points), {"the method": own, **rivals}
        answers = {name: one.arrays["picture"][:, 0] for name, one in named.items()}
        drawn = _lines if len(problem.box) == 1 else _maps
        panels = drawn(points, answers, None if truth is None else truth[:, 0], problem)
        caption = "The solution, in a part of the box; right, how far off it is."
        return [Figure(name="solution", panels=panels, caption=caption, width=960, height=320)]


def _in_box(problem: BoxProblem, share: Tensor) -> Tensor:
    low, high = (torch.tensor([side[i] for side in problem.box], dtype=torch.float64) for i in (0, 1))
    return low + (high - low) * share


def _answer(method: Method, verb: str, points: Tensor) -> Tensor:
    return as_tensor(getattr(method, verb)(points)).double()


def _errors(error: Tensor, truth: Tensor) -> dict[str, Number]:
    size = truth.square().mean()
    squares = error.square().sum(1) / size
    value, deviation = root(float(squares.mean()), float(squares.var()) / len(squares))
    return {
        "relative_l2": Estimate(value, deviation, len(squares), "relative L2 error"),
        "worst": float(error.abs().max() / size.sqrt()),
    }


def _root(squares: Tensor) -> Estimate:
    value, deviation = root(float(squares.mean()), float(squares.var()) / len(squares))
    return Estimate(value, deviation, len(squares), "root mean square")


def _lines(
    points: Tensor, answers: Mapping[str, Tensor], truth: Tensor | None, problem: BoxProblem
) -> tuple[Panel, ...]:
    """The solutions over x, rivals behind, and their errors on a logarithmic scale."""
    x, hues = points[:, 0], {name: hue for hue, name in enumerate(answers)}
    order = [*list(answers)[1:], next(iter(answers))]
    solved = [_line(x, answers[name], name, hues[name], "-" if hues[name] == 0 else "--") for name in order]
    axis = Axis(label=problem.axes[0])
    if truth is None:
        return (Panel(series=tuple(solved), x=axis, y=Axis(label=problem.name), legend="below"),)
    every = {"x": x[::8], "y": truth[::8]}
    solved.append(Series(mark="points", arrays=every, name="truth", hue="muted", symbol="o", size=10))
    top = 1.3 * float(truth.abs().max())
    left = Panel(series=tuple(solved), x=axis, y=Axis(label=problem.name, low=-top, high=top), legend="below")
    off = [_line(x, (answers[n] - truth).abs().clamp_min(1e-16), n, hues[n]) for n in order]
    return left, Panel(series=tuple(off), title="error", x=axis, y=Axis(scale="log"), legend="below")


def _line(x: Tensor, y: Tensor, name: str, hue: int, dash: str = "-") -> Series:
    return Series(mark="line", arrays={"x": x, "y": y}, name=name, hue=hue, dash=dash)


def _maps(
    points: Tensor, answers: Mapping[str, Tensor], truth: Tensor | None, problem: BoxProblem
) -> tuple[Panel, ...]:
    """Maps of the truth, the method and one rival, and of the method's error."""
    named = ({} if truth is None else {"truth": truth}) | dict(list(answers.items())[:2])
    scale = float((next(iter(answers.values())) if truth is None else truth).abs().max())
    panels = [_map(title, values, problem, scale) for title, values in named.items()]
    if truth is not None:
        error = next(iter(answers.values())) - truth
        top = float(error.abs().max())
        panels.append(_map(f"error of the method, up to {top:.1e}", error, problem, top))
    return tuple(panels)


def _map(title: str, values: Tensor, problem: BoxProblem, top: float) -> Panel:
    extent = (*problem.box[0], *problem.box[1])
    arrays = {"values": values.reshape(_MAP, _MAP).T, "extent": extent}
    heat = Series(mark="heat", arrays=arrays, low=-top, high=top)
    return Panel(series=(heat,), title=title, x=Axis(label=problem.axes[0]), y=Axis(label=problem.axes[1]))
