"""Log-likelihood by the probability flow: integrate to the known end and accumulate the divergence.

``log rho1(x) = log rho0(X_0) - int_0^1 div b(X_t, t) dt`` along the flow that is at x at t = 1, and the mirror image
``log rho0(x) = log rho1(X_1) + int_0^1 div b dt``. With ``eps > 0`` the model is the SDE, whose density is another one
as soon as the fields are not exact: see ``likelihood.feynman_kac``.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2.4; Chen et al. (2018), arXiv:1806.07366.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.dynamics.course import SolverTicks, choose_method, run_grid
from interpolants.dynamics.noise import as_noise
from interpolants.dynamics.sample import check_call
from interpolants.dynamics.samplers import ADAPTIVE, OdeSampler, arrival_status, find_method
from interpolants.dynamics.solver_table import FittedSolver
from interpolants.dynamics.transitions import TRANSITIONS
from interpolants.fields.protocol import Fields
from interpolants.foundations.asked import asking
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import changed, one_of, whole
from interpolants.foundations.derivatives import MODES, exact_divergence, probed_divergence
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, NonNegative, OneOf, Positive, Remedy
from interpolants.foundations.randomness import BLOCK, BlockNoise
from interpolants.foundations.tell import SettingWarning, tell
from interpolants.foundations.types import Condition, take_rows
from interpolants.likelihood.feynman_kac import DIVERGENCES as PATH_DIVERGENCES
from interpolants.likelihood.feynman_kac import PROPOSALS, PathSettings, path_log_prob
from interpolants.likelihood.noise_level import stop_at
from interpolants.likelihood.result import (
    Density,
    LogProb,
    check_arrival,
    check_base,
    evaluate_base,
)
from interpolants.solvers.adaptive import integrate_adaptive
from interpolants.solvers.fixed import integrate_fixed
from interpolants.solvers.registry import available, get_solver
from interpolants.solvers.tableau import RungeKutta

DIVERGENCES = ("exact", "hutchinson")
Rate = Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, kw_only=True)
class Scoring(Checked):
    """How a density is worked out; the condition, the place and the seed of a call are no part of it.

    Raises:
        InvalidInputError: If a name is unknown. What depends on the fields and the states is checked by ``log_prob``.
    """

    eps: Any = 0.0
    """Noise level of the model, as in ``dynamics.sample``; 0 is the flow. ``paths``, ``proposal`` and ``cap_noise``
    matter for eps > 0 alone; ``rtol``, ``atol`` and ``max_steps`` for adaptive solvers."""
    end: Annotated[int, OneOf(lambda: (0, 1))] = 1
    """1 scores data under the model of rho1 (``base`` is rho0); 0 the other way round."""
    noise_level: NonNegative = 0.0
    """Score ``x`` as data with noise of this standard deviation (scale, if the base is Student-t), in data units: the
    flow is entered at the time when a one-sided path shows just that. Data near a thin set have no other sensible
    density."""
    divergence: Annotated[str, OneOf(lambda: PATH_DIVERGENCES)] = "exact"
    """``"exact"``, or ``"hutchinson"`` for random probes: unbiased for the flow and for the lower bound of an SDE,
    whose ``log_prob`` they raise by half the variance they bring. For an SDE also ``"none"``: no derivative of the
    field, the density of its Euler-Maruyama chain; the choice for many dimensions."""
    probes: Count = 1
    """Number of probes, tied to the sample's index; fixed along the trajectory of a flow, fresh at each node of an
    SDE."""
    mode: Annotated[str, OneOf(lambda: MODES)] = "auto"
    """How the exact divergence of a flow is taken, ``"reverse"``, ``"forward"``, or ``"auto"``: in closed form where
    the fields have one, or whichever of the two is cheaper. The value is the same."""
    paths: Annotated[int, Ge(2), Remedy("Two give a first error estimate.")] = 32
    """Random paths per point."""
    proposal: Annotated[str, OneOf(lambda: PROPOSALS)] = "reverse"
    """``"reverse"`` runs them with the drift of the other direction's model, which leaves little or no spread where the
    fields are good; ``"model"`` is the plain Feynman-Kac formula, for comparison."""
    method: str | None = None
    """Solver by name; ``"dopri5"`` when None, or ``"heun"`` for an SDE. The adaptive ones control the error of the
    log-likelihood too."""
    n_steps: Count = 100
    """Number of fixed steps."""
    time_grid: Any = "auto"
    """As in ``dynamics.sample``. A bridge that is known from t0 to t1 only, such as a diffusion learnt up to a little
    noise, is scored with ``(t0, t1)``, or ``dynamics.time_grid(n, start=t0, stop=t1)`` for fixed steps."""
    cap_noise: bool = True
    """As in ``dynamics.sample``."""
    rtol: NonNegative = 1e-5
    """Relative tolerance per sample of an adaptive solver."""
    atol: Positive = 1e-5
    """Absolute tolerance per sample, in data units and nats."""
    max_steps: Count = 10_000
    """Most steps per sample of an adaptive solver."""
    chunk: Count | None = None
    """Rows at once; chosen for the machine's cache when None."""
    invariant: bool = True
    """Make sample i independent of its batch (up to the rounding of derivatives)."""
    on_failure: Annotated[str, OneOf(lambda: ("raise", "keep"))] = "raise"
    """``"raise"`` or ``"keep"``."""
    differentiable: bool = False
    """Keep the graph, for training by likelihood; fixed-step solvers only."""

    def of_paths(self, seed: int) -> PathSettings:
        """What the weighted paths of an SDE take of it."""
        return PathSettings(self.paths, self.proposal, self.divergence, self.probes, self.mode, seed)


