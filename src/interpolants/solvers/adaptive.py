"""Adaptive integration with error control per sample.

Each sample has its own time, step, controller and verdict, so its result and its accuracy do not depend on
the samples beside it. Samples that are done leave the batch.

Letters: a *lane* is a row of the working batch. Their number is a multiple of ``pad``: spare ones repeat the
first sample that is on its way (batches of other sizes round differently, see ``foundations.invariance``). Samples
keep their lanes until a smaller number will do; in a batch of ``pad`` lanes they never move. ``k`` slopes, ``r`` rates,
``err`` error in units of the tolerance, ``h`` proposed step >= 0.

Everything per lane is either elementwise with exactly rounded operations or a reduction within the lane;
the step factor goes through ``exp`` and ``log`` and is then rounded to 20 bits, so that a last-bit difference
between vector and scalar code cannot grow into another step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Literal, overload

import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.brownian import check_grid
from interpolants.foundations.checks import number, positive, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.invariance import SMALLEST
from interpolants.foundations.ops import expand_like, time_dtype
from interpolants.foundations.row_times import RowTimes
from interpolants.solvers.fixed import Velocity, VelocityAndRate, check_state, check_velocity
from interpolants.solvers.lanes import Lanes, Weights, clipped, combined, rms, root, rounded
from interpolants.solvers.tableau import RungeKutta, Tableau

_SAFETY, _SHRINK, _GROW, _BETA = 0.9, 0.2, 10.0, 0.04
_FLOOR = math.log(1e-4)  # the controller remembers no error below this


class Status(IntEnum):
    """Status of a sample's integration."""

    OK = 0
    MAX_STEPS = 1
    NONFINITE = 2
    STEP_UNDERFLOW = 3


@dataclass(frozen=True)
class AdaptiveResult:
    """Result of an adaptive integration; every field but ``n_calls`` has one entry per sample.

    Attributes:
        x: State at ``t``, ``(B, *D)``: at ``t1`` where ``status`` is ``Status.OK``, else the last good one.
        q: Integral of the rate up to ``t``, ``(B,)``; ``None`` without ``quadrature``.
        t: Time reached, ``(B,)``, float64.
        nfe: Evaluations of ``f`` spent on the sample, rejected steps and the choice of the first included.
        n_calls: Calls of ``f``, i.e. the largest ``nfe``.
        accepted: Steps accepted, ``(B,)``.
        rejected: Steps rejected, ``(B,)``.
        status: ``Status`` codes, ``(B,)``.
        path: States at ``times``, ``(len(times), B, *D)``, NaN where not reached; ``None`` without ``times``.
    """

    x: Tensor
    q: Tensor | None
    t: Tensor
    nfe: Tensor
    n_calls: int
    accepted: Tensor
    rejected: Tensor
    status: Tensor
    path: Tensor | None


@overload
def integrate_adaptive(
    f: Velocity,
    x: Tensor,
    t0: float,
    t1: float,
    solver: RungeKutta,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 10_000,
    quadrature: Literal[False] = False,
    pad: int = SMALLEST,
    times: npt.ArrayLike | None = None,
    first_step: float | None = None,
    on_lanes: Callable[[Tensor], None] | None = None,
) -> AdaptiveResult: ...


@overload
def integrate_adaptive(
    f: VelocityAndRate,
    x: Tensor,
    t0: float,
    t1: float,
    solver: RungeKutta,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 10_000,
    quadrature: Literal[True],
    pad: int = SMALLEST,
    times: npt.ArrayLike | None = None,
    first_step: float | None = None,
    on_lanes: Callable[[Tensor], None] | None = None,
) -> AdaptiveResult: ...


