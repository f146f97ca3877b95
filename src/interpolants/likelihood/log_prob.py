"""Log-likelihood by the probability flow: carry a point to the end whose density is known, and count the volume.

``log rho1(x) = log rho0(X_0) - int_0^1 div b(X_t, t) dt`` along the flow that is at x at t = 1, and the mirror image
``log rho0(x) = log rho1(X_1) + int_0^1 div b dt``.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 2.4; Chen et al. (2018), arXiv:1806.07366.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from interpolants.dynamics.chunks import Chunks
from interpolants.dynamics.job import Job
from interpolants.dynamics.sample import check_call, check_seed
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.types import Condition, take_rows
from interpolants.likelihood.divergence import MODES, exact_divergence, probed_divergence
from interpolants.solvers.adaptive import Status, integrate_adaptive
from interpolants.solvers.fixed import integrate_fixed
from interpolants.solvers.registry import get_solver
from interpolants.solvers.tableau import RungeKutta

PROBE_STREAM = 2
DIVERGENCES = ("exact", "hutchinson")
Rate = Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor | None]]


class Density(Protocol):
    """A law whose log density can be evaluated, ``(B, *D) -> (B,)`` in nats."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density in nats."""
        ...


@dataclass(frozen=True)
class LogProb:
    """Log-likelihoods and how they were obtained.

    Attributes:
        log_prob: ``(B,)`` in nats.
        error: ``(B,)`` standard error of the random probes, in nats; zero for the exact divergence, NaN for one probe.
        x: Where the points arrived, at the end with the known density (or, for sampling, the samples), ``(B, *D)``.
        nfe: Evaluations of the velocity per sample: a number, or ``(B,)`` for an adaptive solver.
        status: ``(B,)`` codes of ``dynamics.Status``; 0 is success.
    """

    log_prob: Tensor
    error: Tensor
    x: Tensor
    nfe: int | Tensor
    status: Tensor

    @property
    def mean(self) -> tuple[float, float]:
        """Mean over the samples and its standard error, in nats."""
        values = self.log_prob.double()
        n = values.numel()
        return float(values.mean()), float(values.std() / math.sqrt(n)) if n > 1 else math.nan


