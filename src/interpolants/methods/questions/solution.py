"""How well an equation is solved: against the truth of the problem, and by what is left of the equation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.kinds import Count, Positive
from interpolants.foundations.randomness import generator
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_tensor
from interpolants.metrics.estimate import Estimate, root
from interpolants.pde.evolution import Evolution
from interpolants.training.causal import causal_weights

# Resolution of pictures: times of a line, times and places of a map.
_LINE, _MAP = 400, (120, 160)

# The stream of the points at which errors are taken.
FRESH = "fresh points"


@dataclass(frozen=True, kw_only=True)
class SolutionAndResidual(Question):
    """Relative error, residual and causal weights of a solution of an evolution equation, at points no fit has seen."""

    needs: ClassVar[str] = "solve"
    numbers: ClassVar[Mapping[str, About]] = {
        "relative_l2": About("Relative L2 error", note="Over all times, places and components."),
        "worst": About("Largest error", note="Relative to the root mean square of the truth."),
        "residual": About("Root mean square residual", unit="u / time", note="On fresh times."),
        "w_min": About(
            "Smallest causal weight",
            "higher",
            note="On fresh times; near 1 if the residual is small everywhere.",
        ),
    }

    problem: str = "problem"
    """Role of the problem."""
    times: Annotated[int, Ge(10)] = 2000
    """Fresh times, one in each of equal cells."""
    places: Count = 16
    """Places in x at each, where there is space."""
    steepness: Positive = 100.0
    """Strength per time, ``eps n / T``, of the causal weights ``exp(-steepness int_0^t L)``, by which all methods are
    judged alike; in 1 / (time x squared residual)."""
    seed: int = 1
    """Seed of the points."""

    def measure(self, method: Method, task: Task) -> Measured:
        """Errors where the truth is known, and the residual where the method can tell it."""
        problem: Evolution = task.values[self.problem]
        points = self._points(problem)
        values: dict[str, Number] = {}
        per_time = 1 if problem.period is None else self.places
        arrays: dict[str, Tensor] = {"times": points[::per_time, 0]}
        if (truth := problem.truth_at(points)) is not None:
            error = _answer(method, "solve", points) - truth
            values |= _errors(error, truth)
            arrays["error"] = self._by_time(error, problem).sqrt()
        if method.can("residual"):
            left = self._by_time(_answer(method, "residual", points), problem)
            values["residual"] = root_mean(left)
            weights = causal_weights(left, self.steepness * float(problem.end) / self.times)
            values["w_min"] = float(weights.min())
            arrays |= {"weights": weights, "residual": left.sqrt()}
        arrays["picture"] = _answer(method, "solve", _picture_points(problem))
        return Measured(values, arrays, {"Causal weights": (self._told(problem),)})

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """What an exact solution would get."""
        return {"relative_l2": 0.0, "worst": 0.0, "residual": 0.0, "w_min": 1.0}

    def _told(self, problem: Evolution) -> str:
        n = f"{self.times} times over {problem.end:g}"
        return f"Weights exp(-steepness int L dt) with steepness = eps n / T = {self.steepness:g}, on {n}."

    def _by_time(self, values: Tensor, problem: Evolution) -> Tensor:
        """Mean square at each time, over places and components."""
        return values.square().reshape(self.times, -1).mean(1)

    def _points(self, problem: Evolution) -> Tensor:
        """One time in each of equal cells, in order; places at each at random."""
        source = generator(self.seed, FRESH)
        inside = torch.rand(self.times, generator=source, dtype=torch.float64)
        t = (torch.arange(self.times, dtype=torch.float64) + inside) / self.times * problem.end
        if problem.period is None:
            return t[:, None]
        low, high = problem.period
        x = low + (high - low) * torch.rand(self.times, self.places, generator=source, dtype=torch.float64)
        return torch.stack([t[:, None].expand_as(x), x], -1).reshape(-1, 2)

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """The solution beside the truth, and error and weights over time beside the rivals'."""
        problem: Evolution = task.values[self.problem]
        shown = _lines if problem.period is None else _maps
        named = {"the method": own, **rivals}
        over_time = tuple(
            _over_time(named, name, title, scale)
            for name, title, scale in (("error", "error", "log"), ("weights", "causal weight", "linear"))
            if any(name in one.arrays for one in named.values())
        )
        found = [Figure(name="solution", panels=shown(own, rivals, problem), caption="The solution.", width=960,
                        height=300)]  # fmt: skip
        if over_time:
            caption = "Error and causal weights over time, at points that no fit has seen."
            found.append(Figure(name="over_time", panels=over_time, caption=caption, width=960, height=300))
        return found


