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
from dataclasses import fields as fields_of
from functools import partial
from operator import itemgetter
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.dynamics.between_steps import AfterStep, Constraint
from interpolants.dynamics.correctors import Langevin
from interpolants.dynamics.course import FINISHES, Course, choose_method, run_grid
from interpolants.dynamics.modifiers import Modifier, check_modifiers
from interpolants.dynamics.noise import NoiseLevel, as_noise
from interpolants.dynamics.run import Run, TrialRun
from interpolants.dynamics.samplers import (
    ADAPTIVE,
    AdaptiveSampler,
    AdaptiveSdeSampler,
    Arrival,
    Sampler,
    SdeSampler,
)
from interpolants.dynamics.solver_table import FittedSolver
from interpolants.dynamics.transitions import NOISY, TRANSITIONS
from interpolants.fields.protocol import Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import changed, is_among, one_of, whole
from interpolants.foundations.chunks import Chunks
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.kinds import Count, NonNegative, OneOf, Positive, Share, Whole
from interpolants.foundations.types import Condition, check_rows
from interpolants.solvers.adaptive import Status
from interpolants.solvers.multistep import Multistep
from interpolants.solvers.registry import available, get_solver


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
        reports: What each modifier found, by name; tensors with one row per sample.
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
    reports: tuple[dict[str, Tensor], ...] = ()

    @property
    def ok(self) -> Tensor:
        """Whether each sample reached the end, ``(B,)``."""
        return self.status == int(Status.OK)


