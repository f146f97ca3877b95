"""Sampling from powers, products and geometric averages of learnt distributions by resampled weighted particles.

The formulas are in ``guidance.tilted``, the loop and the population in ``solvers.weighted``.
"""

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.grids import spacing_for
from interpolants.dynamics.grids import time_grid as make_grid
from interpolants.dynamics.noise import NoiseLevel, NoiseTable, ReverseNoise, as_noise
from interpolants.dynamics.sample import check_call
from interpolants.fields.protocol import LogDensities
from interpolants.foundations.checks import number, one_of, positive, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.memory import chunk_rows, layer_sizes
from interpolants.foundations.ops import time_dtype
from interpolants.foundations.tell import FitWarning, tell
from interpolants.foundations.types import take_rows
from interpolants.guidance.experts import Expert, Reward, check_experts, total_of, value_of
from interpolants.guidance.particles import (
    START_STREAM,
    ParticleNoise,
    WeightedSamples,
    check_condition,
    check_log_weights,
    collect,
)
from interpolants.guidance.references import GaussianFlow, LinearDrift, MeanVelocity, Reference
from interpolants.guidance.tilted import Target
from interpolants.guidance.weight_variance import weight_spread
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.solvers.registry import available, get_solver
from interpolants.solvers.resampling import Resampler, Systematic
from interpolants.solvers.sde import SdeSolver
from interpolants.solvers.weighted import Node, Step, check_groups, integrate_weighted

TRANSPORTS = ("score", "pf")
DIVERGENCES = ("exact", "hutchinson")
_NAMES = {"euler": "euler_maruyama", "heun": "stochastic_heun"}
_ROUNDING = 1e-9