def log_prob(
    fields: Fields,
    x: Tensor,
    base: Density,
    *,
    end: int = 1,
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
    invariant: bool = True,
    on_failure: str = "raise",
    differentiable: bool = False,
) -> LogProb:
    """Log density of the model at ``x``.

    Args:
        fields: Velocity of the bridge.
        x: Points ``(B, *D)`` at the end ``end``.
        base: The law at the other end, with ``log_prob``.
        end: 1 scores data under the model of rho1 (``base`` is rho0); 0 the other way round.
        cond: Condition, one row per sample.
        divergence: ``"exact"``, or ``"hutchinson"`` for random probes.
        probes: Number of probes, fixed along each trajectory and tied to the sample's index.
        mode: How the exact divergence is taken, ``"auto"``, ``"reverse"`` or ``"forward"``; the value is the same.
        method: ODE solver by name; the adaptive ones control the error of the log-likelihood too.
        n_steps: Number of fixed steps.
        time_grid: As in ``dynamics.sample``.
        rtol: Relative tolerance per sample of an adaptive solver.
        atol: Absolute tolerance per sample, in data units and nats.
        max_steps: Most steps per sample of an adaptive solver.
        seed: Seed of the probes.
        first_index: Index of the first row in the whole job.
        chunk: Rows at once; chosen for the machine's cache when None.
        invariant: Make sample i independent of its batch (up to the rounding of derivatives).
        on_failure: ``"raise"`` or ``"keep"``.
        differentiable: Keep the graph, for training by likelihood; fixed-step solvers only.

    Raises:
        InvalidInputError: If an argument breaks its rule, or ``base`` has no density.
        DivergedError: If a sample left the finite numbers or missed its tolerance.
    """
    if end not in (0, 1):
        raise invalid("log_prob", "end must be 0 or 1", end)
    check_call("log_prob", x, cond, first_index, chunk, on_failure)
    _check_base(base, "log_prob")
    travel = _Travel(
        fields, x, end == 1, divergence, probes, mode, method, n_steps, time_grid, differentiable
    )
    travel.limits = {"rtol": rtol, "atol": atol, "max_steps": max_steps}
    arrived, volume, error, nfe, status = travel.go(
        cond, chunk, first_index, invariant, check_seed("log_prob", seed)
    )
    _check_arrival("log_prob", status, on_failure, method)
    return LogProb(_evaluate(base, arrived) + volume, error, arrived, nfe, status)


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

    Arguments as in :func:`log_prob`; ``base`` is the law that ``x0`` was drawn from.

    Returns:
        ``x`` the samples at t = 1 and ``log_prob`` their log density.
    """
    who = "sample_with_log_prob"
    check_call(who, x0, cond, first_index, chunk, on_failure)
    _check_base(base, who)
    travel = _Travel(fields, x0, False, divergence, probes, mode, method, n_steps, time_grid, differentiable)
    travel.limits = {"rtol": rtol, "atol": atol, "max_steps": max_steps}
    arrived, volume, error, nfe, status = travel.go(cond, chunk, first_index, True, check_seed(who, seed))
    _check_arrival(who, status, on_failure, method)
    return LogProb(_evaluate(base, x0) - volume, error, arrived, nfe, status)


class _Travel:
    """The flow from one end to the other with its volume change ``int div b dt`` in the direction of travel."""

    def __init__(
        self,
        fields: Fields,
        x: Tensor,
        reverse: bool,
        divergence: str,
        probes: int,
        mode: str,
        method: str,
        n_steps: int,
        time_grid: Any,
        differentiable: bool,
    ) -> None:
        if divergence not in DIVERGENCES:
            raise invalid("log_prob", f"divergence must be one of {DIVERGENCES}", repr(divergence))
        if probes < 1:
            raise invalid("log_prob", "probes must be >= 1", probes)
        if mode not in MODES:
            raise invalid("log_prob", f"mode must be one of {MODES}", repr(mode))
        self.fields, self.x = fields, x
        self.probes = probes if divergence == "hutchinson" else 0
        self.mode, self.differentiable = mode, differentiable
        self.job = Job(fields, x, 0.0, reverse, method, n_steps, time_grid, "step", 0.0, 1.0, False)
        solver = get_solver(self.job.method) if self.job.method != "denoise" else None
        if not isinstance(solver, RungeKutta):
            raise invalid(
                "log_prob", "method must be an ODE solver with a quadrature", repr(method), "E.g. 'dopri5'."
            )
        if differentiable and self.job.adaptive:
            raise invalid(
                "log_prob", "differentiable needs a fixed-step method", method, "E.g. method='midpoint'."
            )
        self.solver = solver
        self.limits: dict[str, Any] = {}

    def go(
        self, cond: Condition, chunk: int | None, first_index: int, invariant: bool, seed: int
    ) -> tuple[Tensor, Tensor, Tensor, int | Tensor, Tensor]:
        """Arrival points, volume changes, their standard errors, evaluations, status."""
        with torch.set_grad_enabled(self.differentiable):
            plan = Chunks(self.fields, self.job, self.x, cond, chunk, first_index, invariant)
            rows: list[list[Any]] = []
            for piece, first in plan:
                lead = plan.lead(piece, first)
                keep = slice(lead, lead + piece.stop - piece.start)
                done = self._chunk(*plan.take(piece, first), first, seed)
                rows.append([part[keep] if isinstance(part, Tensor) else part for part in done])
        x, volume, error, nfe, status = zip(*rows, strict=True)
        count = nfe[0] if isinstance(nfe[0], int) else torch.cat(nfe)
        return torch.cat(x), torch.cat(volume), torch.cat(error), count, torch.cat(status)

    def _chunk(
        self, x: Tensor, cond: Condition, first: int, seed: int
    ) -> tuple[Tensor, Tensor, Tensor, int | Tensor, Tensor]:
        signs = self._signs(x, first, seed)
        if self.job.adaptive:
            return self._adaptive(x, cond, signs)
        rate = self._rate(cond, signs)
        done = integrate_fixed(rate, x, self.job.grid, self.solver, quadrature=True)
        assert done.q is not None
        volume, error = _mean_and_error(done.q)
        good = torch.isfinite(done.x.detach()).reshape(x.shape[0], -1).all(1) & torch.isfinite(
            volume.detach()
        )
        return done.x, volume, error, done.nfe, torch.where(good, int(Status.OK), int(Status.NONFINITE))

    def _adaptive(
        self, x: Tensor, cond: Condition, signs: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, int | Tensor, Tensor]:
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

            start, stop = float(self.job.grid[0]), float(self.job.grid[-1])
            runs.append(
                integrate_adaptive(
                    rate, x, start, stop, self.solver, quadrature=True, on_lanes=note, **self.limits
                )
            )
        volumes = torch.stack([run.q for run in runs if run.q is not None], 1)
        volume, error = _mean_and_error(volumes if signs else volumes[:, 0])
        nfe = torch.stack([run.nfe for run in runs]).sum(0)
        status = torch.stack([run.status for run in runs]).amax(0)
        return runs[0].x, volume, error, nfe, status

    def _rate(self, cond: Condition, signs: list[Tensor]) -> Rate:
        velocity = self.job.velocity(cond)

        def rate(x: Tensor, t: Tensor, want: bool) -> tuple[Tensor, Tensor | None]:
            if not want:
                return velocity(x, t), None
            if signs:
                return probed_divergence(lambda y: velocity(y, t), x, signs)
            return exact_divergence(lambda y: velocity(y, t), x, mode=self.mode)

        return rate

    def _signs(self, x: Tensor, first: int, seed: int) -> list[Tensor]:
        if not self.probes:
            return []
        noise = BlockNoise(
            seed,
            (PROBE_STREAM,),
            first=first,
            count=x.shape[0],
            shape=x.shape[1:],
            dtype=x.dtype,
            device=x.device,
        )
        return [noise.rademacher() for _ in range(self.probes)]


def _mean_and_error(volume: Tensor) -> tuple[Tensor, Tensor]:
    if volume.ndim == 1:
        return volume, torch.zeros_like(volume)
    k = volume.shape[1]
    if k == 1:
        return volume[:, 0], torch.full_like(volume[:, 0], math.nan)
    return volume.mean(1), volume.detach().std(1) / math.sqrt(k)


def _check_base(base: object, who: str) -> None:
    if not callable(getattr(base, "log_prob", None)):
        remedy = "Pass a law with log_prob; Bridge trains a Gaussian leg to a sample set by itself."
        raise invalid(who, "the base must have a density", type(base).__name__, remedy)


def _evaluate(base: Density, x: Tensor) -> Tensor:
    value = base.log_prob(x)
    if value.shape != (x.shape[0],):
        remedy = "For torch.distributions, wrap it in Independent so that the event dimensions are summed."
        raise invalid(
            "log_prob", f"base.log_prob must return shape ({x.shape[0]},)", tuple(value.shape), remedy
        )
    return value


def _check_arrival(who: str, status: Tensor, on_failure: str, method: str) -> None:
    bad = (status != int(Status.OK)).nonzero().flatten()
    if on_failure == "raise" and len(bad):
        code = Status(int(status[bad[0]])).name.lower()
        remedy = "Loosen rtol and atol, or take more fixed steps; on_failure='keep' returns the rest."
        raise DivergedError(
            f"{who}: {method} ended with {code} for {len(bad)} samples, first row {int(bad[0])}. {remedy}"
        )
