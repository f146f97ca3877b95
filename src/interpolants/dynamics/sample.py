"""Sampling along a bridge: by the probability flow or by an SDE, forwards or backwards.

Dynamics that share the distribution of x_t for every eps(t) >= 0:

* flow ``dX = b dt``, either direction;
* forward SDE ``dX = (b + eps s) dt + sqrt(2 eps) dW`` from rho0 at t = 0;
* backward SDE with drift ``b - eps s``, run down from rho1 at t = 1.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, theorem 2.8 and corollary 2.10.
"""

import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.dynamics.between_steps import Constraint
from interpolants.dynamics.correctors import Langevin
from interpolants.dynamics.integration import Job, Part
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.chunks import Chunks
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.types import Condition, check_rows
from interpolants.solvers.adaptive import Status


@dataclass(frozen=True)
class Samples:
    """Result of sampling: states, status and number of evaluations.

    Attributes:
        x: States at the end, ``(B, *D)``.
        nfe: Evaluations of the field per sample: a number, or ``(B,)`` for an adaptive solver.
        status: ``(B,)`` codes of :class:`Status`; 0 is success.
        times: The times stepped through, in order, ``(n + 1,)``; the two ends for an adaptive solver.
        method: Name of the solver that ran.
        seed: Seed of the noise; None for the ODE.
        path: States at ``times``, ``(n + 1, B, *D)``, if asked for.
        rejected: Rejected steps per sample of an adaptive solver, ``(B,)``.
        eps: Noise level that was used at ``times``, after the cap, ``(n + 1,)``; None for the ODE. On a coarse grid
            it can lie well below what was asked for.
    """

    x: Tensor
    nfe: int | Tensor
    status: Tensor
    times: Tensor
    method: str
    seed: int | None = None
    path: Tensor | None = None
    rejected: Tensor | None = None
    eps: Tensor | None = None

    @property
    def ok(self) -> Tensor:
        """Which samples arrived, ``(B,)``."""
        return self.status == int(Status.OK)


