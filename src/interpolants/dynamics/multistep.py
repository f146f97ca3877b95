"""Multistep runs along a path: one evaluation per step, earlier values kept.

* One-sided, ``x = alpha x0 + beta x1``: with ``l = log(beta / alpha)`` the flow is
  ``x' = (alpha'/alpha) x + beta' int e^(l - l') e1 dl`` (dashes mark the end of the step), e1 the mean end point, for
  any distribution of the base.
* Two-sided with a latent term: ``x' = x + int v dt + int n dgamma``, v the mean rate and n the mean noise, both read as
  functions of ``u = (2/pi) arcsin(sqrt(t))``, in which ``gamma = sqrt(t (1 - t))`` is a sine and the fields are smooth.

Where l is infinite at an end of the step (no signal at t = 0, no noise at t = 1) the step is of order 1, that of
``ddim``, and history begins anew: a run from 0 to 1 ends in the mean end point. For the full order begin and end where
l is finite, ``start=path.time_at_log_snr(...)``: at t = stop the samples carry noise of ``path.noise_std(stop)``.

Source: Lu et al. (2022), arXiv:2211.01095; Zhao et al. (2023), arXiv:2302.04867; the two-sided form is derived here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.clock import clock
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.solvers.multistep import Measure, Multistep, Numbers

_POINTS, _GAUSS = np.polynomial.legendre.leggauss(24)
# Increments of a function over a step of a two-sided path.
_PIECES = 256
_KEPT = 4  # values that any solver reads at most
# A longer step in l would outrun the quadrature; e^-20 is nothing beside 1 in single precision.
_LONGEST = 20.0


@dataclass(frozen=True)
class Row:
    """``keep x + sum_k sum_j weights[k][j] q_k[j]`` over the quantities k and their values j, the newest first."""

    keep: float
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Stride:
    """One step: the predictor, and the corrector where there is one, whose first values are those at the step's end."""

    predict: Row
    correct: Row | None = None


@dataclass(frozen=True)
class Plan:
    """The quantities that are asked for, and the steps of a run."""

    names: tuple[str, ...]
    strides: tuple[Stride, ...]


def plan_strides(fields: Fields, solver: Multistep, grid: npt.NDArray[Any]) -> Plan:
    """All weights of a run, in float64, before its first step.

    Raises:
        InvalidInputError: If the path has no such steps, or what they need does not follow from the fields.
    """
    path = fields.path
    if not isinstance(path, SpatiallyLinearPath) or path.basis is not None:
        rule = f"method={solver.name!r} needs a path with one coefficient for x0 and one for x1"
        raise invalid("sample", rule, type(path).__name__, "Use 'midpoint'.")
    needs = ("denoised",) if path.is_one_sided else ("mean_rate", "noise")
    if not all(fields.provides(name) for name in needs):
        rule = f"method={solver.name!r} needs fields that know {' and '.join(needs)}"
        remedy = "Learn them, or use 'midpoint', which needs the velocity alone."
        raise invalid("sample", rule, ", ".join(fields.known), remedy)
    make = _one_sided if path.is_one_sided else _two_sided
    places, keeps, measures = make(path, np.asarray(grid, dtype=np.float64))
    return Plan(needs, tuple(_strides(solver, places, keeps, measures)))


def _strides(
    solver: Multistep, places: Numbers, keeps: Sequence[float], measures: Sequence[Sequence[Measure]]
) -> list[Stride]:
    """Predictors through the known values that are not infinitely far, correctors through one more."""
    found = []
    for n, (keep, parts) in enumerate(zip(keeps, measures, strict=True)):
        finite = bool(np.isfinite(places[n : n + 2]).all())
        known = places[max(0, n + 1 - solver.values) : n + 1][::-1]
        nodes = known[np.isfinite(known)] if finite else places[n : n + 1]
        if not finite:
            found.append(Stride(Row(keep, tuple((float(part.weights.sum()),) for part in parts))))
            continue
        predict = Row(keep, tuple(tuple(solver.predict(nodes, part).tolist()) for part in parts))
        correct = None
        if solver.corrects and n + 1 < len(keeps):
            correct = Row(keep, tuple(tuple(solver.correct(nodes, part).tolist()) for part in parts))
        found.append(Stride(predict, correct))
    return found


_Made = tuple[Numbers, list[float], list[tuple[Measure, ...]]]


