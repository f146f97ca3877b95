"""Time grids made for a model: the local errors of a pilot run are measured, and shared evenly between the steps.

Along trajectories that fine steps have followed, a solver takes single steps of one pilot cell each, from the state and
with the earlier values on the trajectory itself; what it misses is its local error there. A step of h cells errs by
about ``e h^q`` with the solver's exponent q: a density ``e^(1/q)`` of the new grid's nodes makes all errors alike.

Source: equidistribution, de Boor (1974), in Conference on the Numerical Solution of Differential Equations, 12-20.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.dynamics.course import choose_method
from interpolants.dynamics.grids import by_noise, time_grid
from interpolants.dynamics.multistep import plan_strides, step_from
from interpolants.dynamics.sample import sample
from interpolants.dynamics.samplers import ADAPTIVE
from interpolants.dynamics.transitions import TRANSITIONS
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import whole
from interpolants.foundations.clock import clock
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.solvers.multistep import Multistep
from interpolants.solvers.registry import get_solver
from interpolants.solvers.sde import SdeSolver

_NEAR = 1e-3  # from an end where the log of signal over noise is infinite
_FINE = 4  # steps of the trajectory, by rk4, in a cell
_LEAST = 0.05  # of the mean density: no cell is skipped on the word of a small pilot


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
    """``n_steps + 1`` times from ``start`` to ``stop`` that suit a model and a solver; pass them as ``time_grid``.

    Args:
        fields: Fields of the model, e.g. ``bridge.fields``.
        x: Start points of the pilot, ``(B, *D)``; some hundred will do.
        n_steps: Steps of the grid that is made.
        method: Solver by name, with fixed steps; the default is that of ``sample``.
        start: First time.
        stop: Last time.
        cells: Cells of the pilot; it costs some 20 evaluations for each.
        cond: Condition of the rows of x.

    Raises:
        InvalidInputError: If the method has no fixed steps of its own error, or a number breaks its rule.
    """
    whole("optimise_grid", "n_steps", n_steps, at_least=1)
    whole("optimise_grid", "cells", cells, at_least=4)
    name = choose_method(fields, x, method, noisy=False)
    if name in (*ADAPTIVE, *TRANSITIONS):
        rule = "method must be a Runge-Kutta or multistep solver with fixed steps"
        raise invalid("optimise_grid", rule, repr(name), "E.g. 'midpoint' or 'unipc3'.")
    grid = _pilot_grid(fields, cells, start, stop)
    fine = np.interp(np.arange(cells * _FINE + 1) / _FINE, np.arange(cells + 1), grid)
    with torch.no_grad():
        done = sample(fields, x, method="rk4", time_grid=fine, cond=cond, return_path=True)
        assert done.path is not None
        states = done.path[::_FINE]
        errors, power = _errors(fields, states, grid, name, cond)
    return equidistribute(grid, errors ** (1 / power), n_steps)


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
    assert not isinstance(solver, SdeSolver)
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