AS_USUAL = Scoring()


def log_prob(
    fields: Fields,
    x: Tensor,
    base: Density,
    how: Scoring = AS_USUAL,
    *,
    cond: Condition = None,
    seed: int = 0,
    first_index: int = 0,
    **changes: Any,
) -> LogProb:
    """Log density of the model at ``x``.

    Args:
        fields: Velocity of the bridge.
        x: Points ``(B, *D)`` at the end ``end``.
        base: The distribution at the other end, with ``log_prob``.
        how: The way; see :class:`Scoring`.
        cond: Condition, one row per sample.
        seed: Seed of the probes and of the paths' noise.
        first_index: Index of the first row in the whole job.
        changes: Settings of :class:`Scoring` that differ from ``how``.

    Returns:
        The log densities; for eps > 0 an :class:`SdeLogProb`, with Jensen's lower bound, an interval and the effective
        number of paths.

    Raises:
        InvalidInputError: If an argument breaks its rule, or ``base`` has no density.
        DivergedError: If a sample left the finite numbers or missed its tolerance.
    """
    how = changed("log_prob", how, changes)
    check_call("log_prob", x, cond, first_index, how.chunk, how.on_failure)
    check_base(base, "log_prob")
    _warn_of_guidance("log_prob", fields, cond)
    if how.noise_level and how.end == 0:
        raise invalid("log_prob", "noise_level belongs to the data, end=1", "end=0", "Leave it at 0.")
    if how.noise_level and not isinstance(how.time_grid, str):
        rule = "noise_level says where the flow begins, and so do times of your own"
        raise invalid("log_prob", rule, how.noise_level, "Name a spacing, e.g. time_grid='uniform'.")
    stop = stop_at(fields.path, how.noise_level)
    noise = as_noise(how.eps)
    if noise is not None and how.noise_level:
        raise invalid("log_prob", "noise_level needs the flow, eps=0", how.eps, "Leave one of the two at 0.")
    if noise is not None:
        if how.differentiable:
            remedy = "Train by the quadratic losses instead."
            raise invalid("log_prob", "differentiable needs eps=0", how.eps, remedy)
        return path_log_prob(
            fields,
            x,
            base,
            how.of_paths(whole("log_prob", "seed", seed)),
            eps=noise,
            end=how.end,
            cond=cond,
            method=how.method,
            n_steps=how.n_steps,
            time_grid=how.time_grid,
            first_index=first_index,
            chunk=how.chunk,
            invariant=how.invariant,
            cap_noise=how.cap_noise,
            on_failure=how.on_failure,
        )
    travel = _Travel(fields, stop.beta * x, how, reverse=how.end == 1, stop=stop.t)
    arrived, volume, error, nfe, status = travel.go(cond, first_index, whole("log_prob", "seed", seed))
    check_arrival("log_prob", status, how.on_failure, travel.method)
    volume = volume + x[0].numel() * math.log(stop.beta)
    value = evaluate_base(base, arrived) + volume
    return LogProb(value, error, arrived, nfe, status, noise_level=how.noise_level)


