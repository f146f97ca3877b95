"""Log-likelihood of an SDE model by random paths from the point to the end whose density is known.

Letters: b velocity, s score, ``b_F = b + eps s`` and ``b_B = b - eps s`` the drifts of the two models; Y a path, l its
log weight. The density of the forward model at x, t = 1, is the mean of ``exp(l) rho0(Y_0)`` over paths from x down to
t = 0, in either of two ways:

* ``proposal="model"`` (Feynman-Kac): Y has drift b_F and ``l = -int div b_F dt``;
* ``proposal="reverse"``: Y has drift b_B, and by Girsanov's theorem, written with a Stratonovich integral along the
  path as it runs, ``l = int (div b + s . b) dt - int s o dY``. Where s is the model's score this drift is its time
  reversal, and ``exp(l) rho0(Y_0)`` is the density itself on every path: the spread of l shows the fields' errors.

The backward model at t = 0 is the mirror image: paths run up, b_F and b_B change places. With ``divergence="none"`` the
second way uses no derivative: the model is taken to be its Euler-Maruyama chain, and l is the log ratio of the
transition densities of chain and proposal, step by step. That mean is exact for the chain.

Where the score follows from a learnt noise or velocity it is an error divided by sigma, the coefficient of the noise,
and a trapezoid's node at an end where sigma vanishes would weigh that error without bound. The noise is capped to
nearly nothing there anyway (``dynamics.noise``): the step at such an end is taken along the flow, which needs no score,
by midpoints, which leave the end out.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2.4, for the first way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.dynamics.course import Course, choose_method, run_grid
from interpolants.dynamics.noise import NoiseLevel, as_noise
from interpolants.dynamics.samplers import ADAPTIVE, SdeSampler, arrival_status
from interpolants.fields.protocol import Fields
from interpolants.foundations.chunks import join
from interpolants.foundations.derivatives import exact_divergence, probed_divergence
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import sum_event
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.types import Condition, take_rows
from interpolants.likelihood.path_weights import summarise
from interpolants.likelihood.result import (
    Density,
    SdeLogProb,
    check_arrival,
    evaluate_base,
)
from interpolants.solvers.fixed import Velocity, stage_clock
from interpolants.solvers.weighted import Node, Step, integrate_weighted, kernel_log_ratio

DIVERGENCES = ("exact", "hutchinson", "none")
PROPOSALS = ("reverse", "model")
# States of all paths that are alive at once.
_MOST_NUMBERS = 1 << 23
# Midpoint steps along the flow in place of one step at a singular end; and how much larger than at the next node an
# error of what was learnt must become there.
_FLOW_STEPS, _SINGULAR = 4, 1.9


@dataclass(frozen=True)
class PathSettings:
    """Settings of the weighted paths, as in ``log_prob``."""

    paths: int
    proposal: str
    divergence: str
    probes: int
    mode: str
    seed: int

    def check(self, who: str) -> None:
        """Refuse what no estimate can be made with."""
        if self.divergence == "none" and self.proposal != "reverse":
            remedy = "The plain Feynman-Kac weight is an integral of the divergence."
            raise invalid(who, "divergence='none' needs proposal='reverse'", repr(self.proposal), remedy)


def path_log_prob(
    fields: Fields,
    x: Tensor,
    base: Density,
    settings: PathSettings,
    *,
    eps: Any,
    end: int,
    cond: Condition,
    method: str | None,
    n_steps: int,
    time_grid: Any,
    first_index: int,
    chunk: int | None,
    invariant: bool,
    cap_noise: bool,
    on_failure: str,
) -> SdeLogProb:
    """Log density of the SDE model at ``x``; arguments as in ``log_prob``, checked there."""
    settings.check("log_prob")
    sampler = _sampler(fields, x, as_noise(eps), end, method, n_steps, time_grid, settings, cap_noise)
    walk, k = _Walk(sampler, settings), settings.paths
    points = max(1, _MOST_NUMBERS // (k * x[0].numel()))

    def some(begin: int) -> _Walked:
        """All paths of some of the points."""
        every = torch.arange(len(x), device=x.device)[begin : begin + points].repeat_interleave(k)
        chunks = sampler.chunks(
            x[every],
            take_rows(cond, every),
            chunk=chunk,
            first_index=(first_index + begin) * k,
            invariant=invariant,
        )
        done = chunks.map(lambda part: walk.go(part.x, part.cond, part.first))
        weights = (done.log_weights + evaluate_base(base, done.x)).reshape(-1, k)
        return _Walked(done.x[::k], weights, done.corrections.reshape(-1, k))

    with torch.no_grad():
        walked = join([some(begin) for begin in range(0, len(x), points)])
    found = summarise(walked.log_weights, walked.corrections)
    codes = arrival_status(walked.log_weights)
    check_arrival("log_prob", codes, on_failure, sampler.method)
    return SdeLogProb(
        log_prob=found.log_prob,
        error=found.error,
        x=walked.x,
        nfe=walk.nfe,
        status=codes,
        lower_bound=found.lower_bound,
        lower_bound_error=found.lower_bound_error,
        low=found.low,
        high=found.high,
        ess=found.ess,
        paths=k,
        eps=sampler.table.used(torch.from_numpy(sampler.grid.copy())),
    )


def _sampler(
    fields: Fields,
    x: Tensor,
    level: NoiseLevel | None,
    end: int,
    method: str | None,
    n_steps: int,
    time_grid: Any,
    settings: PathSettings,
    cap_noise: bool,
) -> SdeSampler:
    if fields.path is not None and fields.path.basis is not None:
        rule = "eps > 0 needs one noise level for all directions, and the path has a basis"
        raise invalid("log_prob", rule, type(fields.path).__name__, "Use eps=0: the ODE gives the density.")
    assert level is not None
    chain = settings.divergence == "none"
    asked = ("euler_maruyama" if chain else "heun") if method is None else method
    name = choose_method(fields, x, asked, noisy=True)
    if chain and name != "euler_maruyama":
        remedy = "Other schemes have no transition density in closed form."
        raise invalid("log_prob", "divergence='none' needs method='euler_maruyama'", repr(method), remedy)
    if name in ADAPTIVE:
        rule = "weights of paths need fixed steps"
        raise invalid("log_prob", rule, repr(name), "Use 'euler_maruyama' or 'stochastic_heun'.")
    grid = run_grid(fields, n_steps, time_grid, reverse=end == 1, noisy=True)
    return Course(fields=fields, grid=grid, method=name, seed=settings.seed).sde(level, x, cap=cap_noise)


class _Walked(NamedTuple):
    """Where paths arrived, their log weights, and what extrapolation in the step adds to these."""

    x: Tensor
    log_weights: Tensor
    corrections: Tensor


@dataclass
class _Node(Node):
    """The fields at a point of a path: ``drift`` of the proposal, and what the weight's rule asks for."""

    rate: Tensor | None = None
    score: Tensor | None = None
    model_drift: Tensor | None = None