class FeynmanKac:
    """Sample ``p ∝ prod q_i^beta_i exp(lambda r)``, where experts q_i are given by their fields on one path.

    ::

        FeynmanKac(annealed(fields, 2.0)).sample(2048, seed=0)            # q^2
        FeynmanKac(guided(fields, label, 3.0)).sample(...)                # q^(1 - w) q(. | label)^w
        FeynmanKac(product(first, second)).sample(...)                    # q_1 q_2
        FeynmanKac([(fields, 1.0)], reward=Reward(r)).sample(...)         # q exp(r)

    On a one-sided path particles start from the power ``base^B`` of the base, which is a Gaussian again; on a path
    between two distributions from samples that are given. They follow the target's transport and noise; what these
    leave out is in the weights. The result is right for every eps, transport and scheme, up to steps and number of
    particles.

    Args:
        experts: ``(fields, beta)``, ``(fields, beta, cond)`` or :class:`Expert`, all on one path.
        kappa: Noise as a multiple of the reversed noising process, ``eps = kappa g^2/2``, on one-sided paths; 0 is a
            weighted ODE. 1 by default.
        eps: Noise level instead of kappa: a number, a function of t, or a ``NoiseLevel``. Needed on two-sided paths.
        transport: ``"pf"`` (the velocity, one divergence, weights of least spread), a :class:`GaussianFlow` (no
            divergence, nearly as good where the moments fit), or ``"score"`` (no divergence, the paper's; one-sided
            paths, weights of wide spread). All the same where the exponents add up to 1.
        reward: A factor ``exp(lambda r)``.
        resampler: Scheme and threshold of the resampling.
        method: ``"euler_maruyama"`` (weights by the left point, as in the paper) or ``"stochastic_heun"`` (weights by
            the trapezoidal rule, order 2).
        n_steps: Number of steps.
        time_grid: Spacing of the steps, as for ``dynamics.sample``.
        start: First time. On paths whose data vanish at t = 0, ``"score"`` needs it above 0.
        stop: Last time.
        divergence: ``"exact"`` or ``"hutchinson"``, for ``"pf"``; closed forms are used where all experts have one.
        probes: Signs per evaluation for Hutchinson's estimate.
        clip: Largest change of a log weight in one step, about the group's mean. Biased; None does not clip.
        cap_noise: Keep eps below what a step can stand near an end; see ``dynamics.noise``.

    Raises:
        InvalidInputError: If an argument breaks its rule, or experts do not share a path.
        NotIdentifiableError: If an expert has no score.

    Source: Skreta et al. (2025), arXiv:2503.02819; see ``guidance.tilted`` for what is ours.
    """

    def __init__(
        self,
        experts: Sequence[Any],
        *,
        kappa: float | None = None,
        eps: Any = None,
        transport: str | GaussianFlow = "pf",
        reward: Reward | None = None,
        resampler: Resampler | None = None,
        method: str = "euler_maruyama",
        n_steps: int = 200,
        time_grid: Any = "uniform",
        start: float = 0.0,
        stop: float = 1.0,
        divergence: str = "exact",
        probes: int = 1,
        clip: float | None = None,
        cap_noise: bool = True,
    ) -> None:
        who, self.method = "FeynmanKac", _NAMES.get(method, method)
        one_of(who, "divergence", divergence, DIVERGENCES)
        one_of(who, "method", self.method, available("sde"))
        if clip is not None:
            positive(who, "clip", clip)
        whole(who, "probes", probes, at_least=1)
        self.experts, self.path = check_experts(who, experts, ())
        spacing = spacing_for(self.path, n_steps, time_grid, start=start, stop=stop)
        self.grid = make_grid(n_steps, spacing, start=start, stop=stop)
        check_experts(who, self.experts, self.grid.tolist())
        self.level = _noise(who, kappa, eps, self.path)
        self.transport = self._choose(who, transport)
        self.reward = _checked(who, reward, float(self.grid[0]))
        self.resampler = Systematic() if resampler is None else resampler
        self.probes = probes if divergence == "hutchinson" else 0
        self.clip, self.cap_noise = clip, cap_noise

    def sample(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        x0: Tensor | None = None,
        log_weights: Tensor | float | None = None,
        groups: int | None = None,
        group_size: int | None = None,
        first_group: int = 0,
        resample: bool = False,
        event_shape: Sequence[int] | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        chunk: int | None = None,
    ) -> WeightedSamples:
        """Draw weighted particles.

        Args:
            n: Number of particles on a one-sided path, >= 2.
            seed: Seed of start, noise and resampling; drawn afresh, and reported, when None. Noise belongs to the
                index of a particle.
            x0: Starts of your own, ``(n, *D)``; needed on a two-sided path.
            log_weights: What turns the distribution of ``x0`` into the target's start ``prod q_i^beta_i`` at the first
                time: ``(n,)``, or 0 where they agree. When left out, ``x0`` are taken to come from the first expert's
                start distribution, and the experts' densities give the weights.
            groups: Number of independent populations; 1 when left out.
            group_size: Particles in each, instead.
            first_group: Index of the first group in a larger job, so that shards agree with one big call.
            resample: Resample at the end: particles with equal weights.
            event_shape: Shape of a state, where the base leaves it open.
            dtype: Type of the states drawn here.
            device: Their device.
            chunk: Rows sent through the experts at once; chosen for the machine's cache when None.

        Returns:
            The particles. ``log_z`` is the log of ``int prod q_i^beta_i exp(lambda r)`` at the end, for experts that
            are densities; with starts of your own, relative to the integral of ``exp(log_weights)`` under their
            distribution.

        Raises:
            InvalidInputError: If sizes, starts or conditions do not fit.
            DivergedError: If states or weights left the finite numbers.
        """
        who = "FeynmanKac.sample"
        seed = secrets.randbits(31) if seed is None else whole(who, "seed", seed)
        count = _count(who, n, x0)
        groups = check_groups(who, count, groups, group_size)
        whole(who, "first_group", first_group)
        noise = ParticleNoise(seed, first_group, groups, count)
        with torch.no_grad():
            if x0 is None:
                if log_weights is not None:
                    remedy = "Starts drawn from the base need none."
                    raise invalid(who, "log_weights go with x0", "no x0", remedy)
                x, log_z = self._from_base(who, noise, event_shape, dtype, device)
                weights = x.new_zeros(count)
            else:
                check_call(who, x0, None, 0, None, "raise")
                x, log_z = x0, 0.0
                given = self._weigh(who, x0) if log_weights is None else log_weights
                weights = check_log_weights(who, given, x0)
            for number, expert in enumerate(self.experts):
                check_call(f"{who}: expert {number}", x, expert.cond, 0, chunk, "raise")
                if self.resampler.ess > 0 or resample:
                    check_condition(f"{who}: expert {number}", expert.cond, count, groups)
            return self._run(who, x, weights, log_z, noise, resample, chunk)

    def _from_base(
        self,
        who: str,
        noise: ParticleNoise,
        event_shape: Sequence[int] | None,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> tuple[Tensor, float]:
        """Draws of ``q^B``, q the Gaussian start, and the log of its integral, ``(B - 1) log q(mean) - D/2 log B``."""
        path = self.path
        if not isinstance(path, SpatiallyLinearPath) or not isinstance(path.base, Gaussian):
            raise invalid(who, "a two-sided path needs its starts", "no x0", "Pass samples of them as x0=.")
        total = total_of(self.experts, float(self.grid[0]))
        alpha = float(path.alpha(torch.tensor(self.grid[0], dtype=torch.float64)))
        shape = _shape(who, path.base, event_shape)
        z = noise.draws((START_STREAM,), shape, dtype, device).normal()
        mean = path.base.mean_like(z)
        x = alpha * mean + (alpha / math.sqrt(total)) * path.base.root(z)
        size, centre = z[0].numel(), torch.zeros_like(z[:1]).double() + mean
        peak = float(path.base.log_prob(centre)) - size * math.log(alpha)
        return x, (total - 1) * peak - 0.5 * size * math.log(total)

    def _weigh(self, who: str, x0: Tensor) -> Tensor:
        """``sum beta_i log q_i - log q_0`` at the first time."""
        densities = [expert.fields for expert in self.experts if isinstance(expert.fields, LogDensities)]
        if len(densities) < len(self.experts):
            rule = "x0 needs log_weights where an expert has no density"
            remedy = (
                "They are sum beta_i log q_i(x0) less the log density that x0 come from: "
                "0 if all experts start from that distribution and the betas add up to 1."
            )
            raise invalid(who, rule, "None", remedy)
        t = torch.tensor(self.grid[0], dtype=time_dtype(x0), device=x0.device)
        logs = [fields.log_prob(x0, t) for fields in densities]
        betas = [value_of(expert.beta, float(self.grid[0])) for expert in self.experts]
        weighted: Tensor = sum((beta * log for beta, log in zip(betas, logs, strict=True)), -logs[0])
        return weighted

    def _run(
        self,
        who: str,
        x: Tensor,
        log_weights: Tensor,
        log_z: float,
        noise: ParticleNoise,
        resample: bool,
        chunk: int | None,
    ) -> WeightedSamples:
        grid, times = self.grid, torch.from_numpy(self.grid.copy())
        solver = get_solver(self.method)
        assert isinstance(solver, SdeSolver)
        table = None if self.level is None else NoiseTable(self.level, self.path, grid, cap=self.cap_noise)
        reference = self._reference(noise, x)
        flow = _Flow(Target(self.experts, reference, self.reward, table), x, self._rows(x, reference, chunk))
        population = noise.population(self.resampler, log_weights)
        nothing = torch.zeros_like(x)
        done = integrate_weighted(
            flow.node,
            x,
            grid,
            solver,
            [0.0] * len(grid) if table is None else table.strength(times).tolist(),
            noise.brownian(grid, x, solver) if table is not None else [(nothing, nothing)] * (len(grid) - 1),
            _Increment(solver.weak_order >= 2, self.clip, noise.groups),
            log_weights=log_weights,
            stage=flow.drift,
            # At t = 1 a score may be infinite; the left point of the last step alone is enough for order 2.
            end=_Point,
            between=population,
        )
        if reference.uniform:
            divergence = reference.integral(float(grid[0]), float(grid[-1]), x.shape[1:])
            log_z += (1 - total_of(self.experts, float(grid[0]))) * divergence
        return collect(
            who,
            population,
            done.node.x,
            done.log_weights,
            log_z=log_z,
            grid=grid,
            eps=None if table is None else table.used(times),
            nfe=done.nfe,
            seed=noise.seed,
            resample=resample,
        )

    def _choose(self, who: str, transport: str | GaussianFlow) -> str | GaussianFlow:
        """The transport, or ``"balanced"`` where B = 1 at all times and it plays no role."""
        if not isinstance(transport, GaussianFlow):
            one_of(who, "transport", transport, TRANSPORTS)
        scheduled = any(callable(expert.beta) for expert in self.experts)
        if not scheduled and abs(total_of(self.experts, 0.0) - 1) < _ROUNDING:
            return "balanced"
        if transport == "pf":
            return transport
        if scheduled:
            remedy = "Take transport='pf', whose rate holds for exponents that change."
            raise invalid(who, "this transport needs betas that are numbers", repr(transport), remedy)
        if not isinstance(self.path, SpatiallyLinearPath):
            raise invalid(who, "this transport needs a spatially linear path", type(self.path).__name__)
        if isinstance(transport, GaussianFlow):
            transport.on(who, self.path)
            return transport
        if self.path.base is None:
            remedy = "Take transport='pf', or GaussianFlow with the moments of both ends."
            raise invalid(who, "transport='score' needs a one-sided path", type(self.path).__name__, remedy)
        if not float(self.path.beta(torch.tensor(self.grid[0], dtype=torch.float64))) > 0:
            remedy = "Pass start=0.01 or so, or take transport='pf'."
            rule = "transport='score' needs a start with beta > 0"
            raise invalid(who, rule, f"start={self.grid[0]:g}", remedy)
        self._warn_of_heavy_weights(who, self.path)
        return transport

    def _warn_of_heavy_weights(self, who: str, path: SpatiallyLinearPath) -> None:
        """The weights of the score's transport may have no variance; neither the sizes nor log_z_error show it."""
        total = total_of(self.experts, float(self.grid[0]))
        if math.isfinite(weight_spread(path, self.level, total, float(self.grid[0]))):
            return
        told = (
            f"{who}: with transport='score' and exponents that add up to {total:g} the variance of the weights is "
            "infinite near the base: log_z can be wrong by many times log_z_error. Take transport='pf' or "
            "GaussianFlow, or more noise (kappa > 2 (B - 1)/B for exponents that add up to B > 1)."
        )
        tell(FitWarning, told)

    def _reference(self, noise: ParticleNoise, x: Tensor) -> Reference:
        if self.transport == "balanced":
            return MeanVelocity(self.experts, needed=False)
        if self.transport == "pf":
            return MeanVelocity(self.experts, self._signs(noise, x) if self.probes else None)
        assert isinstance(self.path, SpatiallyLinearPath)
        if isinstance(self.transport, GaussianFlow):
            return self.transport.on("FeynmanKac", self.path)
        return LinearDrift(self.path)

    def _signs(self, noise: ParticleNoise, x: Tensor) -> Callable[[], list[Tensor]]:
        source = noise.draws(("particle probe",), x.shape[1:], x.dtype, x.device)
        return lambda: [source.rademacher() for _ in range(self.probes)]

    def _rows(self, x: Tensor, reference: Reference, chunk: int | None) -> int:
        """Particles sent through the experts at once; all where they share the draws of probes."""
        if isinstance(reference, MeanVelocity) and reference.probes is not None:
            return len(x)
        if chunk is not None:
            return chunk
        networks = [net for expert in self.experts for net in expert.fields.networks]
        if not networks:
            return len(x)
        few, t = slice(0, min(16, len(x))), torch.tensor(float(self.grid.mean())).to(x)

        def call() -> None:
            for expert in self.experts:
                expert.fields.evaluate(x[few], t, ("velocity",), take_rows(expert.cond, few))

        found = chunk_rows(x, max(layer_sizes(networks, call, x[few])))
        return len(x) if found is None else found


# --- parts of the run ---------------------------------------------------------------------------------------


@dataclass
class _Point(Node):
    """A particle's place with the rate of its log weight."""

    rate: Tensor | None = None


class _Flow:
    """The target's flow for all particles, evaluated in pieces that fit the cache."""

    def __init__(self, target: Target, x: Tensor, rows: int) -> None:
        self.pieces = [(slice(0, len(x)), target)]
        if rows < len(x):
            slices = [slice(begin, begin + rows) for begin in range(0, len(x), rows)]
            self.pieces = [(piece, _narrowed(target, piece)) for piece in slices]

    def node(self, x: Tensor, t: Tensor) -> _Point:
        """Drift and rate."""
        flows = [target.flow(x[piece], t) for piece, target in self.pieces]
        drifts = [flow.transport if flow.push is None else flow.transport + flow.push for flow in flows]
        rates = [flow.rate for flow in flows]
        if len(flows) == 1:
            return _Point(x, drifts[0], rates[0])
        return _Point(x, torch.cat(drifts), torch.cat(rates))

    def drift(self, x: Tensor, t: Tensor) -> Tensor:
        """The drift alone, for further stages."""
        drift = self.node(x, t).drift
        assert drift is not None
        return drift


def _narrowed(target: Target, piece: slice) -> Target:
    own = [Expert(e.fields, e.beta, take_rows(e.cond, piece)) for e in target.experts]
    return Target(own, target.reference.narrow(own), target.reward, target.table)


class _Increment:
    """``W dt`` by the left point or the trapezoidal rule, clipped about the group's mean if wanted."""

    def __init__(self, trapezoid: bool, clip: float | None, groups: int) -> None:
        self.trapezoid, self.clip, self.groups = trapezoid, clip, groups

    def __call__(self, at: _Point, after: _Point, step: Step) -> Tensor:
        """The step's share, ``(n,)``."""
        assert at.rate is not None
        rate = (at.rate + after.rate) / 2 if self.trapezoid and after.rate is not None else at.rate
        if self.clip is None:
            return rate * step.dt
        change = (rate * step.dt).reshape(self.groups, -1)
        mean = change.mean(1, keepdim=True)
        return (mean + (change - mean).clamp(-self.clip, self.clip)).reshape(-1)


# --- checks -------------------------------------------------------------------------------------------------


def _noise(who: str, kappa: float | None, eps: Any, path: Path) -> NoiseLevel | None:
    """The noise level, None for a weighted ODE."""
    if path.base is not None and not isinstance(path.base, Gaussian):
        remedy = "Powers of another base have no sampler here, and its scores obey other relations."
        raise invalid(who, "the base must be Gaussian", type(path.base).__name__, remedy)
    if path.basis is not None:
        remedy = "Take a path with one schedule for all entries."
        raise invalid(who, "the path must have no basis of its own", type(path).__name__, remedy)
    if kappa is not None and eps is not None:
        raise invalid(who, "kappa or eps may be given, not both", (kappa, eps))
    if kappa is not None:
        number(who, "kappa", kappa, at_least=0, remedy="0 is a weighted ODE, 1 the usual noise.")
    if eps is not None:
        return as_noise(eps)
    if path.base is None:
        remedy = "E.g. eps=0.5 or eps=GammaNoise(1.0); eps=0 is a weighted ODE."
        raise invalid(who, "a two-sided path needs eps", f"kappa={kappa}", remedy)
    scale = 1.0 if kappa is None else kappa
    return ReverseNoise(scale) if scale else None


def _checked(who: str, reward: Reward | None, start: float) -> Reward | None:
    if reward is not None and abs(value_of(reward.schedule, start)) > _ROUNDING:
        found = value_of(reward.schedule, start)
        remedy = (
            "Particles start from the distribution without reward: let it grow from 0, as lambda t: t does."
        )
        raise invalid(who, f"the reward's schedule must be 0 at the start, t={start:g}", found, remedy)
    return reward


def _count(who: str, n: int | None, x0: Tensor | None) -> int:
    if (n is None) == (x0 is None):
        found = "neither" if n is None else "both"
        raise invalid(who, "n or x0 must be given, and not both", found)
    count = len(x0) if x0 is not None else n
    return whole(
        who, "the number of particles", count, at_least=2, remedy="Weights are relative to other particles."
    )


def _shape(who: str, base: Gaussian, event_shape: Sequence[int] | None) -> tuple[int, ...]:
    if event_shape is None:
        return base.event_shape
    shape = tuple(event_shape)
    known = base.describe()["event_shape"]
    if known is not None and tuple(known) != shape:
        raise invalid(who, f"event_shape must be that of the base, {tuple(known)}", shape)
    return shape