def sample_with_log_prob(
    fields: Fields,
    x0: Tensor,
    base: Density,
    *,
    cond: Condition = None,
    divergence: str = "exact",
    probes: int = 1,
    mode: str = "auto",
    method: str = "dopri5",
    n_steps: int = 100,
    time_grid: Any = "auto",
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 10_000,
    seed: int = 0,
    first_index: int = 0,
    chunk: int | None = None,
    on_failure: str = "raise",
    differentiable: bool = False,
) -> LogProb:
    """Samples of rho1 by the flow from ``x0`` at t = 0, and the model's log density at each, in one pass.

    Arguments as in :func:`log_prob`; ``base`` is the distribution that ``x0`` was drawn from.

    Returns:
        ``x`` the samples at t = 1 and ``log_prob`` their log density.
    """
    who = "sample_with_log_prob"
    check_call(who, x0, cond, first_index, chunk, on_failure)
    check_base(base, who)
    _warn_of_guidance(who, fields, cond)
    with asking(who):
        how = Scoring(
            divergence=divergence,
            probes=probes,
            mode=mode,
            method=method,
            n_steps=n_steps,
            time_grid=time_grid,
            rtol=rtol,
            atol=atol,
            max_steps=max_steps,
            chunk=chunk,
            on_failure=on_failure,
            differentiable=differentiable,
        )
    travel = _Travel(fields, x0, how, reverse=False)
    arrived, volume, error, nfe, status = travel.go(cond, first_index, whole(who, "seed", seed))
    check_arrival(who, status, on_failure, method)
    return LogProb(evaluate_base(base, x0) - volume, error, arrived, nfe, status)


def _warn_of_guidance(caller: str, fields: Fields, cond: Condition) -> None:
    """Warn where a reader may take the density for that of another distribution."""
    if caveat := fields.density_caveat(cond):
        tell(SettingWarning, f"{caller}: {caveat}.")


def flow_solver(method: str | FittedSolver | None) -> str:
    """The solver of a flow with its volume change: the one that was asked for, or the default.

    Raises:
        InvalidInputError: If it is unknown, needs noise, or has no quadrature.
    """
    name = "dopri5" if method is None else method
    if name in (*TRANSITIONS, *available("multistep")) or isinstance(name, FittedSolver):
        remedy = "E.g. 'dopri5'; for the density of an SDE's model pass eps > 0."
        raise invalid("log_prob", "method must be an ODE solver with a quadrature", repr(name), remedy)
    return find_method(name, noisy=False)


def _near_the_ends(fields: Fields, x: Tensor, method: str, rtol: float) -> Fields:
    """Fields that do not limit the tolerance: clipping at the ends costs some ten times the margin in nats."""
    return fields.closer(max(rtol / 10, 10 * torch.finfo(x.dtype).eps)) if method in ADAPTIVE else fields


class _Travelled(NamedTuple):
    """Arrival points, volume changes, their standard errors, evaluations, status."""

    x: Tensor
    volume: Tensor
    error: Tensor
    nfe: int | Tensor
    status: Tensor