def integrate_adaptive(
    f: Callable[..., Any],
    x: Tensor,
    t0: float,
    t1: float,
    solver: RungeKutta,
    *,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 10_000,
    quadrature: bool = False,
    pad: int = SMALLEST,
    times: npt.ArrayLike | None = None,
    first_step: float | None = None,
    on_lanes: Callable[[Tensor], None] | None = None,
) -> AdaptiveResult:
    """Integrate ``dx/dt = f(x, t)`` from ``t0`` to ``t1``, choosing every sample's steps by its own error.

    A step is accepted if the root mean square over the sample's entries of
    ``error / (atol + rtol max(|x|, |x_new|))`` is at most 1, and likewise the error of ``q``, which is judged
    apart so that a large state does not hide it. The next step follows from a PI controller. Steps end
    exactly at ``t1`` and at ``times``: nothing is interpolated and ``f`` is never evaluated outside.

    Args:
        f: Velocity ``(n, *D)`` at ``n`` states ``(n, *D)`` and their times ``(n,)``; ``n`` varies.
            With ``quadrature`` it takes ``want`` and returns a rate too, as in ``integrate_fixed``.
        x: Start, ``(B, *D)``; not modified.
        t0: Start time.
        t1: End time; may lie below ``t0``.
        solver: A solver with an error estimate (``Dopri5``, ``Tsit5``).
        rtol: Tolerance relative to the size of each entry.
        atol: Absolute tolerance, in data units (nats for ``q``).
        max_steps: Most steps of a sample, accepted and rejected together.
        quadrature: Integrate a rate along the path.
        pad: ``f`` is called with a multiple of this many rows.
        times: Times to report, monotone from ``t0`` towards ``t1``.
        first_step: Length of the first step; by default chosen per sample at the price of one evaluation.
        on_lanes: Told, before each call of ``f``, which sample each row belongs to, ``(n,)``: a field that depends
            on more than state and time (a condition per sample) can then pick its rows.

    Returns:
        States, integrals, counts and a status per sample. A sample that fails does not raise: see ``status``.

    Raises:
        InvalidInputError: If an argument breaks its rule, or ``f`` returns another shape than it was given.

    Source: Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, sections II.4 (error, first
    step) and IV.2 of volume II (PI controller). Error control per sample: cf. Lienen & Gunnemann (2022),
    arXiv:2210.12375.
    """
    check_state("integrate_adaptive", x)
    _check_settings(solver, rtol, atol, max_steps, pad, first_step)
    ends = check_grid("integrate_adaptive", [t0, t1]).tolist()
    plan = _plan(ends, times)
    limits = _Limits(rtol=rtol, atol=atol, max_steps=max_steps, pad=pad)
    run = _Run(f if quadrature else _without_rate(f), x, plan, solver.tableau, limits, quadrature, on_lanes)
    run.start(first_step)
    while run.n:
        run.advance()
    return run.result()


def _without_rate(f: Velocity) -> VelocityAndRate:
    checked = RowTimes("integrate_adaptive", f)

    def rate(x: Tensor, t: Tensor, want: bool) -> tuple[Tensor, None]:
        # With as many rows as columns a product x * t has the right shape and is wrong.
        return (checked if x.shape[0] in x.shape[1:] else f)(x, t), None

    return rate


def _check_settings(
    solver: RungeKutta, rtol: float, atol: float, max_steps: int, pad: int, first_step: float | None
) -> None:
    who = "integrate_adaptive"
    if not (solver.adaptive and solver.tableau.fsal):
        raise invalid(who, "solver must have an error estimate", solver.name, "Use 'dopri5' or 'tsit5'.")
    number(who, "rtol", rtol, at_least=0, remedy="Try 1e-5.")
    positive(who, "atol", atol, remedy="Try 1e-5.")
    whole(who, "max_steps", max_steps, at_least=1)
    whole(who, "pad", pad, at_least=1)
    if first_step is not None:
        positive(who, "first_step", first_step, remedy="It is a length, without a sign.")


@dataclass(frozen=True)
class _Plan:
    """Times at which steps must end (the last is ``t1``), and the row of the path that each fills (-1: none)."""

    start: float
    goals: list[float]
    slots: list[int]
    reported: int | None

    @property
    def sign(self) -> float:
        return math.copysign(1.0, self.goals[-1] - self.start)


