"""How good predictive distributions of values at points are: error, log density, CRPS, coverage."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.data.coded_columns import DAYS, NUMBER, Form, coded
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid, nearest
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.method import Method
from interpolants.framework.questions import About, Measured, Number, Question
from interpolants.framework.role import Role
from interpolants.framework.scores import Finding
from interpolants.framework.task import Task
from interpolants.methods.questions.distances import as_codes, as_tensor
from interpolants.metrics.crps import crps_of_cases, mixture_crps
from interpolants.metrics.estimate import Estimate

# Levels of the central intervals whose coverage is drawn, and panels of curves at most.
_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_PANELS = 3
# Draws for the CRPS of distributions that are no mixtures of Gaussians.
_DRAWS = 200
_NO_FLOOR = "unknown: the noise in the values is not known"


@dataclass(frozen=True, kw_only=True)
class PredictiveScores(Question, Checked):
    """Scores of the distribution that a method predicts for each test point against the value that was measured."""

    needs: ClassVar[str] = "predict"
    numbers: ClassVar[Mapping[str, About]] = {
        "rmse": About("Root mean squared error", note="Of the predicted mean."),
        "mae": About("Mean absolute error", note="Of the predicted median."),
        "nll": About("Negative log density", unit="nats per value"),
        "crps": About("CRPS", note="Mean distance of the predicted distribution from the value."),
        "coverage": About(
            "Coverage of central intervals",
            "neither",
            note="Share of values inside; the floor is the share that was promised.",
            floor_of="a calibrated prediction",
        ),
        "width": About("Width of these intervals", "neither", note="Narrow is good where coverage is right."),
    }

    points: str = "points"
    """Role of the points."""
    values: str = "values"
    """Role of their values, one column."""
    level: Annotated[float, Interval(gt=0, lt=1)] = 0.9
    """Probability of the central interval whose coverage is measured."""
    part: Literal["test", "held"] = "test"
    """``"test"``, or ``"held"`` for rows held out beside the test."""
    group: str = ""
    """Role of labels; errors of the scores are then those over groups, whose rows depend on each other."""
    along: Any = None
    """Column of the points, by name or number: a curve along it is drawn, at the values of the other columns that have
    most test points."""
    unit: str = ""
    """Unit of the values."""
    lead: Literal["rmse", "mae", "nll", "crps", "coverage", "width"] = "rmse"
    """Number that comes first, and that reports begin with."""

    def reads(self) -> Sequence[Role]:
        """The groups, where there are some."""
        return (Role(name=self.group, kind="labels"),) if self.group else ()

    def about(self, name: str) -> About:
        """With the unit of the values."""
        found = super().about(name)
        plain = name in ("nll", "coverage")
        return found if plain else About(found.title, found.better, self.unit, found.note, found.floor_of)

    def measure(self, method: Method, task: Task) -> Measured:
        """Scores by case, or by group."""
        found = task.call(method, "predict", self.part)
        if not isinstance(found, Predictive):
            rule = "must predict distributions, with mean, std and quantiles"
            raise NotAbleError(f"predictive_scores: {type(method).__name__} {rule}")
        truth = as_tensor(task.part(self.part)[self.values]).double().reshape(-1)
        groups = as_codes(task.part(self.part)[self.group])[0] if self.group else None
        mean, low, high = (_flat(x, truth) for x in (found.mean, *self._interval(found, self.level)))
        cases = {
            "mae": (_flat(found.quantile(0.5), truth) - truth).abs(),
            "nll": -found.log_prob(truth[:, None]).double(),
            "crps": _crps(found, truth),
            "coverage": ((low <= truth) & (truth <= high)).double(),
            "width": high - low,
        }
        values: dict[str, Number] = {"rmse": _root(_by_group((mean - truth).square(), groups))}
        values |= {name: _by_group(x, groups) for name, x in cases.items()}
        values = {self.lead: values[self.lead], **values}
        inside = [_inside(truth, *self._interval(found, level)) for level in _LEVELS]
        arrays = {"mean": mean, "low": low, "high": high, "truth": truth, "inside": torch.tensor(inside)}
        return Measured(values, arrays, findings=self._findings(float(cases["coverage"].mean())))

    def _interval(self, found: Predictive, level: float) -> tuple[Any, Any]:
        return found.quantile((1 - level) / 2), found.quantile((1 + level) / 2)

    def _findings(self, coverage: float) -> list[Finding]:
        if abs(coverage - self.level) <= 0.5 * min(1 - self.level, self.level) + 0.05:
            return []
        way = "too narrow" if coverage < self.level else "too wide"
        told = f"Intervals are {way}: {coverage:.0%} of the values lie inside those of {self.level:.0%}."
        return [Finding(told, grave=False)]

    def floors(self, task: Task) -> Mapping[str, Estimate | float | str]:
        """The coverage that was promised; the others have none that is known."""
        return {
            **dict.fromkeys(("rmse", "mae", "nll", "crps", "width"), _NO_FLOOR),
            "coverage": self.level,
        }

    def figures(self, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
        """Coverage of all levels, and curves where they are asked for."""
        named = {"the method": own, **rivals}
        made = [self._coverage(named)]
        return made if self.along is None else [self._curves(named, task), *made]

    def _coverage(self, named: Mapping[str, Measured]) -> Figure:
        levels = torch.tensor(_LEVELS, dtype=torch.float64)
        ideal = Series(
            mark="line", arrays={"x": levels, "y": levels}, name="calibrated", hue="muted", dash="--"
        )
        lines = [
            Series(
                mark="line",
                arrays={"x": levels, "y": one.arrays["inside"]},
                name=name,
                hue=k,
                symbol="o",
                size=3,
            )
            for k, (name, one) in enumerate(list(named.items())[:6])
        ]
        x, y = Axis(label="probability of the interval"), Axis(label="share of values inside")
        panel = Panel(series=(ideal, *lines), x=x, y=y, legend="below")
        caption = "Share of test values inside central intervals of each probability; below the line: overconfident."
        return Figure(name="coverage", panels=(panel,), caption=caption, width=420, height=330)

    def _curves(self, named: Mapping[str, Measured], task: Task) -> Figure:
        table = task.part(self.part)[self.points]
        (points, forms), column = _coordinates(table), _column(table, self.along)
        rows = _richest(points, column)
        rows = rows[points[rows, column].argsort()]
        label = _name(table, column) + (", days since 1970" if forms[column] == DAYS else "")
        others = [k for k in range(points.shape[1]) if k != column]
        at = ", ".join(f"{_name(table, k)} {_told(float(points[rows[0], k]), forms[k])}" for k in others)
        what = Axis(label=_name(task.part(self.part)[self.values], 0, self.values), unit=self.unit)
        panels = tuple(
            self._curve(name, points[rows, column], one, rows, (label, what if k == 0 else Axis()))
            for k, (name, one) in enumerate(list(named.items())[:_PANELS])
        )
        caption = f"Predicted mean and central interval of {self.level:.0%}, measured values as points"
        caption += f", at {at}." if at else "."
        return Figure(name="curve", panels=panels, caption=caption, width=300 * len(panels), height=270)

    def _curve(self, title: str, x: Tensor, one: Measured, rows: Tensor, axes: tuple[str, Axis]) -> Panel:
        mean, low, high, truth = (one.arrays[name][rows] for name in ("mean", "low", "high", "truth"))
        band = Series(mark="band", arrays={"x": x, "low": low, "high": high}, name=f"{self.level:.0%}")
        line = Series(mark="line", arrays={"x": x, "y": mean}, name="mean")
        dots = Series(mark="points", arrays={"x": x, "y": truth}, name="measured", hue=1, size=4)
        label, y = axes
        legend = "best" if y.label else ""
        return Panel(series=(band, line, dots), title=title, x=Axis(label=label), y=y, legend=legend)


def _flat(x: Any, like: Tensor) -> Tensor:
    found = as_tensor(x).double().reshape(-1)
    if found.shape != like.shape:
        raise invalid(
            "predictive_scores", "values must have one column", f"{len(found)} for {len(like)} rows"
        )
    return found


def _inside(truth: Tensor, low: Any, high: Any) -> float:
    return float(((_flat(low, truth) <= truth) & (truth <= _flat(high, truth))).double().mean())


def _crps(found: Predictive, truth: Tensor) -> Tensor:
    """By case: in closed form for Gaussians and their equal mixtures, of draws for others."""
    if found.is_gaussian and found.log_weight is None:
        means, std = found.loc[..., 0].T.double(), found.scale[..., 0].T.double()
        return mixture_crps(truth, means.new_full(means.shape[1:], 1 / means.shape[1]), means, std)
    drawn = found.sample(_DRAWS)[..., 0].T.double()
    return crps_of_cases(drawn[..., None], truth[:, None], fair=True)


def _by_group(cases: Tensor, groups: Tensor | None) -> Tensor:
    """Means of groups, or the cases themselves."""
    if groups is None:
        return cases
    known, index = torch.unique(groups, return_inverse=True)
    total = torch.zeros(len(known), dtype=cases.dtype).index_add_(0, index, cases)
    mean: Tensor = total / torch.bincount(index)
    return mean


def _root(squares: Tensor) -> Estimate:
    """Root of a mean, with its error to first order."""
    n, value = len(squares), float(squares.mean().sqrt())
    error = float(squares.std()) / math.sqrt(n) / (2 * value) if n > 1 and value else math.nan
    return Estimate(value, error, n, "root mean squared error")


def _coordinates(table: Any) -> tuple[Tensor, tuple[Form, ...]]:
    """Points as numbers, and what their columns were."""
    if not hasattr(table, "iloc"):
        points = as_tensor(table).double()
        return points, (NUMBER,) * points.shape[1]
    numbers, forms = coded(table, "predictive_scores", "points")
    return as_tensor(numbers).double(), forms


def _told(value: float, form: Form) -> str:
    """A coordinate as it was given: a number, a date or a word."""
    if isinstance(form, tuple):
        return form[int(value)]
    return str(np.datetime64(round(value * 86400), "s")) if form == DAYS else f"{value:g}"


def _column(table: Any, along: Any) -> int:
    """Place of a column, by name or number."""
    if isinstance(along, int):
        return along
    names = [str(name) for name in getattr(table, "columns", ())]
    if along not in names:
        remedy = nearest(str(along), names) if names else "Points have no names: give its number."
        raise invalid("predictive_scores", "along must be a column of the points", repr(along), remedy)
    return names.index(along)


def _name(table: Any, column: int, unnamed: str = "") -> str:
    names = getattr(table, "columns", None)
    return (unnamed or f"coordinate {column + 1}") if names is None else str(names[column])


def _richest(points: Tensor, column: int) -> Tensor:
    """Rows that agree in all other columns, where there are most."""
    others = [k for k in range(points.shape[1]) if k != column]
    if not others:
        return torch.arange(len(points))
    _, index, counts = torch.unique(points[:, others], dim=0, return_inverse=True, return_counts=True)
    rows: Tensor = (index == counts.argmax()).nonzero()[:, 0]
    return rows
