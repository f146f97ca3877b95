"""One sampling job: solver, drift and grid, set up once and applied to one chunk of samples after another."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.dynamics.between_steps import AfterStep, AfterStepOver, Constraint, OnStep
from interpolants.dynamics.correctors import Langevin
from interpolants.dynamics.grids import spacing_for
from interpolants.dynamics.grids import time_grid as make_grid
from interpolants.dynamics.noise import NoiseTable, as_noise
from interpolants.dynamics.transitions import NOISY, TRANSITIONS, make_moves, transitions
from interpolants.fields.protocol import Combined, Fields, weighted_sum
from interpolants.foundations.brownian import BrownianPath
from interpolants.foundations.brownian_path import UniversalBrownianPath
from interpolants.foundations.checks import one_of
from interpolants.foundations.chunks import Chunks
from interpolants.foundations.clock import clock
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.invariance import SMALLEST
from interpolants.foundations.ops import time_dtype
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.types import Condition, take_rows
from interpolants.paths.bases import Basis
from interpolants.solvers.adaptive import Status, integrate_adaptive
from interpolants.solvers.fixed import integrate_fixed
from interpolants.solvers.registry import available, get_solver
from interpolants.solvers.sde import SdeSolver, integrate_sde
from interpolants.solvers.tableau import RungeKutta

# Streams of one seed: numbers that tell its uses apart.
# Shared with the weights of paths in `likelihood`: at one seed they see the paths that sampling draws.
BROWNIAN_STREAM = "brownian"
FINISHES = ("step", "mean", "denoise")
# Midpoint and not Heun: the field at the end of a step is rough, or infinite, where the step is the last.
_ODE, _SDE = "midpoint", "stochastic_heun"
# With noise, the short names mean the matching SDE scheme.
_WITH_NOISE = {"euler": "euler_maruyama", "heun": "stochastic_heun"}


@dataclass
class Part:
    """Result of one chunk; fields as in ``Samples``."""

    x: Tensor
    nfe: int | Tensor
    status: Tensor
    path: Tensor | None
    rejected: Tensor | None

    def cut(self, lead: int, count: int) -> "Part":
        """Drop padding before and after."""
        rows = slice(lead, lead + count)
        if lead == 0 and self.x.shape[0] == count:
            return self
        nfe = self.nfe if isinstance(self.nfe, int) else self.nfe[rows]
        path = None if self.path is None else self.path[:, rows]
        rejected = None if self.rejected is None else self.rejected[rows]
        return Part(self.x[rows], nfe, self.status[rows], path, rejected)


class Job:
    """Settings of a sampling job, resolved once for all chunks."""

    seed: int | None = None
    rtol: float = 1e-5
    atol: float = 1e-5
    max_steps: int = 10_000
    brownian: str = "nested"

    def __init__(
        self,
        fields: Fields,
        x: Tensor,
        eps: Any,
        reverse: bool,
        method: str | None,
        n_steps: int,
        spacing: Any,
        finish: str,
        start: float,
        stop: float,
        cap: bool,
    ) -> None:
        self.fields, self.reverse = fields, reverse
        self.noise = as_noise(eps)
        if self.noise is not None and not fields.has_score:
            fields.evaluate(
                x[:1], torch.zeros((), dtype=torch.float32), ("score",)
            )  # raises, and says what to learn
            raise invalid("sample", "eps > 0 needs fields with a score", "none", "Use eps=0.")
        if method is None and self.noise is None and fields.path is not None:
            method = fields.path.own_solver
        self.method = find_method(method, self.noise is not None)
        one_of("sample", "finish", finish, FINISHES)
        self.finish = finish
        adaptive = self.method in ("dopri5", "tsit5")
        if adaptive and finish != "step":
            remedy = "An adaptive solver has no last step to replace: take stop < 1 or a fixed-step method."
            raise invalid("sample", f"finish={finish!r} needs fixed steps", repr(self.method), remedy)
        derived = "velocity" not in fields.known
        noisy = self.noise is not None or derived
        chosen = spacing_for(fields.path, n_steps, spacing, start=start, stop=stop, noisy=noisy)
        grid = make_grid(n_steps, chosen, start=start, stop=stop)
        self.output_times = grid[::-1].copy() if reverse else grid
        self.grid = self.output_times[[0, -1]] if adaptive and isinstance(spacing, str) else self.output_times
        self.adaptive = adaptive
        self.table: NoiseTable | None = None
        if self.noise is not None:
            self._ticks = clock(self.grid, x)
            self.table = NoiseTable(self.noise, fields.path, self.grid, cap=cap, size=x[0].numel())
        quiet = finish == "mean"
        chain = self.method in TRANSITIONS
        self.moves = transitions(fields, self.method, self.grid, quiet_end=quiet) if chain else None
        self.after = AfterStep(fields, self.grid, None, None, quiet_end=False)

    def then(self, corrector: Langevin | None, constraint: Constraint | None) -> None:
        """Work between the steps: corrector steps, and what is known of the samples put back."""
        if self.adaptive and not (corrector is None and constraint is None):
            remedy = "Take fixed steps, e.g. method='heun'."
            raise invalid("sample", "correctors and constraints need fixed steps", repr(self.method), remedy)
        quiet = self.finish != "step"
        self.after = AfterStep(self.fields, self.grid, corrector, constraint, quiet_end=quiet)

    @property
    def is_random(self) -> bool:
        """Whether noise is drawn."""
        return self.noise is not None or self.method in NOISY or not self.after.is_idle

    def velocity(self, cond: Condition) -> Callable[[Tensor, Tensor], Tensor]:
        """The probability flow's velocity as the solvers want it."""
        return self.fields.velocity_of(cond)

    def drift(self, cond: Condition) -> Callable[[Tensor, Tensor], Tensor]:
        """``b + eps s`` forwards, ``b - eps s`` backwards, from whichever of score and noise stays finite."""
        drift = self._drift
        return lambda x, t: drift(x, t, cond)

    @cached_property
    def _drift(self) -> Combined:
        fields, table, sign = self.fields, self.table, -1.0 if self.reverse else 1.0
        assert table is not None
        by_score = fields.bounded_quantity == "score"
        base = None if fields.path is None else fields.path.base
        scale = 1.0 if base is None else base.shared_scale
        if by_score or scale is not None:
            name, sign = ("score", sign) if by_score or scale is None else ("noise", -sign / scale)

            def weights(t: Tensor) -> tuple[float, Tensor | float]:
                return 1.0, sign * table.weight(t, of_score=by_score)

            return fields.combined(("velocity", name), weights, self._ticks)

        assert isinstance(base, Gaussian)  # else the score is learnt, and by_score

        def drift_with_base(x: Tensor, t: Tensor, cond: Condition) -> Tensor:
            values = fields.evaluate(x, t, ("velocity", "noise"), cond)
            noise = base.inverse_root_transpose(values["noise"])
            return weighted_sum([(values["velocity"], 1.0), (noise, -sign * table.weight(t, of_score=False))])

        return drift_with_base

    def cut(self, x: Tensor, cond: Condition, chunk: int | None, first_index: int, invariant: bool) -> Chunks:
        """Chunks of ``x``: see :class:`~interpolants.foundations.chunks.Chunks`."""
        time = torch.full((), float(self.grid.mean()), dtype=time_dtype(x)).to(x.device)

        def call(states: Tensor, given: Condition) -> Tensor:
            given, _ = self._apart(given)
            field = self.velocity(given) if self.noise is None else self.drift(given)
            return field(states, time)

        return Chunks(
            self.fields,
            call,
            x,
            cond,
            networks=self.fields.networks,
            chunk=chunk,
            first_index=first_index,
            invariant=invariant,
        )

    def together(self, cond: Condition, known: Condition) -> Condition:
        """The condition with what a constraint knows, to be cut into chunks as one."""
        return cond if self.after.constraint is None else (cond, known)

    def _apart(self, given: Condition) -> tuple[Condition, Condition]:
        return (given, None) if self.after.constraint is None else given

    def run(self, x: Tensor, cond: Condition, first: int, *, keep: bool, on_step: Any = None) -> Part:
        """Integrate one chunk whose first row has index ``first``; ``cond`` is a part of :meth:`together`."""
        cond, known = self._apart(cond)
        after = self.after.over(x, cond, known, first, 0 if self.seed is None else self.seed)
        x, on_step = after.start(x), after.hook(on_step)
        grid = self.grid[:-1] if self.finish == "denoise" else self.grid
        if self.adaptive:
            part = self._run_adaptive(x, cond, keep)
        elif len(grid) < 2:  # one step, and that one is the denoising one
            part = Part(x, 0, _status(x), x[None] if keep else None, None)
        elif self.moves is not None:
            part = self._run_moves(x, cond, first, grid, keep, on_step)
        elif self.noise is None:
            solver = get_solver(self.method)
            assert isinstance(solver, RungeKutta)
            done = integrate_fixed(self.velocity(cond), x, grid, solver, on_step=on_step, return_path=keep)
            part = Part(done.x, done.nfe, _status(done.x), done.path, None)
        else:
            part = self._run_sde(x, cond, first, grid, keep, on_step)
        if not self.after.is_idle:
            part.nfe += self.after.nfe
        return self._finished(part, cond, after) if self.finish == "denoise" else part

    def _run_moves(
        self, x: Tensor, cond: Condition, first: int, grid: Any, keep: bool, on_step: OnStep | None
    ) -> Part:
        assert self.moves is not None
        moves = self.moves[: len(grid) - 1]
        draws = self._normals(x, first, grid) if self.method in NOISY else ()
        arrived, path = make_moves(
            self.fields, moves, x, clock(np.asarray(grid), x), cond, draws, on_step=on_step, return_path=keep
        )
        return Part(arrived, len(moves), _status(arrived), path, None)

    def _normals(self, x: Tensor, first: int, grid: Any) -> Iterator[Tensor]:
        """A Brownian motion's increments over the steps, standardised."""
        for (dw, _), h in zip(self._driving(grid, self._noise_of(x, first)), np.diff(grid), strict=True):
            yield dw.mul_(float(h) ** -0.5)

    def _run_sde(
        self, x: Tensor, cond: Condition, first: int, grid: Any, keep: bool, on_step: OnStep | None
    ) -> Part:
        solver = get_solver(self.method)
        assert isinstance(solver, SdeSolver)
        assert self.table is not None
        brownian = self._driving(grid, self._noise_of(x, first), solver)
        basis = None if self.fields.path is None else self.fields.path.basis
        drift = self.drift(cond)
        if basis is not None:  # in its coordinates the noise is independent between entries
            drift, on_step = _drift_in(basis, drift), _watch_in(basis, on_step)
            x = basis.forward(x).to(x.dtype)
        done = integrate_sde(
            drift,
            self.table.strength,
            x,
            grid,
            solver,
            _quiet_end(brownian, len(grid) - 1) if self.finish == "mean" else brownian,
            on_step=on_step,
            return_path=keep,
        )
        end, path = done.x, done.path
        if basis is not None:
            end = basis.inverse(end).to(x.dtype)
            path = None if path is None else torch.stack([basis.inverse(state).to(x.dtype) for state in path])
        return Part(end, done.nfe, _status(end), path, None)

    def _noise_of(self, x: Tensor, first: int) -> Callable[[int], BlockNoise]:
        """The samples' own noise, by level of refinement."""
        assert self.seed is not None
        seed = self.seed
        return lambda level: BlockNoise.like(x, seed, BROWNIAN_STREAM, level, first=first)

    def _driving(
        self, grid: Any, noise: Callable[[int], BlockNoise], solver: SdeSolver | None = None
    ) -> Iterable[tuple[Tensor, Tensor | None]]:
        """The Brownian motion, shared with grids of twice the steps or with all grids."""
        levy_area = solver is not None and solver.levy_area
        if self.brownian == "nested":
            return BrownianPath(grid, noise, levy_area=levy_area)
        if solver is not None and levy_area:
            rule = f"brownian='universal' gives no Levy area, which {solver.name} needs"
            raise invalid("sample", rule, repr(self.brownian), "Take 'euler', 'heun', or brownian='nested'.")
        return UniversalBrownianPath(grid, noise)

    def _run_adaptive(self, x: Tensor, cond: Condition, keep: bool) -> Part:
        rows: list[Tensor] = []
        evaluate, want = self.fields.evaluate, ("velocity",)

        def velocity(state: Tensor, t: Tensor) -> Tensor:
            return evaluate(state, t, want, take_rows(cond, rows[0]))["velocity"]

        solver: Any = get_solver(self.method)
        times = self.output_times if keep else (self.grid if len(self.grid) > 2 else None)
        done = integrate_adaptive(
            velocity if cond is not None else self.velocity(None),
            x,
            float(self.grid[0]),
            float(self.grid[-1]),
            solver,
            rtol=self.rtol,
            atol=self.atol,
            max_steps=self.max_steps,
            pad=SMALLEST,
            times=times,
            on_lanes=(lambda row: rows.__setitem__(slice(None), [row])) if cond is not None else None,
        )
        return Part(done.x, done.nfe, done.status, done.path if keep else None, done.rejected)

    def _finished(self, part: Part, cond: Condition, after: AfterStepOver) -> Part:
        """The last step of the grid, replaced by the mean end point."""
        quantity = "endpoint0" if self.reverse else "denoised"
        t = torch.as_tensor(self.grid[-2], dtype=time_dtype(part.x)).to(part.x.device)
        x = self.fields.evaluate(part.x, t, (quantity,), cond)[quantity]
        x = after.result(torch.full_like(t, 0.0 if self.reverse else 1.0), x)
        path = None if part.path is None else torch.cat([part.path, x[None]])
        return Part(x, part.nfe + 1, _status(x), path, None)


