"""How well trajectories are continued and their equations are found, on equations that no training has seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.data.equation_trees import Ends, read_system, shown_system
from interpolants.foundations.kinds import Count, OneOf
from interpolants.foundations.randomness import generator
from interpolants.framework.capabilities import capabilities_of
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.metrics.estimate import Estimate
from interpolants.sciml.symbolic.hints import HINTS, hint_of
from interpolants.sciml.symbolic.problems.equation_families import DrawnEquations, EquationFamilies

# A forecast that is worse than this counts as this bad, so that one that blows up does not make the mean.
_WORST = 2.0
_POINTS, _BOX = 50, 5.0
_FLOOR = "unknown: noise in the window limits what can be known, and chaos enlarges it"


@dataclass(frozen=True, kw_only=True)
class RecoveredEquations(Question):
    """Relative errors of predictions after the window, and of the equations that were found.

    Test equations are of the families of the fit, and none of them can be in a training set.
    """

    needs: ClassVar[str] = "predict"
    numbers: ClassVar[Mapping[str, About]] = {
        "relative_l2": About(
            "Relative error of predictions", note=f"By trajectory; at most {_WORST:g} each."
        ),
        "first_half": About("The same, first half"),
        "second_half": About("The same, second half"),
        "diverged": About("Fraction of predictions that became NaN or infinite", "neither"),
        "integrated": About("Relative error of the found equation, integrated"),
        "valid": About("Share of valid texts", "higher", note="Written without the grammar's help."),
        "true_terms": About("Share of equations with exactly the true terms", "higher"),
        "symbol_error": About("Median error of the equations", note="Relative, at 50 points in [-5, 5]^d."),
        "written_error": About("The same, as written", note="Before the constants are refined."),
    }
    front: ClassVar[tuple[str, ...]] = ("Equations",)

    equations: Annotated[int, Ge(2)] = 40
    """Number of test equations."""
    starts: Count = 1
    """Trajectories of each."""
    hint: Annotated[str, OneOf(lambda: HINTS)] = "skeleton"
    """What the method is told of them: ``"skeleton"``, ``"deleted"`` or ``"added"`` (a skeleton with a term less or
    more), ``"known"``, or ``"none"``. Methods that take no hints get none."""
    integrate: bool = True
    """Also integrate the equations that were found."""
    refine: bool = True
    """Judge the equations after their constants were refined, where the method does so; else as written."""
    beams: Count = 1
    """Texts that are kept while an equation is written, where the method searches."""
    seed: int = 0
    """Seed of the draw."""

    def reads(self) -> Sequence[Role]:
        """Nothing beside the families."""
        return ()

    def measure(self, method: Method, task: Task) -> Measured:
        """Errors by trajectory."""
        families: EquationFamilies = task.values["problem"]
        drawn = families.draw(self.equations, self.starts, seed=self.seed, part="test", name="question")
        asked = _Asked.of(drawn, self.hint, self.seed, self.beams)
        predicted = asked.predicted(method, families)
        values: dict[str, Number] = {**_errors(predicted, asked), "diverged": _diverged(predicted)}
        arrays = _picture("predicted", predicted, drawn)
        texts: dict[str, Sequence[str]] = {}
        if method.can("identify"):
            rough = not self.refine and "refine" in capabilities_of(type(method))["identify"].parameters
            found = asked.call(method, "identify", **({"refine": False} if rough else {}))
            values |= self._of_equations(method, asked, found)
            texts["Equations"] = _told(found, drawn, families)
            if self.integrate and "by" in capabilities_of(type(method))["predict"].parameters:
                again = asked.call(method, "predict", end=families.end, steps=families.later, by="equation")
                values["integrated"] = _relative(again, asked.labels, slice(None))
                arrays |= _picture("integrated", again, drawn)
        return Measured(values, arrays, texts, self._findings(values))

    def _of_equations(self, method: Method, asked: "_Asked", found: Sequence[str]) -> dict[str, Number]:
        truth = [asked.drawn.trees[k] for k in asked.drawn.equation.tolist()]
        systems = [read_system(text) for text in found]
        errors = [symbol_error(a, b) for a, b in zip(systems, truth, strict=True)]
        same = [terms_of(a) == terms_of(b) for a, b in zip(systems, truth, strict=True)]
        values: dict[str, Number] = {
            "symbol_error": _median(errors),
            "true_terms": torch.tensor(same, dtype=torch.float64),
        }
        options = capabilities_of(type(method))["identify"].parameters
        if "refine" in options and self.refine:
            plain = asked.call(method, "identify", refine=False)
            raw = [symbol_error(read_system(a), b) for a, b in zip(plain, truth, strict=True)]
            values["written_error"] = _median(raw)
        if "free" in options:
            free = asked.call(method, "identify", free=True, refine=False)
            values["valid"] = torch.tensor([bool(text) for text in free], dtype=torch.float64)
        return values

    def _findings(self, values: Mapping[str, Number]) -> list[Finding]:
        error = torch.as_tensor(values["relative_l2"])
        if float(error.mean()) < 1:
            return []
        return [
            Finding(
                f"Predictions are no better than zero: their relative error is {float(error.mean()):.2g}."
            )
        ]

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """What perfect knowledge would get of the equations; of chaotic trajectories nobody knows."""
        known = {"valid": 1.0, "true_terms": 1.0, "symbol_error": 0.0, "written_error": 0.0, "diverged": 0.0}
        return {**dict.fromkeys(("relative_l2", "first_half", "second_half", "integrated"), _FLOOR), **known}

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """A trajectory of each family: what was seen, the truth, the prediction and the integrated equation."""
        families: EquationFamilies = task.values["problem"]
        panels = tuple(
            _panel(k, one.name, own) for k, one in enumerate(families.systems) if f"truth {k}" in own.arrays
        )
        caption = (
            "First state of one test trajectory of each family: what was seen with noise, what followed, the "
        )
        caption += "network's prediction, and the equation that it wrote, integrated from the beginning."
        return [
            Figure(
                name="trajectories",
                panels=panels,
                caption=caption,
                width=300 * min(len(panels), 4),
                height=260,
            )
        ]


@dataclass(frozen=True)
class _Asked:
    """Windows without the states that systems have not, hints, and what is to be predicted."""

    drawn: DrawnEquations
    windows: list[Tensor]
    labels: list[Tensor]
    hints: list[Ends] | None
    beams: int

    @classmethod
    def of(cls, drawn: DrawnEquations, hint: str, seed: int, beams: int) -> "_Asked":
        dims = drawn.dims.tolist()
        windows = [one[:, : 1 + d] for one, d in zip(drawn.seen, dims, strict=True)]
        labels = [one[:, :d] for one, d in zip(drawn.labels, dims, strict=True)]
        source = generator(seed, "question hints")
        trees = [drawn.trees[k] for k in drawn.equation.tolist()]
        hints = None if hint == "none" else [hint_of(hint, one, source) for one in trees]
        return cls(drawn, windows, labels, hints, beams)

    def call(self, method: Method, verb: str, **options: Any) -> list[Any]:
        """Ask about all windows, with hints where the method takes some, and as many beams."""
        capability = capabilities_of(type(method))[verb]
        takes = "hint" in {role.name for role in capability.roles(method)}
        if self.beams > 1 and "beams" in capability.parameters:
            options["beams"] = self.beams
        able = takes and self.hints is not None and method.params().get("symbols", True)
        return list(getattr(method, verb)(self.windows, **({"hint": self.hints} if able else {}), **options))

    def predicted(self, method: Method, families: EquationFamilies) -> list[Any]:
        """Predictions at the times of the labels, which may differ by trajectory."""
        if not families.irregular:
            return self.call(method, "predict", end=families.end, steps=families.later)
        times = self.drawn.times[:, families.points :]
        return [method.predict([one], times=at)[0] for one, at in zip(self.windows, times, strict=True)]  # type: ignore[attr-defined]


def _relative(predicted: Sequence[Any], labels: Sequence[Tensor], rows: slice) -> Tensor:
    """``|u - truth| / |truth|`` by trajectory, at most the worst."""
    found = []
    for one, truth in zip(predicted, labels, strict=True):
        gap = torch.as_tensor(one)[rows, 1:].double() - truth[rows]
        error = float((gap.square().sum() / (truth[rows].square().sum() + 1e-6)).sqrt())
        found.append(min(error, _WORST) if error == error else _WORST)
    return torch.tensor(found, dtype=torch.float64)


def _errors(predicted: Sequence[Any], asked: _Asked) -> dict[str, Number]:
    half = len(asked.labels[0]) // 2
    parts = {"relative_l2": slice(None), "first_half": slice(half), "second_half": slice(half, None)}
    return {name: _relative(predicted, asked.labels, rows) for name, rows in parts.items()}


def _median(errors: Sequence[float]) -> Estimate:
    """The median, and its error if errors were Gaussian about it with their median absolute deviation."""
    x = torch.tensor(errors, dtype=torch.float64)
    spread = 1.4826 * float((x - x.median()).abs().median())
    return Estimate(float(x.median()), 1.2533 * spread / len(x) ** 0.5, len(x), "median")


def _diverged(predicted: Sequence[Any]) -> Tensor:
    return torch.tensor([not bool(torch.isfinite(torch.as_tensor(one)).all()) for one in predicted]).double()


def symbol_error(found: Sequence[Any], truth: Sequence[Any]) -> float:
    """Relative L2 distance of two right sides at 50 random points in ``[-5, 5]^d``, at most 2."""
    d = len(truth)
    if len(found) != d:
        return _WORST
    draw = torch.rand(_POINTS, d, generator=generator(0, "symbol points"), dtype=torch.float64)
    u = (_BOX * (2 * draw - 1)).unbind(1)
    a, b = (torch.stack([_spread(tree.at(u)) for tree in one]) for one in (found, truth))
    error = float((a - b).norm() / b.norm().clamp_min(1e-12))
    return min(error, _WORST) if error == error else _WORST


def _spread(value: Any) -> Tensor:
    return (
        torch.as_tensor(np.asarray(value) if isinstance(value, np.ndarray) else value)
        .double()
        .expand(_POINTS)
    )


def terms_of(system: Sequence[Any]) -> list[frozenset[Any]]:
    """The terms of each equation, multiplied out and without their constants."""
    import sympy

    return [frozenset(sympy.expand(tree.sympy()).as_coefficients_dict()) for tree in system]


def _told(found: Sequence[str], drawn: DrawnEquations, families: EquationFamilies) -> list[str]:
    """The first test equation of each family, and what was found."""
    lines = []
    for k, one in enumerate(families.systems):
        rows = (drawn.family == k).nonzero()[:, 0]
        if len(rows):
            row = int(rows[0])
            lines += [f"{one.name}, truth: {drawn.systems[int(drawn.equation[row])]}"]
            lines += [f"{one.name}, found: {shown_system(read_system(found[row]))}"]
    return lines


def _picture(name: str, predicted: Sequence[Any], drawn: DrawnEquations) -> dict[str, Tensor]:
    """The first trajectory of each family, first state."""
    found = {}
    for k in sorted(set(drawn.family.tolist())):
        row, seen = int((drawn.family == k).nonzero()[0]), drawn.window.shape[1]
        found[f"{name} {k}"] = torch.as_tensor(predicted[row])[:, :2].double()
        found[f"truth {k}"] = torch.stack([drawn.times[row], drawn.values[row, :, 0]], 1)
        found[f"seen {k}"] = torch.stack([drawn.times[row, :seen], drawn.window[row, :, 0]], 1)
    return found


def _panel(k: int, title: str, own: Measured) -> Panel:
    truth, seen = own.arrays[f"truth {k}"], own.arrays[f"seen {k}"]
    reach = 1.6 * float(truth[:, 1].abs().max())
    series = [
        _line("line", truth, "truth", "muted", 2.5),
        _line("points", seen, "seen", "muted", 5),
        _line("line", own.arrays[f"predicted {k}"], "network", 0, 1.5),
    ]
    if f"integrated {k}" in own.arrays:
        path = own.arrays[f"integrated {k}"]
        series.append(_line("line", path[(path[:, 1].abs() < 2 * reach)], "its equation", 1, 1.5, dash="--"))
    y = Axis(label="u1", low=-reach, high=reach)
    return Panel(series=tuple(series), title=title, x=Axis(label="t"), y=y, legend="below" if k == 0 else "")


def _line(mark: str, path: Tensor, name: str, hue: Any, size: float, dash: str = "-") -> Series:
    return Series(
        mark=mark, arrays={"x": path[:, 0], "y": path[:, 1]}, name=name, hue=hue, size=size, dash=dash
    )