def sample(
    fields: Fields,
    x: Tensor,
    *,
    eps: Any = 0.0,
    reverse: bool = False,
    method: str | None = None,
    n_steps: int = 100,
    time_grid: Any = "auto",
    seed: int | None = None,
    cond: Condition = None,
    return_path: bool = False,
    finish: str = "step",
    start: float = 0.0,
    stop: float = 1.0,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    max_steps: int = 10_000,
    first_index: int = 0,
    chunk: int | None = None,
    invariant: bool = True,
    cap_noise: bool = True,
    brownian: str = "nested",
    corrector: Langevin | None = None,
    constraint: Constraint | None = None,
    on_failure: str = "raise",
    differentiable: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Samples:
    """Carry ``x`` from rho0 to rho1, or back, along the fields of a bridge.

    Sample i sees the same noise and gives the same result whatever the batch, chunk or process it is computed in.

    Args:
        fields: Velocity and, for ``eps > 0``, score of the bridge.
        x: Start points, ``(B, *D)``, floating point: at t = 0, or at t = 1 when ``reverse``.
        eps: Noise level: a number >= 0, a function of t, or a ``NoiseLevel``; 0 is the ODE. In data units squared.
        reverse: Run from t = 1 down to t = 0.
        method: Solver by name. ODE: ``euler, midpoint, heun, rk4, dopri5, tsit5, ddim``; SDE:
            ``euler_maruyama`` (or ``euler``), ``stochastic_heun`` (or ``heun``), ``sra1``. On one-sided paths also
            ``reverse_diffusion`` and ``ancestral``, with noise of their own (leave eps at 0), and ``reverse_flow``;
            see ``dynamics.transitions``. Default ``midpoint``, or the path's own where it has one; with noise
            ``stochastic_heun``.
        n_steps: Number of fixed steps.
        time_grid: ``"uniform"``, ``"quadratic"``, ``"cosine"``, increasing times in [0, 1], or ``"auto"``: cosine where
            the path's latent noise vanishes like a square root and matters (SDE, or a velocity made from the noise),
            and the path's own grid where it has one.
        seed: Seed of the Brownian motion; drawn afresh, and reported, when None.
        cond: Condition, one row per sample.
        return_path: Keep the states at all times.
        finish: ``"step"`` ends with an ordinary step, ``"mean"`` with one without noise; ``"denoise"`` replaces the
            last one by the mean end point.
        start: First time, for a truncated bridge.
        stop: Last time, for a truncated bridge.
        rtol: Relative tolerance per sample of an adaptive solver.
        atol: Absolute tolerance per sample, in data units.
        max_steps: Most steps per sample of an adaptive solver.
        first_index: Index of the first row in the whole job, so that shards agree with one big call; multiple of 64
            gives the best speed.
        chunk: Rows sent through the networks at once; chosen for the machine's cache when None.
        invariant: Make sample i independent of its batch to the last bit.
        cap_noise: Let eps vanish at the ends as explained in ``dynamics.noise``.
        brownian: Which runs of one seed see the same Brownian path: ``"nested"`` those with n, 2n, 4n, ... steps, at no
            cost; ``"universal"`` those with any time grid over the same interval, at the price of 1,024 draws.
        corrector: Langevin steps after every step of the solver, or before it; on one-sided paths.
        constraint: What is known of every sample, put back after every step, e.g. ``guidance.Replacement``.
        on_failure: ``"raise"`` if a sample fails, or ``"keep"`` and report it in ``status``.
        differentiable: Keep the graph, so that gradients flow to ``x`` and to the networks.
        progress: Called with the number of samples done after each chunk.

    Returns:
        The samples; see :class:`Samples`.

    Raises:
        InvalidInputError: If an argument breaks its rule; NotIdentifiableError if eps > 0 and there is no score.
        DivergedError: If a sample left the finite numbers or missed its tolerance.
    """
    check_call("sample", x, cond, first_index, chunk, on_failure)
    job = Job(fields, x, eps, reverse, method, n_steps, time_grid, finish, start, stop, cap_noise)
    job.then(corrector, constraint)
    if corrector is not None and corrector.step_size == "batch":
        chunk = _whole_batch(x, chunk, invariant)
    given = job.together(cond, None if constraint is None else constraint.rows(x))
    seed = (
        (secrets.randbits(31) if seed is None else whole("sample", "seed", seed)) if job.is_random else None
    )
    one_of("sample", "brownian", brownian, ("nested", "universal"))
    job.brownian = brownian
    job.seed, job.rtol, job.atol, job.max_steps = seed, rtol, atol, max_steps
    # Not inference mode: its tensors could never be trained on, and a field may differentiate inside.
    context: AbstractContextManager[Any] = nullcontext() if differentiable else torch.no_grad()
    parts: list[Part] = []
    with context:
        plan = job.cut(x, given, chunk, first_index, invariant)
        for rows, first in plan:
            part = job.run(*plan.take(rows, first), first, keep=return_path)
            parts.append(part.cut(plan.lead(rows, first), rows.stop - rows.start))
            if progress is not None:
                progress(rows.stop)
    result = _gather(parts, job, seed)
    if on_failure == "raise" and not bool(result.ok.all()):
        raise _failure(job, result, x, plan)
    return result


def _whole_batch(x: Tensor, chunk: int | None, invariant: bool) -> int:
    """The chunk for norms averaged over the batch."""
    if invariant or (chunk is not None and chunk < len(x)):
        remedy = "Pass invariant=False and no chunk, or take step_size='sample'."
        raise invalid("sample", "step_size='batch' makes a sample depend on its batch", "a cut batch", remedy)
    return len(x)


def check_call(
    who: str, x: Tensor, cond: Condition, first_index: int, chunk: int | None, on_failure: str
) -> None:
    """Refuse states, conditions and settings that no job can run with."""
    if not isinstance(x, Tensor) or x.ndim < 2 or not x.is_floating_point():
        what = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise invalid(who, "x must be a floating-point tensor (B, *D)", what)
    if x.shape[0] < 1:
        raise invalid(who, "there must be at least one sample", tuple(x.shape))
    if not bool(torch.isfinite(x).all()):
        bad = (~torch.isfinite(x).reshape(x.shape[0], -1).all(1)).nonzero().flatten()
        raise invalid(who, "x must be finite", f"nan or inf in {len(bad)} rows, first row {int(bad[0])}")
    check_rows(who, cond, x.shape[0])
    whole(who, "first_index", first_index)
    if chunk is not None:
        whole(who, "chunk", chunk, at_least=1)
    one_of(who, "on_failure", on_failure, ("raise", "keep"))


def _gather(parts: Sequence[Part], job: Job, seed: int | None) -> Samples:
    def join(name: str, dim: int = 0) -> Any:
        values = [getattr(part, name) for part in parts]
        if values[0] is None or isinstance(values[0], int):
            return values[0]
        return values[0] if len(values) == 1 else torch.cat(values, dim)

    path = join("path", 1)
    times = job.output_times if path is not None else job.grid
    return Samples(
        x=join("x"),
        nfe=join("nfe"),
        status=join("status"),
        times=torch.from_numpy(np.ascontiguousarray(times)),
        method=job.method,
        seed=seed,
        path=path,
        rejected=join("rejected"),
        eps=None if job.table is None else job.table.used(torch.from_numpy(np.ascontiguousarray(job.grid))),
    )


def _failure(job: Job, result: Samples, x: Tensor, plan: Chunks) -> DivergedError:
    bad = (~result.ok).nonzero().flatten()
    row, code = int(bad[0]), Status(int(result.status[bad[0]]))
    share = f"{len(bad)} of {x.shape[0]} samples"
    if job.adaptive:
        remedy = (
            "Loosen rtol and atol, raise max_steps, or take fixed steps; on_failure='keep' returns the rest."
        )
        return DivergedError(
            f"sample: {job.method} ended with {code.name.lower()} for {share}, first row {row}. {remedy}"
        )
    when = _first_bad_time(job, plan, row)
    remedy = (
        "Take more steps or a smaller eps, and check the fields there; on_failure='keep' returns the rest."
    )
    return DivergedError(f"sample: {share} left the finite numbers, row {row} at t={when:.6g}. {remedy}")


def _first_bad_time(job: Job, plan: Chunks, row: int) -> float:
    """Run the failing chunk again, noise and all, and watch the row."""
    found: list[float] = []
    with torch.no_grad():
        for rows, first in plan:
            if not rows.start <= row < rows.stop:
                continue
            lane = plan.lead(rows, first) + row - rows.start

            def watch(n: int, t: Tensor, state: Tensor, lane: int = lane) -> None:
                if not found and not bool(torch.isfinite(state[lane]).all()):
                    found.append(float(t))

            job.run(*plan.take(rows, first), first, keep=False, on_step=watch)
    # A last denoising step is not watched: then it was that one.
    return found[0] if found else float(job.grid[-1])