def _quiet_end(
    brownian: Iterable[tuple[Tensor, Tensor | None]], steps: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The same noise, but for the last step, which has none."""
    for n, (dw, area) in enumerate(brownian, start=1):
        yield (dw, area) if n < steps else (dw.zero_(), None if area is None else area.zero_())


def _drift_in(basis: Basis, drift: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A drift of states as one of coordinates."""
    return lambda u, t: basis.forward(drift(basis.inverse(u).to(u.dtype), t)).to(u.dtype)


def _watch_in(basis: Basis, on_step: Any) -> Any:
    """A watcher of states as one of coordinates."""
    if on_step is None:
        return None

    def watch(n: int, t: Tensor, u: Tensor) -> Tensor | None:
        replaced = on_step(n, t, basis.inverse(u).to(u.dtype))
        return None if replaced is None else basis.forward(replaced).to(u.dtype)

    return watch


def find_method(method: str | None, noisy: bool) -> str:
    """The solver that was asked for, by its own name; refuses one that is unknown or of the other kind."""
    name = (_SDE if noisy else _ODE) if method is None else method
    if noisy:
        name = _WITH_NOISE.get(name, name)
    options = available("sde") if noisy else [*available("ode"), *TRANSITIONS]
    if name in options:
        return name
    if noisy and name in NOISY:
        raise invalid("sample", f"method={name!r} has its own noise", "eps > 0", "Leave eps at 0.")
    if name in (*available(), *TRANSITIONS):
        kind = "eps > 0 needs an SDE solver" if noisy else "eps = 0 needs an ODE solver"
        raise invalid("sample", kind, repr(name), f"One of: {', '.join(options)}.")
    raise invalid("sample", "method must be a known solver", repr(name), nearest(str(name), options))


def _status(x: Tensor) -> Tensor:
    good = torch.isfinite(x.detach()).reshape(x.shape[0], -1).all(1)
    return torch.where(good, int(Status.OK), int(Status.NONFINITE))