@dataclass(frozen=True, kw_only=True)
class Sampling(Checked):
    """Settings of the sampler, without those of a single run: its seed, condition and first index.

    Raises:
        InvalidInputError: If a name is unknown. What depends on the fields and the states is checked by ``sample``.
    """

    eps: Any = 0.0
    """Noise level: a number >= 0, a function of t, or a ``NoiseLevel``; 0 is the ODE. In data units squared."""
    reverse: bool = False
    """Run from t = 1 down to t = 0."""
    method: str | FittedSolver | None = None
    """Solver by name, or a fitted solver. ODE: ``euler, midpoint, heun, rk4, dopri5, tsit5, ddim``, or with memory
    ``exponential_ab2, exponential_ab3, dpmpp_2m, dpmpp_3m, unipc2, unipc3``; SDE: ``euler_maruyama`` (or ``euler``),
    ``stochastic_heun`` (or ``heun``), ``sra1``, or with error control ``adaptive_heun``, which halves ``n_steps`` first
    steps where a sample needs it: take few, e.g. 8. On one-sided paths also ``reverse_diffusion`` and ``ancestral``,
    with noise of their own (leave eps at 0), and ``reverse_flow``; see ``dynamics.transitions``. Default ``midpoint``,
    or the path's own where it has one; with noise ``stochastic_heun``. A :class:`FittedSolver` of :func:`fit_solver`
    has its own times and number of steps."""
    n_steps: Count = 100
    """Number of fixed steps."""
    time_grid: Any = "auto"
    """``"uniform"``, ``"quadratic"``, ``"cosine"``, on one-sided paths also ``"log_snr"`` and ``"karras"`` (with
    ``start`` and ``stop`` where there are both signal and noise), increasing times in [0, 1], such as those of
    ``optimise_grid``, or ``"auto"``: cosine where the path's latent noise vanishes like a square root and matters (SDE,
    a velocity made from the noise, or a solver with memory), the path's own grid where it has one, and for solvers with
    memory from end to end the spacing that was measured for the path."""
    return_path: bool = False
    """Keep the states at all times."""
    finish: Annotated[str, OneOf(lambda: FINISHES)] = "step"
    """``"step"`` ends with an ordinary step, ``"mean"`` with one without noise; ``"denoise"`` replaces the last one by
    the mean end point."""
    start: Share = 0.0
    """First time, for a truncated bridge."""
    stop: Share = 1.0
    """Last time, for a truncated bridge."""
    rtol: NonNegative | None = None
    """Relative tolerance per sample of an adaptive solver; None is 1e-5, and 1e-2 for ``adaptive_heun``, whose error
    falls only in proportion to its steps."""
    atol: Positive | None = None
    """Absolute tolerance per sample, in data units; None as for ``rtol``."""
    max_steps: Count = 10_000
    """Most steps per sample of an adaptive solver."""
    chunk: Count | None = None
    """Rows sent through the networks at once; chosen for the machine's cache when None."""
    invariant: bool = True
    """Make sample i independent of its batch to the last bit."""
    cap_noise: bool = True
    """Let eps vanish at the ends as explained in ``dynamics.noise``."""
    brownian: Annotated[str, OneOf(lambda: ("nested", "universal"))] = "nested"
    """Which runs of one seed see the same Brownian path: ``"nested"`` those with n, 2n, 4n, ... steps, at no cost;
    ``"universal"`` those with any time grid over the same interval, at the price of 1,024 draws, or 1,536 for
    ``"sra1"``. Nested paths of ``"sra1"`` are not those of ``"heun"`` and ``"euler"``, as its areas must be nested too;
    along universal ones the three can be compared."""
    corrector: Langevin | None = None
    """Langevin steps after every step of the solver, or before it; on one-sided paths."""
    constraint: Constraint | None = None
    """What is known of every sample, put back after every step, e.g. ``guidance.Replacement``."""
    modifiers: Any = ()
    """Changes to the fields and to finished steps, for fixed-step solvers; see :class:`Modifier`: one or a list, each
    as an object, the id of its card, or a table such as ``{"kind": "size_guard", "limit": 9}``. Each one modifies the
    fields as those before it left them. After a step they act in order, after the constraint."""
    on_failure: Annotated[str, OneOf(lambda: ("raise", "keep"))] = "raise"
    """``"raise"`` if a sample fails, or ``"keep"`` and report it in ``status``."""
    differentiable: bool = False
    """Keep the graph, so that gradients flow to ``x`` and to the networks."""
    compiled: Whole = 0
    """Steps to one call of a function that ``torch.compile`` makes of the solver and the network; 0 compiles nothing.
    Worth its seconds of compilation where batches are small, so that dispatch costs more than arithmetic. For flows by
    Runge-Kutta steps whose velocity was learnt as such; needs ``invariant=False``, and the samples are those of the
    plain steps up to rounding."""
    progress: Callable[[int], None] | None = None
    """Called with the number of samples done after each chunk."""

    @property
    def last(self) -> float | None:
        """The end to which the mean end point leads; None where the run ends with a step of the solver."""
        if self.finish != "denoise":
            return None
        return 0.0 if self.reverse else 1.0


AS_USUAL = Sampling()


