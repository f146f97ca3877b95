"""Adaptive integration of Ito equations with additive noise, with error control per sample, on halved intervals.

The grid's intervals are halved where a sample's error needs it, so that every time is a place in a fixed tree and
every increment of the Brownian motion follows from those above it by the bridge. A rejected step is not forgotten: its
increment is split, never drawn again, and so the distribution of the noise does not depend on what was accepted.

Notation: a *node* ``(n, level, place)`` is part ``place`` of the ``2^level`` equal parts of interval n; ``dw`` its
increment; a *lane* is a row of the working batch, ``pad`` as in ``solvers.adaptive``; ``whole`` the end of a step over
the node, ``halves`` that of two steps over its halves, along the same noise.

All samples that need a node take it together. They share its time, and its noise is drawn once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.brownian import check_grid
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import time_dtype
from interpolants.solvers.adaptive import AdaptiveResult, Status
from interpolants.solvers.adaptive_heun import AdaptiveHeun
from interpolants.solvers.fixed import Velocity, check_state, check_velocity
from interpolants.solvers.lanes import rms
from interpolants.solvers.sde import Strength

_WHO = "integrate_sde_adaptive"
Node = tuple[int, int, int]
_Changes = tuple[Tensor, Tensor]
Normal = Callable[[Node, Tensor], Tensor]


def integrate_sde_adaptive(
    f: Velocity,
    g: Callable[[float], Strength],
    x: Tensor,
    times: npt.ArrayLike,
    normal: Normal,
    solver: AdaptiveHeun,
    *,
    return_path: bool = False,
    on_lanes: Callable[[Tensor], None] | None = None,
) -> AdaptiveResult:
    """Integrate ``dX = f(X, t) dt + g(t) dW``, halving the steps of ``times`` where a sample's error needs it.

    Each step is tried whole and as two halves along the same Brownian path. A sample keeps the halves if the root mean
    square over its entries of ``(halves - whole) / scale`` and that of ``L h^(3/2) g / (4 scale)`` are both at most
    ``sqrt(h / T)``, for a step of length h in a run of length T, with ``scale = atol + rtol max(|x|, |halves|)``. Else
    it takes the left half by itself, then the right one.

    The second is the typical size of the first, with ``L = |f(y) - f(x)| / |y - x|`` as seen by the halves. The
    difference itself is ``h^(3/2) f' g xi / 4`` to first order with a normal number ``xi``, while the error of the
    halves comes from areas independent of ``xi``. A state of few entries would now and then keep a long step because
    ``xi`` is small there, and such steps would dominate the error.

    The errors of steps with noise are of mean zero and nearly independent, so that their squares add up: with the
    share ``sqrt(h / T)`` the tolerance is one for the end of the run, up to the growth of the equation. The steps are
    in proportion to it, and so is the strong error.

    On a decreasing grid the equation is run down in time, as in :func:`integrate_sde`.

    Args:
        f: Drift ``(n, *D)`` at ``n`` states ``(n, *D)`` and one time ``()``; ``n`` varies.
        g: Noise strength at a time: a number or one per entry ``(*D)``; finite and >= 0. Must not depend on the steps.
        x: Start, ``(B, *D)``; not modified.
        times: ``(n + 1,)``, strictly monotone: the longest steps, and the times that are reported.
        normal: ``normal((n, level, place), rows)`` gives standard normal numbers ``(len(rows), *D)``, which must depend
            on the node and the row only. Interval n takes its increment from those of ``(n, 0, 0)``; a node at
            ``level`` splits its own by those of ``(n, level + 1, place)``.
        solver: The tolerances and limits, and the scheme of a step.
        return_path: Keep the states at ``times``.
        on_lanes: Told, before each call of ``f``, which sample each row belongs to, ``(n,)``.

    Returns:
        As :func:`integrate_adaptive`, without ``q``. A step counts once, whole and halves together; a sample that fails
        does not raise: ``Status.STEP_UNDERFLOW`` where halves would be too short for the clock of ``f``.

    Raises:
        InvalidInputError: If an argument breaks its rule, a step of ``times`` is too short to be halved, ``g`` is
            negative or not finite, or ``f`` returns another shape than it was given.

    Source: Gaines & Lyons (1997), Variable step size control in the numerical solution of stochastic differential
    equations; convergence with nested steps: Foster & Jelincic (2023), arXiv:2311.14201. The typical size and
    the share of the tolerance are ours.
    """
    check_state(_WHO, x)
    grid: list[float] = check_grid(_WHO, times).tolist()
    run = _Run(f, g, x, grid, normal, solver, on_lanes)
    path = [x]
    for n in range(len(grid) - 1):
        run.over(n, grid[n], grid[n + 1])
        if return_path:
            path.append(torch.where(_widened(run.status == 0, x), run.x, math.nan))
    return run.result(torch.stack(path) if return_path else None)


@dataclass(frozen=True)
class _Frame:
    """A node with the lanes that need it, with the first slope and the whole step where they are already computed."""

    node: Node
    start: float
    end: float
    rows: Tensor
    alive: Tensor  # the other lanes are spare
    dw: Tensor
    slope: Tensor | None = None
    whole_step: Tensor | None = None

    @property
    def middle(self) -> float:
        return 0.5 * (self.start + self.end)

    def on(self, index: Tensor, alive: Tensor) -> "_Frame":
        """The frame on some of its lanes."""
        parts = {name: getattr(self, name) for name in ("rows", "dw", "slope", "whole_step")}
        taken: dict[str, Any] = {name: None if part is None else part[index] for name, part in parts.items()}
        return replace(self, alive=alive, **taken)


class _Run:
    """One integration: the states of all samples, and what was spent on them."""

    def __init__(
        self,
        f: Velocity,
        g: Callable[[float], Strength],
        x: Tensor,
        grid: list[float],
        normal: Normal,
        solver: AdaptiveHeun,
        on_lanes: Callable[[Tensor], None] | None,
    ) -> None:
        self.f, self.g, self.normal, self.solver, self.on_lanes = f, g, normal, solver, on_lanes
        self.x, self.clock, self.calls = x.clone(), time_dtype(x), 0
        self.span = abs(grid[-1] - grid[0])
        none = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
        self.nfe, self.accepted, self.rejected, self.status = (none.clone() for _ in range(4))
        self.t = torch.full(none.shape, grid[0], dtype=torch.float64, device=x.device)
        for start, end in pairwise(grid):
            shortest = 2 * self._least_step(start, end)
            if abs(end - start) < shortest:
                rule = f"steps must be at least {shortest:.2g} to be halved with times in {self.clock}"
                length = f"{abs(end - start):.2g} at t = {start:.6g}"
                raise invalid(_WHO, rule, length, "Use fewer steps, or float64.")

    def over(self, n: int, start: float, end: float) -> None:
        """Take every sample that is on its way over interval n, depth first."""
        rows = torch.arange(self.x.shape[0], device=self.x.device)
        dw = self.normal((n, 0, 0), rows).mul_(abs(end - start) ** 0.5)
        stack = [_Frame((n, 0, 0), start, end, rows, torch.ones_like(rows, dtype=torch.bool), dw)]
        while stack:
            frame = self._with_lanes(stack.pop())
            if frame is not None:
                stack += self._attempt(frame)

    def _with_lanes(self, frame: _Frame) -> _Frame | None:
        """The frame without samples that failed or have spent their steps, padded; None if nobody is left."""
        spent = (self.accepted + self.rejected >= self.solver.max_steps) & (self.status == int(Status.OK))
        due = frame.rows[frame.alive & spent[frame.rows]]
        self.status[due] = int(Status.MAX_STEPS)
        alive = frame.alive & (self.status[frame.rows] == 0)
        keep = alive.nonzero().squeeze(1)
        count = keep.shape[0]
        if not count:
            return None
        size = -(-count // self.solver.pad) * self.solver.pad
        lanes = torch.arange(size, device=keep.device)
        if size == frame.rows.shape[0]:  # nobody moves
            return replace(frame, alive=alive)
        return frame.on(torch.cat([keep, keep[:1].expand(size - count)]), lanes < count)

    def _attempt(self, frame: _Frame) -> list[_Frame]:
        """Try a node in all its lanes; the two halves for those that were rejected, to be popped from the end."""
        (n, level, position), before = frame.node, self.calls
        start, middle, end = frame.start, frame.middle, frame.end
        x = self.x[frame.rows]
        slope = self._drift(frame, x, self._time(start)) if frame.slope is None else frame.slope
        over = frame.whole_step
        if over is None:
            over, _ = self._step(frame, x, slope, (start, end), frame.dw)
        draw = self.normal((n, level + 1, position), frame.rows)
        first_dw = draw.mul_(0.5 * abs(end - start) ** 0.5).add_(frame.dw, alpha=0.5)
        second_dw = frame.dw - first_dw
        half, first = self._step(frame, x, slope, (start, middle), first_dw)
        slope_there = self._drift(frame, half, self._time(middle))
        halves, second = self._step(frame, half, slope_there, (middle, end), second_dw)
        scale = self._scale(x, halves)
        steepness = torch.maximum(_steepness(first, scale), _steepness(second, scale))
        noise = rms(torch.ones_like(scale) * self._strength(middle), scale)
        err = torch.maximum(
            rms(halves.detach() - over.detach(), scale), 0.25 * abs(end - start) ** 1.5 * steepness * noise
        )
        # An infinite state makes its own scale infinite, and so its error zero.
        finite = err.isfinite() & halves.detach().isfinite().reshape(x.shape[0], -1).all(1)
        err = torch.where(finite, err, math.inf)
        accept = frame.alive & (err <= (abs(end - start) / self.span) ** 0.5)
        self._keep(frame, halves, accept, self.calls - before)
        refused = frame.alive & ~accept
        self._give_up(frame, refused, err)
        child = replace(frame, alive=refused)
        return [
            replace(
                child,
                node=(n, level + 1, 2 * position + 1),
                start=middle,
                dw=second_dw,
                slope=None,
                whole_step=None,
            ),
            replace(
                child,
                node=(n, level + 1, 2 * position),
                end=middle,
                dw=first_dw,
                slope=slope,
                whole_step=half,
            ),
        ]

    def _step(
        self, frame: _Frame, x: Tensor, slope: Tensor, interval: tuple[float, float], dw: Tensor
    ) -> tuple[Tensor, _Changes]:
        """One step of the scheme, whose first slope is known, and by how much state and slope changed in it."""
        start, end = interval
        g0, g1 = self._strength(start), self._strength(end)
        stages: list[tuple[Tensor, Tensor]] = []

        def drift(state: Tensor, at: Tensor) -> Tensor:
            stages.append((state, slope if not stages else self._drift(frame, state, at)))
            return stages[-1][1]

        times = [self._time(start), self._time(end)]
        reached = self.solver.scheme.step(drift, x, times, end - start, g0, g1, dw, None)
        (x0, f0), (x1, f1) = stages
        return reached, (x1.detach() - x0.detach(), f1.detach() - f0.detach())

    def _drift(self, frame: _Frame, x: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        if self.on_lanes is not None:
            self.on_lanes(frame.rows)
        slope = self.f(x, t)
        check_velocity(_WHO, slope, x)
        return slope.to(x.dtype)

    def _time(self, t: float) -> Tensor:
        return torch.tensor(t, dtype=torch.float64).to(self.x.device, self.clock)

    def _strength(self, t: float) -> Strength:
        strength = self.g(t)
        valid = (
            bool(((strength >= 0) & strength.isfinite()).all())
            if isinstance(strength, Tensor)
            else 0 <= strength < math.inf
        )
        if not valid:
            remedy = "Stop before the time where it is singular, or let it vanish there."
            raise invalid(_WHO, "g must be finite and >= 0", f"{strength} at t = {t}", remedy)
        return strength

    def _scale(self, x: Tensor, halves: Tensor) -> Tensor:
        """The tolerance of each entry."""
        largest = torch.maximum(x.detach().abs(), halves.detach().abs())
        return self.solver.atol + self.solver.rtol * largest

    def _keep(self, frame: _Frame, halves: Tensor, accept: Tensor, spent: int) -> None:
        """Store the states of the lanes that were accepted, and count."""
        rows, real = frame.rows[accept], frame.rows[frame.alive]
        self.x[rows] = halves[accept]
        self.t[rows] = frame.end
        self.nfe[real] += spent
        self.accepted[rows] += 1
        self.rejected[frame.rows[frame.alive & ~accept]] += 1

    def _give_up(self, frame: _Frame, refused: Tensor, err: Tensor) -> None:
        """Set the status of samples that cannot halve their step again."""
        if 0.25 * abs(frame.end - frame.start) < self._least_step(frame.start, frame.end):
            codes = torch.where(err.isfinite(), int(Status.STEP_UNDERFLOW), int(Status.NONFINITE))
            self.status[frame.rows[refused]] = codes[refused]

    def _least_step(self, start: float, end: float) -> float:
        """The length below which the time, as the field sees it, stands still."""
        return 10 * torch.finfo(self.clock).eps * max(abs(start), abs(end)) + 1e-14 * self.span

    def result(self, path: Tensor | None) -> AdaptiveResult:
        """The results of all samples."""
        return AdaptiveResult(
            x=self.x,
            q=None,
            t=self.t,
            nfe=self.nfe,
            n_calls=self.calls,
            accepted=self.accepted,
            rejected=self.rejected,
            status=self.status,
            path=path,
        )


def _steepness(changes: _Changes, scale: Tensor) -> Tensor:
    """Change of the slope over change of the state, per lane."""
    dx, df = changes
    return rms(df, scale) / rms(dx, scale).clamp(min=torch.finfo(scale.dtype).tiny)


def _widened(rows: Tensor, x: Tensor) -> Tensor:
    return rows.reshape(-1, *[1] * (x.ndim - 1))
