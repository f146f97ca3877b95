"""Fitted solvers for a trained bridge: start points and conditions are those that the bridge samples with."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.fitted_solver import fit_solver
from interpolants.dynamics.solver_table import FittedSolver
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import whole
from interpolants.foundations.randomness import generator, key
from interpolants.foundations.types import Condition
from interpolants.methods.parts.start_points import Pool


def fitted_solver(
    n: int,
    pairs: int,
    pool: Pool,
    start: Callable[[int, int, Tensor | None], Tensor],
    target: Callable[[Tensor | None], tuple[Fields, Condition]],
    settings: Mapping[str, Any],
) -> FittedSolver:
    """Fit a solver to the fields of a bridge.

    Args:
        n: Evaluations.
        pairs: Start points.
        pool: Rows of x1 with their conditions, from which conditions are drawn.
        start: Number, seed and conditions of start points -> the points, in units of the fields.
        target: Conditions of the start points -> fields and condition to sample with.
        settings: Settings of ``dynamics.SolverFit``.
    """
    pairs = whole("Bridge.fit_solver", "pairs", pairs, at_least=1)
    seed = whole("Bridge.fit_solver", "seed", settings.get("seed", 0))
    cond = pool.cond
    if cond is not None:
        source = generator(seed, "conditions of a fitted solver")
        cond = cond[torch.randint(len(cond), (pairs,), generator=source).to(cond.device)]
    # A separate stream: with those of ``sample(seed=seed)`` errors would be those of the training.
    x = start(pairs, key(seed, "starts of a fitted solver") % 2**31, cond)
    fields, condition = target(cond)
    return fit_solver(fields, x, n, cond=condition, **settings)
