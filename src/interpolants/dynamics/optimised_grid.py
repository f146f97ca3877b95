"""Time grids made for a model: the local errors of a pilot run are measured, and shared evenly between the steps.

Along trajectories that fine steps have followed, a solver takes single steps of one pilot cell each, from the state and
with the earlier values on the trajectory itself; what it misses is its local error there. A step of h cells errs by
about ``e h^q`` with the solver's exponent q: a density ``e^(1/q)`` of the new grid's nodes makes all errors alike.

Few steps are far from that limit, and a solver with memory starts on one value. The solver therefore runs the pilot on
the new grid and on the standard ones, and the grid with the least error at the end is kept.

Source: equidistribution, de Boor (1974), in Conference on the Numerical Solution of Differential Equations, 12-20; the
comparison is ours.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.dynamics.course import choose_method
from interpolants.dynamics.grids import SPACINGS, by_noise, spacing_for, time_grid
from interpolants.dynamics.multistep import plan_strides, step_from
from interpolants.dynamics.sample import sample
from interpolants.dynamics.samplers import ADAPTIVE
from interpolants.dynamics.transitions import TRANSITIONS
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import whole
from interpolants.foundations.clock import clock
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.types import Condition
from interpolants.solvers.adaptive_heun import AdaptiveHeun
from interpolants.solvers.multistep import Multistep
from interpolants.solvers.registry import get_solver
from interpolants.solvers.sde import SdeSolver

_NEAR = 1e-3  # from an end where the log of signal over noise is infinite
_FINE = 4  # steps of the trajectory, by rk4, in a cell
_TOLERANCE = 1e-5  # of an adaptive solver that stands for the exact flow, relative and absolute
_LEAST = 0.05  # of the mean density: no cell is skipped on the word of a small pilot


@dataclass(frozen=True)
class GridChoice:
    """A time grid that was chosen by the error of pilot runs.

    Attributes:
        times: ``(n_steps + 1,)`` the grid that was kept.
        kept: Name of its spacing: ``"made"`` for the grid of equal local errors.
        errors: Root mean square distance of the ends of the pilot from the exact flow, by spacing, in the units of
            the fields.
        grids: All grids by spacing.
    """

    times: npt.NDArray[np.float64]
    kept: str
    errors: Mapping[str, float]
    grids: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)


def optimise_grid(
    fields: Fields,
    x: Tensor,
    n_steps: int,
    *,
    method: str | None = None,
    start: float = 0.0,
    stop: float = 1.0,
    cells: int = 48,
    cond: Condition = None,
) -> npt.NDArray[np.float64]:
    """Return ``n_steps + 1`` times that suit a model and a solver; pass them as ``time_grid``.

    Args:
        fields: Fields of the model, e.g. ``bridge.fields``.
        x: Start points of the pilot, ``(B, *D)``; some hundred will do.
        n_steps: Steps of the grid.
        method: Solver by name, with fixed steps; the default is that of ``sample``.
        start: First time.
        stop: Last time.
        cells: Cells of the pilot; it costs some 20 evaluations for each.
        cond: Condition of the rows of x.

    Returns:
        The times ``(n_steps + 1,)``, float64. :func:`choose_grid` returns the errors of all compared grids too.

    Raises:
        InvalidInputError: If the method has no fixed steps of its own error, or a number breaks its rule.
    """
    return choose_grid(
        fields, x, n_steps, method=method, start=start, stop=stop, cells=cells, cond=cond
    ).times


def choose_grid(
    fields: Fields,
    x: Tensor,
    n_steps: int,
    *,
    method: str | None = None,
    start: float = 0.0,
    stop: float = 1.0,
    cells: int = 48,
    cond: Condition = None,
) -> GridChoice:
    """Compare the grid of equal local errors with the standard ones on a pilot, and keep the best.

    Arguments and errors are those of :func:`optimise_grid`.
    """
    whole("optimise_grid", "n_steps", n_steps, at_least=1)
    whole("optimise_grid", "cells", cells, at_least=4)
    name = choose_method(fields, x, method, noisy=False)
    if name in (*ADAPTIVE, *TRANSITIONS):
        rule = "method must be a Runge-Kutta or multistep solver with fixed steps"
        raise invalid("optimise_grid", rule, repr(name), "For example, use 'midpoint' or 'unipc3'.")
    grid = _pilot_grid(fields, cells, start, stop)
    fine = np.interp(np.arange(cells * _FINE + 1) / _FINE, np.arange(cells + 1), grid)
    with torch.no_grad():
        done = sample(fields, x, method="rk4", time_grid=fine, cond=cond, return_path=True)
        assert done.path is not None
        states = done.path[::_FINE]
        errors, power = _errors(fields, states, grid, name, cond)
        grids = {"made": equidistribute(grid, errors ** (1 / power), n_steps)}
        grids |= standard_grids(fields, n_steps, name, start, stop)
        off = {spacing: distance(fields, x, done.x, name, times, cond) for spacing, times in grids.items()}
    kept = min(off, key=lambda spacing: off[spacing])
    return GridChoice(grids[kept], kept, off, grids)


def standard_grids(
    fields: Fields, n_steps: int, method: str, start: float = 0.0, stop: float = 1.0
) -> dict[str, npt.NDArray[np.float64]]:
    """Grids that are no work to make, by the name of their spacing.

    Those by noise are omitted if one of the two levels is not finite.

    Args:
        fields: Fields of the model.
        n_steps: Steps of each grid.
        method: Solver by name.
        start: First time.
        stop: Last time.
    """
    found = {}
    for spacing in ("auto", *SPACINGS):
        try:
            own = spacing_for(fields.path, n_steps, spacing, start=start, stop=stop, method=method)
            found[spacing] = time_grid(n_steps, own, start=start, stop=stop)
        except InvalidInputError:
            continue  # a spacing by noise, from noise without signal or to data without noise
    return found


def reference(fields: Fields, x: Tensor, cond: Condition) -> Tensor:
    """End points of the flow from 0 to 1 by an adaptive solver, ``(B, *D)``."""
    return sample(fields, x, method="dopri5", rtol=_TOLERANCE, atol=_TOLERANCE, cond=cond).x


def distance(
    fields: Fields, x: Tensor, end: Tensor, method: str | None, times: Any, cond: Condition
) -> float:
    """Root mean square error, per entry, of the ends of a run on a grid; infinite where a run fails."""
    found = sample(fields, x, method=method, time_grid=times, cond=cond, on_failure="keep").x
    return float((found - end).double().square().mean().sqrt().nan_to_num(math.inf, math.inf))


def equidistribute(
    grid: npt.NDArray[np.float64], density: npt.NDArray[np.float64], n_steps: int
) -> npt.NDArray[np.float64]:
    """``n_steps + 1`` times with equal shares of a density that is constant in each cell of ``grid``.

    Args:
        grid: Times ``(n + 1,)``.
        density: One per cell, ``(n,)``, >= 0; raised to a twentieth of its mean where it is lower.
        n_steps: Steps wanted.
    """
    total = density.mean()
    raised = np.maximum(density, _LEAST * total) if total > 0 else np.ones_like(density)
    mass = np.concatenate([[0.0], np.cumsum(raised)])
    times: npt.NDArray[np.float64] = np.interp(np.linspace(0, mass[-1], n_steps + 1), mass, grid)
    times[0], times[-1] = grid[0], grid[-1]
    return times


def _pilot_grid(fields: Fields, cells: int, start: float, stop: float) -> npt.NDArray[np.float64]:
    path = fields.path
    if path is None or not path.is_one_sided or path.basis is not None:
        return time_grid(cells, "cosine", start=start, stop=stop)
    inner = max(start, _NEAR), min(stop, 1 - _NEAR)
    own = by_noise(
        path, cells - (inner[0] > start) - (inner[1] < stop), "log_snr", start=inner[0], stop=inner[1]
    )
    ends = [[start] if inner[0] > start else [], [stop] if inner[1] < stop else []]
    return np.concatenate([ends[0], own, ends[1]])


def _errors(
    fields: Fields, states: Tensor, grid: npt.NDArray[np.float64], method: str, cond: Condition
) -> tuple[npt.NDArray[np.float64], float]:
    """Root mean square of what single steps miss, cell by cell, and the power of the step it falls with."""
    solver = get_solver(method)
    assert not isinstance(solver, SdeSolver | AdaptiveHeun)
    if isinstance(solver, Multistep):
        arrived, power = _multistep(fields, states, grid, solver, cond), solver.values + 1.0 + solver.corrects
    else:
        arrived, power = _one_step(fields, states, grid, method, cond), solver.order + 1.0
    missed: npt.NDArray[np.float64] = (
        (arrived - states[1:]).square().flatten(1).mean(1).sqrt().double().cpu().numpy()
    )
    return missed, power


def _one_step(fields: Fields, states: Tensor, grid: Any, method: str, cond: Condition) -> Tensor:
    steps = (
        sample(fields, x, method=method, time_grid=grid[n : n + 2], cond=cond).x
        for n, x in enumerate(states[:-1])
    )
    return torch.stack([*steps])


def _multistep(fields: Fields, states: Tensor, grid: Any, solver: Multistep, cond: Condition) -> Tensor:
    """Steps from the trajectory with its own earlier values; what corrects is given the value at the end too."""
    plan, ticks = plan_strides(fields, solver, grid), clock(grid, states[0])
    values = [fields.evaluate(x, t, plan.names, cond) for x, t in zip(states, ticks, strict=True)]
    return torch.stack([step_from(plan, n, states[n], values) for n in range(len(plan.strides))])
