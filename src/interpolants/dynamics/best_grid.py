"""Time grids by coordinate descent on the end points, judged on starts that the descent does not see."""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from interpolants.dynamics.optimised_grid import GridChoice, choose_grid, distance, reference
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition, take_rows

_WHO = "best_grid"
_FEWEST = 32  # start points
_FIRST = 0.25  # move of a time, as a fraction of the step before or after it


def best_grid(
    fields: Fields,
    x: Tensor,
    n_steps: int,
    *,
    method: str | None = None,
    rounds: int = 12,
    cond: Condition = None,
) -> GridChoice:
    """Improve the grid of ``optimise_grid`` by coordinate descent on the error of the end points.

    All grids are compared on the second half of the start points, which neither ``optimise_grid`` nor the descent has
    used. On a mixture in two dimensions the descent gains little there.

    Args:
        fields: Fields of the model.
        x: Start points, ``(B, *D)``; some hundred.
        n_steps: Steps of the grid.
        method: Solver by name, with fixed steps; default: that of ``sample``.
        rounds: Rounds over all inner times. Moves that do not help are halved.
        cond: Condition, one row per start point.

    Returns:
        The grid with the smallest error on the second half, and the errors of all by name; ``"descended"`` is that of
        the descent.

    Raises:
        InvalidInputError: If there are fewer than 32 start points, or for the reasons of :func:`optimise_grid`.
    """
    whole(_WHO, "rounds", rounds, at_least=1)
    if len(x) < _FEWEST:
        raise invalid(_WHO, f"x must have at least {_FEWEST} start points", len(x), "Draw more of them.")
    half = len(x) // 2
    first, second = slice(0, half), slice(half, len(x))
    conds = take_rows(cond, first), take_rows(cond, second)
    chosen = choose_grid(fields, x[first], n_steps, method=method, cond=conds[0])
    end = reference(fields, x[first], conds[0])

    def error(times: npt.NDArray[np.float64]) -> float:
        return distance(fields, x[first], end, method, times, conds[0])

    grids = {**chosen.grids, "descended": _descend(chosen.times, error, rounds)}
    true = reference(fields, x[second], conds[1])
    errors = {
        name: distance(fields, x[second], true, method, times, conds[1]) for name, times in grids.items()
    }
    best_name = min(errors, key=lambda name: errors[name])
    return GridChoice(grids[best_name], best_name, errors, grids)


def _descend(times: npt.NDArray[np.float64], error: Any, rounds: int) -> npt.NDArray[np.float64]:
    """Move the inner times in turn, towards either neighbour, while the error falls."""
    best, smallest, fraction = times.copy(), error(times), _FIRST
    moves = [(k, neighbour) for k in range(1, len(best) - 1) for neighbour in (k - 1, k + 1)]
    for _ in range(rounds):
        before = smallest
        for k, neighbour in moves:
            trial = best.copy()
            trial[k] += fraction * (best[neighbour] - best[k])
            if (moved_error := error(trial)) < smallest:
                best, smallest = trial, moved_error
        if smallest == before:
            fraction /= 2
    return best