def sample(
    fields: Fields,
    x: Tensor,
    how: Sampling = AS_USUAL,
    *,
    seed: int | None = None,
    cond: Condition = None,
    first_index: int = 0,
    **changes: Any,
) -> Samples:
    """Transport ``x`` from rho0 to rho1, or back, along the fields of a bridge.

    ::

        sample(fields, x, eps=0.5, n_steps=50)
        sample(fields, x, Sampling(eps=0.5, n_steps=50))        # the same

    Sample i sees the same noise and gives the same result whatever the batch, chunk or process it is computed in.

    Args:
        fields: Velocity and, for ``eps > 0``, score of the bridge.
        x: Start points, ``(B, *D)``, floating point: at t = 0, or at t = 1 when ``reverse``.
        how: The way; see :class:`Sampling`.
        seed: Seed of the Brownian motion; drawn afresh, and reported, when None.
        cond: Condition, one row per sample.
        first_index: Index of the first row in the whole job, so that shards agree with one big call; multiple of 64
            gives the best speed.
        changes: Settings of :class:`Sampling` that differ from ``how``.

    Returns:
        The samples; see :class:`Samples`.

    Raises:
        InvalidInputError: If an argument breaks its rule; NotIdentifiableError if eps > 0 and there is no score.
        DivergedError: If a sample became NaN or infinite or missed its tolerance.
    """
    how = changed("sample", how, changes)
    check_call("sample", x, cond, first_index, how.chunk, how.on_failure)
    level, members = as_noise(how.eps), check_modifiers("sample", how.modifiers, fields)
    noisy, acts = level is not None, _acting(how, members)
    name, grid = _name_and_grid(fields, x, how, cond, noisy=noisy, acts=acts)
    _check_adaptive(name, how, acts)
    if how.compiled:
        _check_compiled(fields, name, acts or ("a kept path" if how.return_path else ""), how, noisy=noisy)
    chunk = _whole_batch(_coupling(how.corrector, members), x, how)
    quiet = how.finish != "step"
    between = AfterStep(fields, grid, how.corrector, how.constraint, quiet_end=quiet)
    is_random = noisy or name in NOISY or not between.is_idle
    seed = (secrets.randbits(31) if seed is None else whole("sample", "seed", seed)) if is_random else None
    known: dict[str, Any] = {"finish": how.finish, "seed": seed or 0, "brownian": how.brownian}
    course = Course(fields=fields, grid=grid, method=name, **known)
    sampler = _sampler(course, x, acts, how, level)
    seen = None if how.constraint is None else how.constraint.rows(x)
    # Not inference mode: its tensors could never be trained on, and a field may differentiate inside.
    context: AbstractContextManager[Any] = nullcontext() if how.differentiable else torch.no_grad()
    idle = AfterStep(fields, grid, None, None, quiet_end=quiet)
    trial = TrialRun(sampler=sampler, last=how.last, between=idle, like=x, cond=cond)
    with context:
        members = tuple(member.tuned(trial) for member in members)
        run = Run(sampler=sampler, between=between, modifiers=members, last=how.last, seed=seed or 0)
        chunks = sampler.chunks(
            x,
            (cond, seen),
            chunk=chunk,
            first_index=first_index,
            invariant=how.invariant,
            cond_of=itemgetter(0),
        )
        done = chunks.map(partial(run, keep=how.return_path), how.progress)
    result = _samples(done, sampler, grid, seed)
    if how.on_failure == "raise" and not bool(result.ok.all()):
        raise _failure(run, result, x, chunks)
    return result


def _name_and_grid(
    fields: Fields, x: Tensor, how: Sampling, cond: Condition, *, noisy: bool, acts: str
) -> tuple[str, npt.NDArray[np.float64]]:
    """Name of the solver and times in the order of travel; a fitted solver is checked against the run."""
    if isinstance(how.method, FittedSolver):
        _check_fitted(how, how.method, "eps > 0" if noisy else acts)
        how.method.check_model(fields, x, cond)
        return how.method.name, how.method.grid
    name = choose_method(fields, x, how.method, noisy=noisy)
    span: dict[str, Any] = {"start": how.start, "stop": how.stop, "reverse": how.reverse, "method": name}
    return name, run_grid(fields, how.n_steps, how.time_grid, noisy=noisy, **span)


def _sampler(course: Course, x: Tensor, acts: str, how: Sampling, level: NoiseLevel | None) -> Sampler:
    """The sampler of a run: SDE, adaptive, fitted, or with fixed steps."""
    tolerances = {name: getattr(how, name) for name in ("rtol", "atol") if getattr(how, name) is not None}
    if level is not None and course.method in ADAPTIVE:
        limits = {**tolerances, "max_steps": how.max_steps}
        return course.adaptive_sde(level, x, cap=how.cap_noise, **limits)
    if level is not None:
        return course.sde(level, x, cap=how.cap_noise)
    if isinstance(how.method, FittedSolver):
        return how.method.sampler(course.fields)
    if course.method in ADAPTIVE:
        given_times = not isinstance(how.time_grid, str)
        return course.adaptive(given_times, **tolerances, max_steps=how.max_steps)
    return fixed_sampler(course, x, acts, how.compiled)