def _one_sided(path: SpatiallyLinearPath, grid: Numbers) -> _Made:
    """In ``l = log(beta / alpha)``, with the measure ``beta' e^(l - l') dl``."""
    t = torch.from_numpy(grid.copy())
    alpha, beta = path.alpha(t).numpy(), path.beta(t).numpy()
    if alpha[0] == 0:
        remedy = "Begin just before it, e.g. stop=0.999."
        raise invalid("sample", "a multistep run must begin where there is noise", f"t = {grid[0]:g}", remedy)
    with np.errstate(divide="ignore"):
        places = np.log(beta) - np.log(alpha)
    keeps = [float(b / a) for a, b in pairwise(alpha)]
    measures: list[tuple[Measure, ...]] = [
        (_exponential(*ends, scale),) for ends, scale in zip(pairwise(places), beta[1:], strict=True)
    ]
    return places, keeps, measures


def _exponential(start: float, stop: float, scale: float) -> Measure:
    if not math.isfinite(stop - start):
        return Measure(start, stop, np.array([start]), np.array([scale]))
    near = max(start, stop - _LONGEST)
    points = (near + stop) / 2 + (stop - near) / 2 * _POINTS
    return Measure(start, stop, points, scale * (stop - near) / 2 * _GAUSS * np.exp(points - stop))


def _two_sided(path: SpatiallyLinearPath, grid: Numbers) -> _Made:
    """In ``u``, with the measures dt and dgamma."""
    places = 2 / math.pi * np.arcsin(np.sqrt(grid))
    steps = list(pairwise(places))
    measures: list[tuple[Measure, ...]] = [
        (_of_function(lambda t: t, *ends), _of_function(path.envelope.gamma, *ends)) for ends in steps
    ]
    return places, [1.0] * len(steps), measures


def _of_function(function: Callable[[Tensor], Tensor], start: float, stop: float) -> Measure:
    """``d function(t(u))`` over a step: increments of the function, each in the middle of its share of the step.

    Integrating by parts leaves values of the function alone: its rate may be infinite at an end.
    """
    ends = (start + stop) / 2 + (stop - start) / 2 * np.cos(np.linspace(math.pi, 0, _PIECES + 1))
    values = function(torch.from_numpy(np.sin(math.pi / 2 * ends) ** 2).clamp(0, 1)).numpy()
    return Measure(start, stop, (ends[1:] + ends[:-1]) / 2, np.diff(values))


def run_strides(
    fields: Fields,
    plan: Plan,
    x: Tensor,
    grid: npt.NDArray[np.float64],
    cond: Condition,
    *,
    on_step: Any = None,
    return_path: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """The state reached and, if asked for, all states ``(n + 1, B, *D)``; no value outlives the call.

    Args:
        fields: What is asked.
        plan: The steps.
        x: Start, ``(B, *D)``.
        grid: Times in the order of travel, ``(n + 1,)``.
        cond: Condition of the rows.
        on_step: As in ``integrate_fixed``; not for solvers that correct.
        return_path: Keep the states at all times.
    """
    ticks, states = clock(grid, x), [x]
    history: list[list[Tensor]] = [[] for _ in plan.names]
    before, pending = x, None
    for n, stride in enumerate(plan.strides):
        values = fields.evaluate(x, ticks[n], plan.names, cond)
        for past, name in zip(history, plan.names, strict=True):
            past.insert(0, values[name])
        if pending is not None:
            x = states[-1] = _apply(pending, before, history)
        before, pending = x, stride.correct
        x = _apply(stride.predict, x, history)
        if on_step is not None:
            replaced = on_step(n + 1, ticks[n + 1], x)
            x = x if replaced is None else replaced
        states = [*states, x] if return_path else [x]
        for past in history:
            del past[_KEPT:]
    return x, torch.stack(states) if return_path else None


def _apply(row: Row, x: Tensor, history: Sequence[Sequence[Tensor]]) -> Tensor:
    total = x * row.keep
    for weights, values in zip(row.weights, history, strict=True):
        for weight, value in zip(weights, values, strict=False):
            total.add_(value, alpha=weight)
    return total


def step_from(plan: Plan, n: int, x: Tensor, values: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Step n from a state, with the quantities at all times of the grid given; corrected where the solver corrects."""
    stride = plan.strides[n]
    row, last = (stride.predict, n) if stride.correct is None else (stride.correct, n + 1)
    history = [[values[k][name] for k in range(last, -1, -1)] for name in plan.names]
    return _apply(row, x, history)