def _plan(ends: list[float], times: npt.ArrayLike | None) -> _Plan:
    start, end = ends
    if times is None:
        return _Plan(start, [end], [-1], None)
    report = torch.as_tensor(times, dtype=torch.float64).reshape(-1).tolist()
    sign = math.copysign(1.0, end - start)
    inside = all((value - start) * sign >= 0 and (end - value) * sign >= 0 for value in report)
    ordered = all((after - before) * sign > 0 for before, after in pairwise(report))
    if not (report and inside and ordered):
        rule = f"times must run from t0 = {start} towards t1 = {end}"
        raise invalid("integrate_adaptive", rule, str(report), "Sort them in the direction of travel.")
    first = 1 if report[0] == start else 0
    goals, slots = report[first:], list(range(first, len(report)))
    if not (goals and goals[-1] == end):
        goals, slots = [*goals, end], [*slots, -1]
    return _Plan(start, goals, slots, len(report))


@dataclass(frozen=True)
class _Limits:
    rtol: float
    atol: float
    max_steps: int
    pad: int


class _Run:
    """One integration: the lanes that are still on their way, and the results of all samples."""

    def __init__(
        self,
        f: VelocityAndRate,
        x: Tensor,
        plan: _Plan,
        tableau: Tableau,
        limits: _Limits,
        quadrature: bool,
        on_lanes: Callable[[Tensor], None] | None = None,
    ) -> None:
        self.on_lanes = on_lanes
        self.f, self.plan, self.tableau, self.limits, self.quadrature = f, plan, tableau, limits, quadrature
        self.clock = time_dtype(x)
        self.weights = Weights(tableau, x.device)
        self.goals = torch.tensor(plan.goals, dtype=torch.float64, device=x.device)
        self.slots = torch.tensor(plan.slots, device=x.device)
        self.span = abs(plan.goals[-1] - plan.start)
        n, self.calls = x.shape[0], 0
        whole, real = x.new_zeros(n, dtype=torch.long), x.new_zeros(n, dtype=torch.float64)
        rate = x.new_zeros(n, dtype=self.clock)
        row = torch.arange(n, device=x.device)
        t = real + plan.start
        cautious = torch.zeros_like(whole, dtype=torch.bool)
        lanes = Lanes(
            row, x, rate, t, real, x, rate, real + _FLOOR, cautious, whole, whole.clone(), whole.clone()
        )
        self.done = lanes.take(row)  # the results, filled as samples leave
        self.status = torch.zeros_like(whole)
        self.path = None
        if plan.reported is not None:
            self.path = x.new_full((plan.reported, *x.shape), math.nan)
            if plan.slots[0] == 1:
                self.path[0] = x
        self.lanes = lanes
        self._keep(torch.ones_like(row, dtype=torch.bool))

    def _keep(self, staying: Tensor) -> None:
        """Keep the lanes that are on their way; the first of them is repeated in spare ones."""
        keep = staying.nonzero().squeeze(1)
        self.n = keep.shape[0]
        size = -(-self.n // self.limits.pad) * self.limits.pad
        if size == staying.shape[0]:  # nobody moves
            place = torch.where(staying, torch.arange(size, device=keep.device), keep[:1])
        else:
            place = torch.cat([keep, keep[:1].expand(size - self.n)])
            staying = torch.arange(size, device=keep.device) < self.n
        self.lanes, self.alive = self.lanes.take(place), staying

    def _evaluate(self, x: Tensor, t: Tensor, want: bool) -> tuple[Tensor, Tensor | None]:
        self.calls += 1
        if self.on_lanes is not None:
            self.on_lanes(self.lanes.row)
        slope, rate = self.f(x, t, want and self.quadrature)
        check_velocity("integrate_adaptive", slope, x)
        return slope.to(x.dtype), None if rate is None else rate.to(self.clock)

    def start(self, first_step: float | None) -> None:
        """First slopes and first steps."""
        lanes = self.lanes
        lanes.k, rate = self._evaluate(lanes.x, lanes.t.to(self.clock), want=True)
        if rate is not None:
            lanes.r = rate
        h = self._first_step() if first_step is None else lanes.h + first_step
        # A slope that is not finite gives no step: try the least one and let the controller find out.
        lanes.h = torch.where(h.isfinite(), h, self._least_step(lanes.t)).clamp(max=self.span)

    def _first_step(self) -> Tensor:
        """Hairer's guess: a step over which an explicit Euler step changes the state by about 1 %."""
        lanes, order = self.lanes, self.tableau.order
        scale = self.limits.atol + self.limits.rtol * lanes.x.abs()
        size, slope = rms(lanes.x, scale), rms(lanes.k, scale)
        small = (size < 1e-5) | (slope < 1e-5)
        h0 = torch.where(small, 1e-6, 0.01 * size / slope).clamp(max=self.span)
        signed = self.plan.sign * h0
        probe = torch.addcmul(lanes.x, lanes.k, expand_like(signed.to(scale.dtype), lanes.x))
        k, _ = self._evaluate(probe, (lanes.t + signed).to(self.clock), want=False)
        steepest = torch.maximum(slope, rms(k - lanes.k, scale) / h0)
        h1 = torch.where(steepest <= 1e-15, (1e-3 * h0).clamp(min=1e-6), root(0.01 / steepest, order))
        return rounded(torch.minimum(100 * h0, h1))

    def advance(self) -> None:
        """Try one step in every lane, and let those leave that arrived or failed."""
        lanes = self.lanes
        target = self.goals[lanes.goal]
        step, hits = clipped(lanes.h, (target - lanes.t) * self.plan.sign)
        t = torch.where(hits, target, lanes.t + self.plan.sign * step)
        x, q, k, r, err = self._attempt(step, t)
        accept = err <= 1
        h, log_err = self._next_step(step, err, accept)
        # A step cut short by a goal says nothing against the longer one.
        lanes.h = torch.where(accept, torch.maximum(h, torch.where(step < lanes.h, lanes.h, h)), h)
        wide = expand_like(accept, x)
        lanes.x, lanes.k = torch.where(wide, x, lanes.x), torch.where(wide, k, lanes.k)
        lanes.q, lanes.r = torch.where(accept, q, lanes.q), torch.where(accept, r, lanes.r)
        lanes.t = torch.where(accept, t, lanes.t)
        lanes.log_err = torch.where(accept, log_err.clamp(min=_FLOOR), lanes.log_err)
        lanes.cautious = ~accept
        lanes.accepted, lanes.rejected = lanes.accepted + accept, lanes.rejected + ~accept
        self._reach(accept & hits)
        self._leave(err)

    def _attempt(self, step: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """State, integral, slope and rate at the end of a step from every lane, and the error."""
        lanes = self.lanes
        signed = self.plan.sign * step
        real = torch.empty(0, dtype=lanes.x.dtype).abs().dtype
        products = self.weights.times_step(signed, real)
        clock = (lanes.t + self.weights.c * signed).to(self.clock).unbind()
        end = t.to(self.clock)
        slopes, rates = [lanes.k], [lanes.r if self.quadrature else None]
        x = lanes.x
        for stage in range(1, self.tableau.stages):
            x = combined(lanes.x, slopes, products[stage])
            at = end if self.tableau.c[stage] == 1.0 else clock[stage]
            k, r = self._evaluate(x, at, self.weights.wanted[stage])
            slopes.append(k)
            rates.append(r)
        # The last stage stands at the end of the step: its state is the new state.
        err = self._error(x, combined(None, slopes, products[-1]))
        if not self.quadrature:
            return x, lanes.q, slopes[-1], lanes.r, err
        exact = self.weights.times_step(signed, self.clock)
        q = combined(lanes.q, rates, exact[-2])
        off = combined(None, rates, exact[-1]).abs()
        off = off / (self.limits.atol + self.limits.rtol * torch.maximum(lanes.q.abs(), q.abs()))
        err = torch.maximum(err, torch.where(off.isfinite(), off.detach().double(), math.inf))
        return x, q, slopes[-1], rates[-1], err  # type: ignore[return-value]  # the last rate was wanted

    def _error(self, x: Tensor, error: Tensor) -> Tensor:
        """Error in units of the tolerance, infinite if anything is not finite."""
        x, error, old = x.detach(), error.detach(), self.lanes.x.detach()
        scale = self.limits.atol + self.limits.rtol * torch.maximum(old.abs(), x.abs())
        err = rms(error, scale)
        # An infinite state makes its own scale infinite, and so its error zero.
        finite = err.isfinite() & x.isfinite().reshape(x.shape[0], -1).all(1)
        return torch.where(finite, err, math.inf)

    def _next_step(self, step: Tensor, err: Tensor, accept: Tensor) -> tuple[Tensor, Tensor]:
        """PI control after an accepted step, plain control after a rejected one."""
        order = self.tableau.order
        log_err = err.clamp(min=1e-10).log()
        steady = torch.exp(_BETA * self.lanes.log_err - (1 / order - 0.75 * _BETA) * log_err)
        limit = torch.where(self.lanes.cautious, 1.0, _GROW)
        grown = torch.minimum(_SAFETY * steady, limit)
        shrunk = (_SAFETY * torch.exp(-log_err / order)).clamp(max=1.0)
        factor = torch.where(accept, grown, shrunk).clamp(min=_SHRINK)
        return step * rounded(factor), log_err

    def _reach(self, arrived: Tensor) -> None:
        """Report the state of lanes that stand at a goal, and give them the next."""
        lanes = self.lanes
        if self.path is not None:
            slot = self.slots[lanes.goal]
            here = (arrived & (slot >= 0) & self.alive).nonzero().squeeze(1)
            self.path[slot[here], lanes.row[here]] = lanes.x[here]
        lanes.goal = lanes.goal + arrived

    def _leave(self, err: Tensor) -> None:
        """Store the samples that arrived or failed, and close the ranks."""
        lanes = self.lanes
        arrived = lanes.goal == len(self.plan.goals)
        stuck = ~arrived & (lanes.h < self._least_step(lanes.t))
        spent = ~arrived & (lanes.accepted + lanes.rejected >= self.limits.max_steps)
        gone = (arrived | stuck | spent) & self.alive
        if not bool(gone.any()):
            return
        leaving = gone.nonzero().squeeze(1)
        code = torch.where(spent, int(Status.MAX_STEPS), int(Status.OK))
        reason = torch.where(err.isfinite(), int(Status.STEP_UNDERFLOW), int(Status.NONFINITE))
        code = torch.where(stuck, reason, code)
        rows = lanes.row[leaving]
        for name in ("x", "q", "t", "accepted", "rejected"):
            getattr(self.done, name)[rows] = getattr(lanes, name)[leaving]
        self.status[rows] = code[leaving]
        self._keep(self.alive & ~gone)

    def _least_step(self, t: Tensor) -> Tensor:
        """The step below which the time, as the field sees it, stands still."""
        return 10 * torch.finfo(self.clock).eps * t.abs() + 1e-14 * self.span

    def result(self) -> AdaptiveResult:
        """The results of all samples; call it when no lane is left."""
        done = self.done
        steps = done.accepted + done.rejected
        per_step = self.tableau.stages - 1
        most = int(steps.max()) if steps.numel() else 0
        return AdaptiveResult(
            x=done.x,
            q=done.q if self.quadrature else None,
            t=done.t,
            nfe=steps * per_step + (self.calls - most * per_step),
            n_calls=self.calls,
            accepted=done.accepted,
            rejected=done.rejected,
            status=self.status,
            path=self.path,
        )