def fixed_sampler(course: Course, x: Tensor, acting: str = "", compiled: int = 0) -> Sampler:
    """The sampler of a flow with fixed steps: transitions, with memory, or Runge-Kutta."""
    if course.method in TRANSITIONS:
        return course.transitions()
    if course.method not in available("multistep"):
        return course.ode(x, compiled)
    solver = get_solver(course.method)
    if acting and isinstance(solver, Multistep) and solver.corrects:
        remedy = "Use one that does not, e.g. 'exponential_ab2'."
        rule = f"{acting} need a solver that does not take a step again"
        raise invalid("sample", rule, repr(course.method), remedy)
    return course.multistep()


def _check_fitted(how: Sampling, solver: FittedSolver, acting: str) -> None:
    """Check that a fitted solver can make a run: the flow, forwards, from 0 to 1, and nothing between its steps."""
    usual = {f.name: f.default for f in fields_of(Sampling)}
    remedies = {
        "reverse": "A fitted solver runs forwards only; use a solver by name.",
        "compiled": "Use a Runge-Kutta solver by name.",
        **dict.fromkeys(("time_grid", "start", "stop", "finish"), "Omit it: the solver has its own times."),
    }
    for name, remedy in remedies.items():
        if not is_among(getattr(how, name), (usual[name],)):
            raise invalid(
                "sample", f"{name} must be {usual[name]!r} with a fitted solver", getattr(how, name), remedy
            )
    if how.n_steps not in (usual["n_steps"], len(solver)):
        rule = f"n_steps must be the {len(solver)} of the fitted solver"
        raise invalid("sample", rule, how.n_steps, "Omit it, or fit a solver with that many.")
    if acting:
        rule = f"{acting} must have a solver by name, as a fitted one holds for the flow alone"
        raise invalid("sample", rule, repr(solver), "For example, method='heun'.")


def _acting(how: Sampling, modifiers: Sequence[Modifier]) -> str:
    """Kind of the parts that act between steps; empty without such parts."""
    if how.corrector is not None or how.constraint is not None:
        return "correctors and constraints"
    return "modifiers" if modifiers else ""


def _check_adaptive(name: str, how: Sampling, acting: str) -> None:
    """Check that parts that act at common steps are not combined with separate steps per sample."""
    if name not in ADAPTIVE:
        return
    if name in available("adaptive_sde") and how.brownian != "nested":
        rule = "brownian='universal' needs fixed steps"
        raise invalid("sample", rule, repr(name), "Leave brownian at 'nested'.")
    if how.finish != "step":
        remedy = "An adaptive solver has no last step to replace: take stop < 1 or a fixed-step method."
        raise invalid("sample", f"finish={how.finish!r} needs fixed steps", repr(name), remedy)
    if acting:
        rule = f"{acting} need fixed steps"
        raise invalid("sample", rule, repr(name), "Use fixed steps, e.g. method='heun'.")


def _check_compiled(fields: Fields, name: str, acts: str, how: Sampling, *, noisy: bool) -> None:
    """Check that compiled steps are not combined with parts that need single steps, or would change them."""
    if noisy or name not in available("ode") or name in ADAPTIVE:
        remedy = "For example, use method='midpoint' with eps=0; or compile the network itself, torch.compile(net)."
        raise invalid(
            "sample", "compiled steps are those of a flow by a Runge-Kutta method", repr(name), remedy
        )
    if acts:
        raise invalid(
            "sample", "compiled steps must run without what sees every step", acts, "Leave one out."
        )
    if "velocity" not in fields.known:
        remedy = "Leave compiled at 0, or learn the velocity."
        raise invalid(
            "sample", "compiled steps need a velocity learnt as such", ", ".join(fields.known), remedy
        )
    if how.invariant:
        rule = "compiled steps may round a sample differently in another batch"
        raise invalid("sample", rule, "invariant=True", "Pass invariant=False with compiled.")


def _coupling(corrector: Langevin | None, modifiers: Sequence[Modifier]) -> list[str]:
    """Names of the parts that make a sample depend on the others of its batch."""
    named = [type(modifier).__name__ for modifier in modifiers if modifier.couples_rows]
    return [
        *named,
        *(["step_size='batch'"] if corrector is not None and corrector.step_size == "batch" else []),
    ]