class _Walk:
    """Paths of the proposal from a point to the other end, with their log weights."""

    def __init__(self, sampler: SdeSampler, settings: PathSettings) -> None:
        self.sampler, self.fields, self.settings = sampler, sampler.fields, settings
        self.grid, self.table, self.solver = sampler.grid, sampler.table, sampler.solver
        self.chain = settings.divergence == "none"
        # The forward model is b + eps s: the sign of eps s in the model's drift.
        self.sign = 1.0 if self.grid[0] > self.grid[-1] else -1.0
        self.strength: list[float] = self.table.strength(torch.from_numpy(self.grid.copy())).tolist()
        # Richardson: the trapezoidal rule is right in mean to O(h^2) over time, to O(h) over the path.
        self.gain = 1.0 if settings.proposal == "reverse" else 3.0
        self.quiet = (False, False) if self.chain else self._quiet_ends()
        if len(self.grid) - 1 <= sum(self.quiet):
            rule = f"n_steps must be > {sum(self.quiet)}: at ends without noise a step runs along the flow"
            raise invalid("log_prob", rule, len(self.grid) - 1, "Take more steps, or eps=0.")
        if self.chain:
            self._check_chain()
            # One strength per step, so that both kernels share it.
            middle = [(g0 + g1) / 2 for g0, g1 in pairwise(self.strength)]
            self.strength = [*middle, middle[-1]]

    @property
    def nfe(self) -> int:
        """Evaluations of the fields per path: one per node, and the solver's further stages."""
        quiet = sum(self.quiet)
        steps = len(self.grid) - 1 - quiet
        return steps * self.solver.nfe_per_step + 1 + 2 * _FLOW_STEPS * quiet

    def go(self, x: Tensor, cond: Condition, first: int) -> _Walked:
        """Carry paths from the points ``x (B, *D)``."""
        probes = None
        if self.settings.divergence == "hutchinson":
            probes = BlockNoise.like(x, self.settings.seed, "path weight probe", first=first)
        first_node, last_node = self.quiet[0], len(self.grid) - 1 - self.quiet[1]
        before = self._flow(x, self.grid[: first_node + 1], cond, probes)
        walked = self._noisy(before.x, slice(first_node, last_node + 1), cond, probes, first)
        after = self._flow(walked.x, self.grid[last_node:], cond, probes)
        total = before.log_weights + walked.log_weights + after.log_weights
        return _Walked(after.x, total, walked.corrections)

    def _noisy(
        self, x: Tensor, nodes: slice, cond: Condition, probes: BlockNoise | None, first: int
    ) -> _Walked:
        """Along the SDE, over some of the grid's nodes."""
        grid = self.grid[nodes]
        brownian = self.sampler.driving(x, first, self.solver.levy_area)
        increment = _kernel_ratio if self.chain else _Trapezoid(len(grid) - 1)
        done = integrate_weighted(
            lambda y, t: self._node(y, t, cond, probes),
            x,
            grid,
            self.solver,
            self.strength[nodes],
            islice(brownian, nodes.start, nodes.stop - 1),
            increment,
            stage=self._proposal(cond),
        )
        total = done.log_weights
        if isinstance(increment, _Trapezoid):
            return _Walked(done.node.x, total, (total - increment.coarse) / self.gain)
        return _Walked(done.node.x, total, torch.zeros_like(total))

    def _flow(
        self, x: Tensor, ends: npt.NDArray[np.float64], cond: Condition, probes: BlockNoise | None
    ) -> _Walked:
        """Along the flow from the first to the last of ``ends``: nothing moves where they are one."""
        velocity, total = self.fields.velocity_of(cond), x.new_zeros(len(x))
        times = np.linspace(ends[0], ends[-1], _FLOW_STEPS + 1) if len(ends) > 1 else ends
        for n, at in enumerate(stage_clock(times, (0.0, 0.5), x)[:-1]):
            dt = float(times[n + 1] - times[n])
            middle = x + 0.5 * dt * velocity(x, at[0])
            rate, divergence = self._divergence(partial(_at_time, velocity, at[1]), middle, probes)
            x, total = x + dt * rate, total + dt * divergence
        return _Walked(x, total, torch.zeros_like(total))

    def _quiet_ends(self) -> tuple[bool, bool]:
        """Whether velocity or score is an error divided by what vanishes at the first and at the last node."""
        times = torch.from_numpy(self.grid.copy())
        wanted = ["velocity"] if self.fields.bounded_quantity == "score" else ["velocity", "score"]
        sizes = [self.fields.error_factors(name, times) for name in wanted]
        first, last = (max(float(size[a] / size[b]) for size in sizes) for a, b in ((0, 1), (-1, -2)))
        return first > _SINGULAR, last > _SINGULAR

    def _node(self, x: Tensor, t: Tensor, cond: Condition, probes: BlockNoise | None) -> _Node:
        quantity = self.fields.bounded_quantity
        if self.chain:  # both drifts from one evaluation of the fields
            values = self.fields.evaluate(x, t, ("velocity", quantity), cond)
            shift = self._times_eps(values[quantity], t)
            velocity = values["velocity"]
            return _Node(x, velocity - self.sign * shift, model_drift=velocity + self.sign * shift)
        reverse = self.settings.proposal == "reverse"
        function = self.fields.velocity_of(cond) if reverse else self._proposal(cond)
        velocity, divergence = self._divergence(lambda y: function(y, t), x, probes)
        if not reverse:
            return _Node(x, velocity, divergence)
        values = self.fields.evaluate(x, t, ("score", quantity), cond)
        shift, score = self._times_eps(values[quantity], t), values["score"]
        return _Node(x, velocity - self.sign * shift, divergence + sum_event(velocity * score), score)

    def _times_eps(self, value: Tensor, t: Tensor) -> Tensor:
        """``eps s`` from the score or the noise, whichever stays finite at the ends."""
        return self.table.eps_score(self.fields, value, t)

    def _proposal(self, cond: Condition) -> Callable[[Tensor, Tensor], Tensor]:
        if self.settings.proposal == "reverse":
            return self.sampler.field(cond)
        sign, quantity = self.sign, self.fields.bounded_quantity

        def model(x: Tensor, t: Tensor) -> Tensor:
            values = self.fields.evaluate(x, t, ("velocity", quantity), cond)
            return values["velocity"] + sign * self._times_eps(values[quantity], t)

        return model

    def _divergence(
        self, function: Callable[[Tensor], Tensor], x: Tensor, probes: BlockNoise | None
    ) -> tuple[Tensor, Tensor]:
        if probes is None:
            return exact_divergence(function, x, mode=self.settings.mode)
        # Fresh probes at every node: the noise of the trace then averages out along the path.
        signs = [probes.rademacher() for _ in range(self.settings.probes)]
        velocity, columns = probed_divergence(function, x, signs)
        return velocity, columns.mean(1)

    def _check_chain(self) -> None:
        for n, (g0, g1) in enumerate(pairwise(self.strength)):
            if g0 + g1 <= 0:
                t = float(self.grid[n])
                remedy = "Its steps there have no density; take divergence='exact' or 'hutchinson'."
                raise invalid("log_prob", "divergence='none' needs eps > 0 inside", f"0 at t={t:.4g}", remedy)


