"""Fixed-step integration of ``dx/dt = f(x, t)`` on a grid of times, forwards or backwards.

The loop does nothing but call ``f`` and add: all stage times are made beforehand as 0-d tensors, and a step
costs one addition per non-zero weight. The first addition makes a new tensor and the others are in place, so
the same code is differentiable, and a field may return or keep the very tensor it was given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.brownian import check_grid
from interpolants.foundations.clock import clock, mark_places
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import time_dtype
from interpolants.solvers.tableau import RungeKutta, Tableau, Terms

Velocity = Callable[[Tensor, Tensor], Tensor]
VelocityAndRate = Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor | None]]
OnStep = Callable[[int, Tensor, Tensor], Tensor | None]


@dataclass(frozen=True)
class FixedResult:
    """Result of a fixed-step integration.

    Attributes:
        x: State at the last time, ``(B, *D)``.
        q: Integral of the rate along the path, of the rate's shape; ``None`` without ``quadrature``.
        nfe: Evaluations of ``f``, the same for every sample.
        path: States at all times, ``(n + 1, B, *D)``; ``None`` unless asked for.
    """

    x: Tensor
    q: Tensor | None
    nfe: int
    path: Tensor | None


@overload
def integrate_fixed(
    f: Velocity,
    x: Tensor,
    times: npt.ArrayLike,
    solver: RungeKutta,
    *,
    quadrature: Literal[False] = False,
    on_step: OnStep | None = None,
    return_path: bool = False,
) -> FixedResult: ...


@overload
def integrate_fixed(
    f: VelocityAndRate,
    x: Tensor,
    times: npt.ArrayLike,
    solver: RungeKutta,
    *,
    quadrature: Literal[True],
    on_step: OnStep | None = None,
    return_path: bool = False,
) -> FixedResult: ...


def integrate_fixed(
    f: Callable[..., Any],
    x: Tensor,
    times: npt.ArrayLike,
    solver: RungeKutta,
    *,
    quadrature: bool = False,
    on_step: OnStep | None = None,
    return_path: bool = False,
) -> FixedResult:
    """Integrate ``dx/dt = f(x, t)`` over the grid ``times``, one step of ``solver`` per interval.

    With ``quadrature``, also ``dq/dt = r(x, t)`` from ``q = 0``: ``f(x, t, want)`` returns ``(velocity, r)``,
    where ``r`` ``(B,)`` or ``(B, K)`` is needed only if ``want`` is true and may be ``None`` otherwise. The solver asks
    for it at the stages that carry weight, which for the midpoint rule is one in two. On a decreasing grid
    ``q`` is the integral in the direction of travel, i.e. minus the integral upwards.

    Args:
        f: Velocity ``(B, *D)`` at state ``(B, *D)`` and time ``()``.
        x: Start, ``(B, *D)``; not modified.
        times: ``(n + 1,)``, strictly monotone; decreasing integrates backwards.
        solver: Any explicit Runge-Kutta solver; an error estimate is not computed.
        quadrature: Integrate a rate along the path.
        on_step: Called after step 1, ..., n with the step, the time reached and the state. A returned tensor
            replaces the state. The tensor given is never written to again, so it may be kept.
        return_path: Keep the states at all times.

    Returns:
        The state at the last time, the integral, the number of evaluations, the path.

    Raises:
        InvalidInputError: If ``times`` is not such a grid, or ``f`` returns another shape than ``x``.

    Source: Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, section II.1.
    """
    grid = check_grid("integrate_fixed", times)
    check_state("integrate_fixed", x)
    tableau = solver.tableau
    weighted = [tableau.b[i] != 0.0 for i in range(tableau.needed)]
    stages = stage_clock(grid, tableau.c[: tableau.needed], x)
    call = f if quadrature else _without_rate(f)
    q: Tensor | None = None
    path = [x]
    for n, h in enumerate(np.diff(grid).tolist()):
        slopes, rates = _stages(call, x, stages[n], h, tableau, weighted)
        if n == 0:
            check_velocity("integrate_fixed", slopes[0], x)
        x = combine(x, slopes, tableau.step_terms, h)
        if quadrature:
            # A rate may have columns, (B, K): one integral each.
            q = torch.zeros_like(_first(rates), dtype=time_dtype(x)) if q is None else q
            q = combine(q, rates, tableau.step_terms, h)
        if on_step is not None:
            x = _observed(on_step, n + 1, stages[n + 1][0], x)
        if return_path:
            path.append(x)
    nfe = (len(grid) - 1) * tableau.needed
    return FixedResult(x=x, q=q, nfe=nfe, path=torch.stack(path) if return_path else None)


def _first(rates: list[Tensor | None]) -> Tensor:
    return next(rate for rate in rates if rate is not None)


def _without_rate(f: Velocity) -> VelocityAndRate:
    return lambda x, t, want: (f(x, t), None)


def _stages(
    f: VelocityAndRate, x: Tensor, clock: list[Tensor], h: float, tableau: Tableau, weighted: list[bool]
) -> tuple[list[Tensor], list[Any]]:
    """Slopes and rates of the stages of one step."""
    slopes: list[Tensor] = []
    rates: list[Any] = []
    for terms, t, want in zip(tableau.stage_terms, clock, weighted, strict=False):
        slope, rate = f(combine(x, slopes, terms, h) if terms else x, t, want)
        slopes.append(slope)
        rates.append(rate)
    return slopes, rates


def combine(x: Tensor, slopes: list[Tensor], terms: Terms, h: float) -> Tensor:
    """``x + h sum_i w_i k_i`` over ``terms`` ``(i, w_i)``, in new memory."""
    (i, weight), *rest = terms
    y = torch.add(x, slopes[i], alpha=h * weight)
    for i, weight in rest:
        y.add_(slopes[i], alpha=h * weight)
    return y


def stage_clock(grid: npt.NDArray[np.float64], c: tuple[float, ...], x: Tensor) -> list[list[Tensor]]:
    """Times of all stages as 0-d tensors that know their places, made in float64; one more row for the grid's end."""
    steps = np.diff(grid, append=grid[-1])
    stages = grid[:, None] + steps[:, None] * np.array(c)
    # t + h may miss the next grid point by a rounding, and the end of the interval with it.
    stages[:-1, np.array(c) == 1.0] = grid[1:, None]
    ticks, width = mark_places(clock(stages.reshape(-1), x)), len(c)
    return [ticks[at : at + width] for at in range(0, len(ticks), width)]


def check_state(who: str, x: Tensor) -> None:
    """A state is a batch of real floating-point or complex tensors."""
    if x.ndim < 1 or not (x.is_floating_point() or x.is_complex()):
        found = f"{x.dtype} of shape {tuple(x.shape)}"
        raise invalid(who, "x must be a floating-point batch (B, *D)", found, "Convert it with x.float().")


def check_velocity(who: str, velocity: Tensor, x: Tensor) -> None:
    """Check that a velocity has the shape of the state, without broadcasting, and its dtype, without promotion."""
    if velocity.shape == x.shape and velocity.dtype == x.dtype:
        return
    if velocity.shape != x.shape:
        rule = f"f must return the shape of x, {tuple(x.shape)}"
        raise invalid(who, rule, tuple(velocity.shape), "Reshape what f returns.")
    if torch.promote_types(velocity.dtype, x.dtype) != x.dtype:
        rule = f"f must return the dtype of x, {x.dtype}, or a narrower one"
        raise invalid(who, rule, str(velocity.dtype), "Convert x or what f returns.")


def _observed(on_step: OnStep, n: int, t: Tensor, x: Tensor) -> Tensor:
    replaced = on_step(n, t, x)
    return x if replaced is None else replaced