def _answer(method: Method, verb: str, points: Tensor) -> Tensor:
    return as_tensor(getattr(method, verb)(points)).double()


def _errors(error: Tensor, truth: Tensor) -> dict[str, Number]:
    size = float(truth.square().mean().sqrt())
    squares = error.square().sum(1) / truth.square().sum(1).mean()
    value, deviation = root(float(squares.mean()), float(squares.var()) / len(squares))
    return {
        "relative_l2": Estimate(value, deviation, len(squares), "relative L2 error"),
        "worst": float(error.abs().max()) / size,
    }


def root_mean(squares: Tensor) -> Estimate:
    """Root of the mean of squares, with its standard error."""
    value, deviation = root(float(squares.mean()), float(squares.var()) / len(squares))
    return Estimate(value, deviation, len(squares), "root mean square")


# --- pictures ------------------------------------------------------------------------------------------------


def _picture_points(problem: Evolution) -> Tensor:
    if problem.period is None:
        return torch.linspace(0, problem.end, _LINE, dtype=torch.float64)[:, None]
    t = torch.linspace(0, problem.end, _MAP[1], dtype=torch.float64)
    x = torch.linspace(*problem.period, _MAP[0], dtype=torch.float64)
    return torch.stack(torch.meshgrid(t, x, indexing="ij"), -1).reshape(-1, 2)


def _lines(own: Measured, rivals: Mapping[str, Measured], problem: Evolution) -> tuple[Panel, ...]:
    """A panel per component: rivals behind, then the method, then the truth as points."""
    points = _picture_points(problem)
    t, truth, panels = points[:, 0], problem.truth_at(points), []
    for i, name in enumerate(problem.names):
        series = [_line(t, one.arrays["picture"][:, i], title, hue, "--")
                  for hue, (title, one) in enumerate(rivals.items(), start=1)]  # fmt: skip
        series.append(_line(t, own.arrays["picture"][:, i], "the method", 0))
        if truth is not None:
            every = {"x": points[::10, 0], "y": truth[::10, i]}
            series.append(Series(mark="points", arrays=every, name="truth", hue="muted", symbol="o", size=14))
        panels.append(Panel(series=tuple(series), title=name, x=Axis(label="t"), y=Axis(label=name),
                            legend="below" if i == 0 else ""))  # fmt: skip
    return tuple(panels)


def _line(x: Tensor, y: Tensor, name: str, hue: int, dash: str = "-") -> Series:
    return Series(mark="line", arrays={"x": x, "y": y}, name=name, hue=hue, dash=dash)


def _maps(own: Measured, rivals: Mapping[str, Measured], problem: Evolution) -> tuple[Panel, ...]:
    """Maps over t and x of the truth, the method and its rivals; the first component."""
    truth = problem.truth_at(_picture_points(problem))
    named: dict[str, Any] = {} if truth is None else {"truth": truth}
    named |= {title: one.arrays["picture"] for title, one in {"the method": own, **rivals}.items()}
    assert problem.period is not None
    extent = (0.0, problem.end, *problem.period)
    top = float((own.arrays["picture"] if truth is None else truth)[:, 0].abs().max())
    panels = []
    for title, values in list(named.items())[:4]:
        image = values[:, 0].reshape(_MAP[1], _MAP[0]).T
        heat = Series(mark="heat", arrays={"values": image, "extent": extent}, low=-top, high=top)
        panels.append(Panel(series=(heat,), title=title, x=Axis(label="t"), y=Axis(label="x")))
    return tuple(panels)


def _over_time(named: Mapping[str, Measured], array: str, title: str, scale: Any) -> Panel:
    series = tuple(
        _line(one.arrays["times"], one.arrays[array].clamp_min(1e-12), name, hue)
        for hue, (name, one) in enumerate(named.items())
        if array in one.arrays
    )
    low, high = (-0.05, 1.05) if array == "weights" else (None, None)
    axis = Axis(label=title, scale=scale, low=low, high=high)
    return Panel(series=series, title=title, x=Axis(label="t"), y=axis, legend="below")