class _Travel:
    """The flow from one end to the other with its volume change ``int div b dt`` in the direction of travel."""

    def __init__(self, fields: Fields, x: Tensor, how: Scoring, *, reverse: bool, stop: float = 1.0) -> None:
        self.how, self.method = how, flow_solver(how.method)
        self.fields, self.x = _near_the_ends(fields, x, self.method, how.rtol), x
        one_of("log_prob", "divergence", how.divergence, DIVERGENCES)
        self.probes = how.probes if how.divergence == "hutchinson" else 0
        name = choose_method(self.fields, x, self.method, noisy=False)
        known: dict[str, Any] = {"stop": stop, "reverse": reverse, "noisy": False}
        self.grid = run_grid(self.fields, how.n_steps, how.time_grid, **known)
        self.adaptive = name in ADAPTIVE
        ticks = [] if self.adaptive else SolverTicks(name, self.grid, x)
        self.sampler = OdeSampler(fields=self.fields, grid=self.grid, method=name, ticks=ticks)
        solver = get_solver(name)
        assert isinstance(solver, RungeKutta)
        if how.differentiable and self.adaptive:
            rule = "differentiable needs a fixed-step method"
            raise invalid("log_prob", rule, self.method, "E.g. method='midpoint'.")
        self.solver = solver

    def go(self, cond: Condition, first_index: int, seed: int) -> "_Travelled":
        """The arrival of all points."""
        with torch.set_grad_enabled(self.how.differentiable):
            chunks = self.sampler.chunks(
                self.x,
                cond,
                chunk=self.how.chunk,
                first_index=first_index,
                invariant=self.how.invariant,
                own_times=self.adaptive,
            )
            return chunks.map(lambda part: self._chunk(part.x, part.cond, part.first, seed))

    def _chunk(self, x: Tensor, cond: Condition, first: int, seed: int) -> "_Travelled":
        signs = self._signs(x, first, seed)
        if self.adaptive:
            return self._adaptive(x, cond, signs)
        rate = self._rate(cond, signs)
        done = integrate_fixed(rate, x, self.grid, self.solver, quadrature=True)
        assert done.q is not None
        volume, error = _mean_and_error(done.q)
        return _Travelled(done.x, volume, error, done.nfe, arrival_status(done.x, volume))

    def _adaptive(self, x: Tensor, cond: Condition, signs: list[Tensor]) -> "_Travelled":
        # One run per probe: each has its own step control, so that its own volume meets the tolerance.
        runs = []
        for probe in [[sign] for sign in signs] or [[]]:
            lanes: list[Tensor] = []

            def rate(
                state: Tensor, t: Tensor, want: bool, lanes: list[Tensor] = lanes, probe: list[Tensor] = probe
            ) -> tuple[Tensor, Tensor | None]:
                picked = [sign[lanes[0]] for sign in probe]
                value, slope = self._rate(take_rows(cond, lanes[0]), picked)(state, t, want)
                return value, None if slope is None else (slope.mean(1) if slope.ndim == 2 else slope)

            def note(row: Tensor, lanes: list[Tensor] = lanes) -> None:
                lanes[:] = [row]

            start, stop = float(self.grid[0]), float(self.grid[-1])
            runs.append(
                integrate_adaptive(
                    rate,
                    x,
                    start,
                    stop,
                    self.solver,
                    rtol=self.how.rtol,
                    atol=self.how.atol,
                    max_steps=self.how.max_steps,
                    pad=min(len(x), BLOCK),
                    quadrature=True,
                    on_lanes=note,
                )
            )
        volumes = torch.stack([run.q for run in runs if run.q is not None], 1)
        volume, error = _mean_and_error(volumes if signs else volumes[:, 0])
        nfe = torch.stack([run.nfe for run in runs]).sum(0)
        status = torch.stack([run.status for run in runs]).amax(0)
        return _Travelled(runs[0].x, volume, error, nfe, status)

    def _rate(self, cond: Condition, signs: list[Tensor]) -> Rate:
        velocity = self.sampler.field(cond)
        closed = self.fields.divergence_of(cond) if self.how.mode == "auto" and not signs else None

        def rate(x: Tensor, t: Tensor, want: bool) -> tuple[Tensor, Tensor | None]:
            if not want:
                return velocity(x, t), None
            if signs:
                return probed_divergence(lambda y: velocity(y, t), x, signs)
            if closed is not None:
                return closed(x, t)
            return exact_divergence(lambda y: velocity(y, t), x, mode=self.how.mode)

        return rate

    def _signs(self, x: Tensor, first: int, seed: int) -> list[Tensor]:
        if not self.probes:
            return []
        noise = BlockNoise.like(x, seed, "density probe", first=first)
        return [noise.rademacher() for _ in range(self.probes)]


def _mean_and_error(volume: Tensor) -> tuple[Tensor, Tensor]:
    if volume.ndim == 1:
        return volume, torch.zeros_like(volume)
    k = volume.shape[1]
    if k == 1:
        return volume[:, 0], torch.full_like(volume[:, 0], math.nan)
    return volume.mean(1), volume.detach().std(1) / math.sqrt(k)