def _at_time(field: Velocity, t: Tensor, x: Tensor) -> Tensor:
    return field(x, t)


class _Trapezoid:
    """``int rate dt - int s o dY`` over a step, and the same over every second node, for extrapolation."""

    def __init__(self, steps: int) -> None:
        self.steps, self.coarse = steps, torch.zeros(())
        self._before: _Node | None = None
        self._dt = 0.0

    def __call__(self, at: _Node, after: _Node, step: Step) -> Tensor:
        """The step's share, ``(B,)``."""
        if step.n % 2:
            assert self._before is not None
            self.coarse = self.coarse + _trapezoid(self._before, after, self._dt + step.dt)
        elif step.n == self.steps - 1:  # an odd one is left
            self.coarse = self.coarse + _trapezoid(at, after, step.dt)
        else:
            self._before, self._dt = at, step.dt
        return _trapezoid(at, after, step.dt)


def _trapezoid(at: _Node, after: _Node, dt: float) -> Tensor:
    """``int rate dt - int s o dY`` over a step of signed length."""
    assert at.rate is not None
    assert after.rate is not None
    total = (at.rate + after.rate) * (dt / 2)
    if at.score is None or after.score is None:
        return total
    return total - 0.5 * sum_event((at.score + after.score) * (after.x - at.x))


def _kernel_ratio(at: _Node, after: _Node, step: Step) -> Tensor:
    """``log N(at; after - dt drift(after), g^2 h) - log N(after; at + dt drift(at), g^2 h)``."""
    assert at.drift is not None
    assert after.model_drift is not None
    return kernel_log_ratio((after.model_drift - at.drift) * step.dt, step.dw, step.g, step.dt)
