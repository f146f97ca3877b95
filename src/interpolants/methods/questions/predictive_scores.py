"""How good predictive distributions of values at points are: error, log density, CRPS, coverage."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.data.coded_columns import DAYS, NUMBER, Form, coded
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.errors import nearest
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.figures import Axis, Figure, Panel, Series
from interpolants.framework.question_form import Ask, question
from interpolants.framework.questions import About, Measured, Number
from interpolants.framework.role import Role
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


def _figures(question: Any, own: Measured, rivals: Mapping[str, Measured], task: Task) -> Sequence[Figure]:
    """Coverage of all levels, and curves where they are asked for."""
    named = {"the method": own, **rivals}
    made = [_coverage(named)]
    return made if question.along is None else [_curves(question, named, task), *made]


def _coverage(named: Mapping[str, Measured]) -> Figure:
    levels = torch.tensor(_LEVELS, dtype=torch.float64)
    ideal = Series(mark="line", arrays={"x": levels, "y": levels}, name="calibrated", hue="muted", dash="--")
    lines = [
        Series(
            mark="line", arrays={"x": levels, "y": one.arrays["inside"]}, name=name, hue=k, symbol="o", size=3
        )
        for k, (name, one) in enumerate(list(named.items())[:6])
    ]
    x, y = Axis(label="probability of the interval"), Axis(label="share of values inside")
    panel = Panel(series=(ideal, *lines), x=x, y=y, legend="below")
    caption = (
        "Share of test values inside central intervals of each probability; below the line: overconfident."
    )
    return Figure(name="coverage", panels=(panel,), caption=caption, width=420, height=330)


def _curves(question: Any, named: Mapping[str, Measured], task: Task) -> Figure:
    part = task.part(question.part)
    table, what = part[question.points], part[question.values]
    (points, forms), column = _coordinates(table), _column(table, question.along)
    rows = _richest(points, column)
    rows = rows[points[rows, column].argsort()]
    x = Axis(label=_name(table, column) + (", days since 1970" if forms[column] == DAYS else ""))
    y = Axis(label=_name(what, 0, question.values), unit=question.unit)
    panels: list[Panel] = []
    for name, one in list(named.items())[:_PANELS]:
        mean, low, high, truth = (one.arrays[key][rows] for key in ("mean", "low", "high", "truth"))
        at = points[rows, column]
        marks = (
            Series(mark="band", arrays={"x": at, "low": low, "high": high}, name=f"{question.level:.0%}"),
            Series(mark="line", arrays={"x": at, "y": mean}, name="mean"),
            Series(mark="points", arrays={"x": at, "y": truth}, name="measured", hue=1, size=4),
        )
        first = not panels and y.label
        panels.append(
            Panel(series=marks, title=name, x=x, y=Axis() if panels else y, legend="best" if first else "")
        )
    others = [k for k in range(points.shape[1]) if k != column]
    place = ", ".join(f"{_name(table, k)} {_told(float(points[rows[0], k]), forms[k])}" for k in others)
    caption = f"Predicted mean and central interval of {question.level:.0%}, measured values as points"
    caption += f", at {place}." if place else "."
    return Figure(name="curve", panels=tuple(panels), caption=caption, width=300 * len(panels), height=270)


@question(
    needs="predict",
    numbers={
        "rmse": About(
            "Root mean squared error", unit="{unit}", note="Of the predicted mean.", floor=_NO_FLOOR
        ),
        "mae": About("Mean absolute error", unit="{unit}", note="Of the predicted median.", floor=_NO_FLOOR),
        "nll": About("Negative log density", unit="nats per value", floor=_NO_FLOOR),
        "crps": About(
            "CRPS",
            unit="{unit}",
            note="Mean distance of the predicted distribution from the value.",
            floor=_NO_FLOOR,
        ),
        "coverage": About(
            "Coverage of central intervals",
            "neither",
            note="Share of values inside; the floor is the share that was promised.",
            floor_of="a calibrated prediction",
        ),
        "width": About(
            "Width of these intervals",
            "neither",
            "{unit}",
            "Narrow is good where coverage is right.",
            floor=_NO_FLOOR,
        ),
    },
    reads=lambda question: (Role(name=question.group, kind="labels"),) if question.group else (),
    floors=lambda question, task: {"coverage": question.level},
    figures=_figures,
)
def predictive_scores(
    ask: Ask,
    *,
    points: str = "points",
    values: str = "values",
    level: Annotated[float, Interval(gt=0, lt=1)] = 0.9,
    part: Literal["test", "held"] = "test",
    group: str = "",
    along: Any = None,
    unit: str = "",
    lead: Literal["rmse", "mae", "nll", "crps", "coverage", "width"] = "rmse",
) -> dict[str, Number]:
    """Scores of the distribution that a method predicts for each test point against the value that was measured.

    Args:
        ask: Task and method.
        points: Role of the points.
        values: Role of their values, one column.
        level: Probability of the central interval whose coverage is measured.
        part: ``"test"``, or ``"held"`` for rows held out beside the test.
        group: Role of labels; errors of the scores are then those over groups, whose rows depend on each other.
        along: Column of the points, by name or number: a curve along it is drawn, at the values of the other columns
            that have most test points.
        unit: Unit of the values.
        lead: Number that comes first, and that reports begin with.
    """
    found = ask.task.call(ask.method, "predict", part)
    if not isinstance(found, Predictive):
        rule = "must predict distributions, with mean, std and quantiles"
        raise NotAbleError(f"{who()}: {type(ask.method).__name__} {rule}")
    rows = ask.task.part(part)
    truth = as_tensor(rows[values]).double().reshape(-1)
    groups = as_codes(rows[group])[0] if group else None
    mean, low, high = (_flat(x, truth) for x in (found.mean, *_interval(found, level)))
    cases = {
        "mae": (_flat(found.quantile(0.5), truth) - truth).abs(),
        "nll": -found.log_prob(truth[:, None]).double(),
        "crps": _crps(found, truth),
        "coverage": ((low <= truth) & (truth <= high)).double(),
        "width": high - low,
    }
    scores: dict[str, Number] = {"rmse": _root(_by_group((mean - truth).square(), groups))}
    scores |= {name: _by_group(x, groups) for name, x in cases.items()}
    inside = torch.tensor([_inside(truth, *_interval(found, one)) for one in _LEVELS])
    ask.keep(mean=mean, low=low, high=high, truth=truth, inside=inside)
    covered = float(cases["coverage"].mean())
    if abs(covered - level) > 0.5 * min(1 - level, level) + 0.05:
        way = "too narrow" if covered < level else "too wide"
        told = f"Intervals are {way}: {covered:.0%} of the values lie inside those of {level:.0%}."
        ask.find(told, grave=False)
    return {lead: scores[lead], **scores}


def _interval(found: Predictive, level: float) -> tuple[Any, Any]:
    return found.quantile((1 - level) / 2), found.quantile((1 + level) / 2)


def _flat(x: Any, like: Tensor) -> Tensor:
    found = as_tensor(x).double().reshape(-1)
    if found.shape != like.shape:
        raise invalid("values must have one column", f"{len(found)} for {len(like)} rows")
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
    numbers, forms = coded(table, who(), "points")
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
        raise invalid("along must be a column of the points", repr(along), remedy)
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