def _whole_batch(coupling: Sequence[str], x: Tensor, how: Sampling) -> int | None:
    """The chunk: all rows at once where samples depend on each other."""
    if not coupling:
        return how.chunk
    if how.invariant or (how.chunk is not None and how.chunk < len(x)):
        remedy = "Pass invariant=False and no chunk."
        rule = f"{' and '.join(coupling)} makes a sample depend on its batch"
        raise invalid("sample", rule, "a cut batch", remedy)
    return len(x)


def check_call(
    who: str, x: Tensor, cond: Condition, first_index: int, chunk: int | None, on_failure: str
) -> None:
    """Check states, conditions and settings before the run."""
    if not isinstance(x, Tensor) or x.ndim < 2 or not x.is_floating_point():
        what = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise invalid(who, "x must be a floating-point tensor (B, *D)", what)
    if x.shape[0] < 1:
        raise invalid(who, "x must have at least one row", tuple(x.shape))
    if x.layout != torch.strided:
        raise invalid(who, "x must be dense", str(x.layout), "Call x.to_dense().")
    if not bool(torch.isfinite(x).all()):
        bad = (~torch.isfinite(x).reshape(x.shape[0], -1).all(1)).nonzero().flatten()
        raise invalid(who, "x must be finite", f"nan or inf in {len(bad)} rows, first row {int(bad[0])}")
    check_rows(who, cond, x.shape[0])
    whole(who, "first_index", first_index)
    if chunk is not None:
        whole(who, "chunk", chunk, at_least=1)
    one_of(who, "on_failure", on_failure, ("raise", "keep"))


def _samples(done: Arrival, sampler: Sampler, grid: npt.NDArray[np.float64], seed: int | None) -> Samples:
    path = None if done.path is None else done.path.transpose(0, 1).contiguous()
    times = torch.from_numpy(np.ascontiguousarray(grid))
    ends = path is None and isinstance(sampler, AdaptiveSampler) and not sampler.given_times
    return Samples(
        x=done.x,
        nfe=done.nfe,
        status=done.status,
        times=times[[0, -1]] if ends else times,
        method=sampler.method,
        seed=seed,
        path=path,
        rejected=done.rejected,
        eps=sampler.table.used(times) if isinstance(sampler, SdeSampler) else None,
        reports=done.reports,
    )


def _failure(run: Run, result: Samples, x: Tensor, chunks: Chunks) -> DivergedError:
    bad = (~result.ok).nonzero().flatten()
    row, code = int(bad[0]), Status(int(result.status[bad[0]]))
    share = f"{len(bad)} of {x.shape[0]} samples"
    if isinstance(run.sampler, AdaptiveSampler | AdaptiveSdeSampler):
        remedy = (
            "Loosen rtol and atol, raise max_steps, or use fixed steps; on_failure='keep' returns the rest."
        )
        ended = f"{result.method} ended with {code.name.lower()} for {share}, first row {row}"
        return DivergedError(f"sample: {ended}. {remedy}")
    when = _first_bad_time(run, chunks, row)
    remedy = (
        "Use more steps or a smaller eps, and check the fields there; on_failure='keep' returns the rest."
    )
    where = f"row {row} at t={float(result.times[-1] if when is None else when):.6g}"
    return DivergedError(f"sample: {share} became NaN or infinite, {where}. {remedy}")


def _first_bad_time(run: Run, chunks: Chunks, row: int) -> float | None:
    """Run the failing chunk again, noise and all, and watch the row; None if the step to the mean end point failed."""
    found: list[float] = []
    chunk = next(chunk for chunk in chunks if chunk.rows.start <= row < chunk.rows.stop)
    lane = chunk.own.start + row - chunk.rows.start

    def watch(n: int, t: Tensor, state: Tensor) -> None:
        if not found and not bool(torch.isfinite(state[lane]).all()):
            found.append(float(t))

    with torch.no_grad():
        run(chunk, watch=watch)
    return found[0] if found else None
