"""Several steps of a flow in one compiled call, for batches so small that dispatch costs more than arithmetic."""

import itertools
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.ops import time_dtype
from interpolants.foundations.types import Condition
from interpolants.solvers.fixed import FixedResult, integrate_fixed
from interpolants.solvers.tableau import RungeKutta, Terms

Several = Callable[..., Tensor]

# For each network its compiled functions, by the solver: a fitted model makes its fields anew for every call.
_compiled: "weakref.WeakKeyDictionary[Any, dict[str, Several]]" = weakref.WeakKeyDictionary()
_numbers = itertools.count()


def integrate_compiled(
    fields: Fields,
    x: Tensor,
    grid: npt.NDArray[np.float64],
    solver: RungeKutta,
    cond: Condition,
    *,
    per_call: int,
) -> FixedResult:
    """The flow along ``grid``, ``per_call`` steps to a call; steps that are left over are made one by one.

    A network is compiled for the size of its first batch, and then for all sizes; the grid does not matter.

    Args:
        fields: Fields whose velocity was learnt as such.
        x: States ``(B, *D)``.
        grid: Times ``(n + 1,)`` in the order of travel.
        solver: Any explicit Runge-Kutta solver.
        cond: Condition, one row per sample.
        per_call: Steps to a call, >= 1.
    """
    tableau, widths = solver.tableau, np.diff(grid)
    needed = tableau.needed
    stages = grid[:-1, None] + widths[:, None] * np.array(tableau.c[:needed])
    stages[:, np.array(tableau.c[:needed]) == 1.0] = grid[1:, None]
    times, steps = (torch.as_tensor(v, dtype=time_dtype(x)).to(x.device) for v in (stages, widths))
    several, whole = _function(fields, solver), len(widths) // per_call * per_call
    for first in range(0, whole, per_call):
        part = slice(first, first + per_call)
        x = several(
            fields,
            x,
            times[part],
            steps[part].to(x.dtype),
            cond,
            tableau.stage_terms[:needed],
            tableau.step_terms,
        )
    nfe = len(widths) * needed
    if whole < len(widths):
        x = integrate_fixed(fields.velocity_of(cond), x, grid[whole:], solver).x
    return FixedResult(x=x, q=None, nfe=nfe, path=None)


def _function(fields: Fields, solver: RungeKutta) -> Several:
    """The compiled function of a network; PyTorch counts compilations by code, so each has code of its own."""
    owner, _ = fields.rounded_by
    known = _compiled.setdefault(owner, {})
    if solver.name not in known:
        code = _several.__code__.replace(co_name=f"_several_{next(_numbers)}")
        known[solver.name] = torch.compile(types.FunctionType(code, globals()), fullgraph=True)
    return known[solver.name]


def _several(
    fields: Fields,
    x: Tensor,
    times: Tensor,
    widths: Tensor,
    cond: Condition,
    stage_terms: tuple[Terms, ...],
    step_terms: Terms,
) -> Tensor:
    velocity = fields.velocity_of(cond)
    for stages, h in zip(times.unbind(), widths.unbind(), strict=True):
        slopes: list[Tensor] = []
        for terms, t in zip(stage_terms, stages.unbind(), strict=True):
            state = x
            for i, weight in terms:
                state = state + h * weight * slopes[i]
            slopes.append(velocity(state, t))
        for i, weight in step_terms:
            x = x + h * weight * slopes[i]
    return x
