"""Samplers: what carries a chunk of samples along a grid of times. ODE, adaptive ODE, SDE, transitions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.dynamics.brownian_path import UniversalBrownianPath
from interpolants.dynamics.compiled_steps import integrate_compiled
from interpolants.dynamics.gamma_rates import GammaRates
from interpolants.dynamics.multistep import Plan, run_strides
from interpolants.dynamics.noise import NoiseTable
from interpolants.dynamics.transitions import NOISY, TRANSITIONS, Move, make_moves, terms_of
from interpolants.fields.protocol import Combined, Fields, weighted_sum
from interpolants.foundations.brownian import BrownianPath
from interpolants.foundations.chunks import Chunks
from interpolants.foundations.clock import clock
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.ops import time_dtype
from interpolants.foundations.randomness import BLOCK, BlockNoise
from interpolants.foundations.types import Condition, take_rows
from interpolants.paths.bases import Basis
from interpolants.solvers.adaptive import Status, integrate_adaptive
from interpolants.solvers.adaptive_heun import AdaptiveHeun
from interpolants.solvers.adaptive_sde import Node, integrate_sde_adaptive
from interpolants.solvers.fixed import OnStep, integrate_fixed
from interpolants.solvers.registry import available, get_solver
from interpolants.solvers.sde import SdeSolver, Strength, integrate_sde, noise_strengths
from interpolants.solvers.tableau import RungeKutta

# Shared with the weights of paths in `likelihood`: at one seed they see the paths that sampling draws.
BROWNIAN_STREAM = "brownian"
# Adaptive steps take the nodes of a tree, not the levels of a grid.
TREE_STREAM = "brownian tree"
ADAPTIVE = ("dopri5", "tsit5", "adaptive_heun")
# Midpoint and not Heun: the field at the end of a step is rough, or infinite, where the step is the last.
_ODE, _SDE = "midpoint", "stochastic_heun"
# With noise, the short names mean the matching SDE scheme.
_WITH_NOISE = {"euler": "euler_maruyama", "heun": "stochastic_heun"}
Velocity = Callable[[Tensor, Tensor], Tensor]
# The velocity in two parts: what the path's ends do, and what is to be multiplied by the rate of gamma.
_APART = ("mean_rate", "noise")


class Arrival(NamedTuple):
    """Result for a chunk; as in ``Samples``, but rows come first everywhere: ``path`` is ``(b, n + 1, *D)``."""

    x: Tensor
    nfe: int | Tensor
    status: Tensor
    path: Tensor | None = None
    rejected: Tensor | None = None
    reports: tuple[dict[str, Tensor], ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Sampler(ABC):
    """A way to carry samples along a grid.

    Args:
        fields: Fields that are asked.
        grid: Times ``(n + 1,)`` in the order of travel.
        method: Name of the solver or transition.
        ticks: All times at which a solver will ask the fields, as it will hand them over.
    """

    own_times: ClassVar[bool] = False  # whether each row has a time of its own

    fields: Fields
    grid: npt.NDArray[np.float64]
    method: str
    ticks: Sequence[Tensor] = ()

    @abstractmethod
    def run(self, x: Tensor, cond: Condition, first: int, *, keep: bool, on_step: OnStep | None) -> Arrival:
        """Propagate states ``(b, *D)``.

        Args:
            x: States at the first time.
            cond: Their conditions.
            first: Index of the first row in the whole job.
            keep: Keep the states at all times.
            on_step: Called after every step with its number, the time and the states, which it may replace.
        """

    def field(self, cond: Condition) -> Velocity:
        """The function of state and time that is integrated; here the velocity."""
        if "velocity" in self.fields.known:  # nothing to work out
            return self.fields.velocity_of(cond)
        return partial(self._flow, cond=cond)

    @cached_property
    def _flow(self) -> Combined:
        rates = self._gamma_rates
        if rates is None:
            return self.fields.combined(("velocity",), lambda t: (1.0,), self.ticks)
        return self.fields.combined(_APART, lambda t: (1.0, rates.at(t)), self.ticks)

    @cached_property
    def _gamma_rates(self) -> GammaRates | None:
        """For steps that take the increment of gamma itself, where the fields allow it and steps are fixed."""
        path, fixed = self.fields.path, bool(self.ticks)
        if path is None or not (fixed and self.fields.knows_latent_apart):
            return None
        return GammaRates(path, self.method, self.grid)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without functions computed on first use, which cannot be passed to other processes."""
        return {name: value for name, value in vars(self).items() if name in self.__dataclass_fields__}

    def on(self, fields: Fields) -> Self:
        """The same sampler over other fields."""
        return self if fields is self.fields else replace(self, fields=fields)

    def chunks(
        self,
        x: Tensor,
        given: Condition,
        *,
        chunk: int | None,
        first_index: int,
        invariant: bool,
        cond_of: Callable[[Condition], Condition] = lambda given: given,
        own_times: bool | None = None,
    ) -> Chunks:
        """Split ``x`` into chunks.

        Args:
            x: States of the whole batch, ``(B, *D)``.
            given: What is given with each row.
            chunk: As in ``Chunks``.
            first_index: As in ``Chunks``.
            invariant: As in ``Chunks``.
            cond_of: Finds the fields' condition in what is given.
            own_times: Whether the fields are asked with a time for each row, which networks treat by other products;
                as this sampler does it, by default.
        """
        # A time of the run: a schedule of its steps may know no other.
        steps = len(self.grid) - 1
        middle = self.grid[steps // 2] if steps > 1 else self.grid.mean()
        time = torch.full((), float(middle), dtype=time_dtype(x)).to(x.device)

        own = self.own_times if own_times is None else own_times

        def ask(states: Tensor, some: Condition) -> Tensor:
            return self.field(cond_of(some))(states, time.expand(len(states)) if own else time)

        owner, how = self.fields.rounded_by
        return Chunks(
            owner,
            ask,
            x,
            given,
            networks=self.fields.networks,
            chunk=chunk,
            first_index=first_index,
            invariant=invariant,
            how=f"{how}{', own times' if own else ''}{'' if given is None else ', given'}",
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class OdeSampler(Sampler):
    """The probability flow by a Runge-Kutta method with fixed steps.

    Args:
        per_call: Steps that one call of a compiled function makes; 0 compiles nothing.
    """

    per_call: int = 0

    def run(self, x: Tensor, cond: Condition, first: int, *, keep: bool, on_step: OnStep | None) -> Arrival:
        """Propagate states; see :class:`Sampler`."""
        solver = get_solver(self.method)
        assert isinstance(solver, RungeKutta)
        if self.per_call:
            assert on_step is None
            assert not keep
            done = integrate_compiled(self.fields, x, self.grid, solver, cond, per_call=self.per_call)
        else:
            done = integrate_fixed(self.field(cond), x, self.grid, solver, on_step=on_step, return_path=keep)
        return Arrival(done.x, done.nfe, arrival_status(done.x), _rows_first(done.path))


@dataclass(frozen=True, eq=False, kw_only=True)
class AdaptiveSampler(Sampler):
    """The probability flow with steps of its own for every sample.

    Args:
        given_times: Whether the times of the grid were asked for: else the two ends alone are reported.
        rtol: Relative tolerance.
        atol: Absolute tolerance, in data units.
        max_steps: Most steps per sample.
    """

    own_times: ClassVar[bool] = True

    given_times: bool = False
    rtol: float = 1e-5
    atol: float = 1e-5
    max_steps: int = 10_000

    def run(self, x: Tensor, cond: Condition, first: int, *, keep: bool, on_step: OnStep | None) -> Arrival:
        """See :class:`Sampler`; there are no common steps, so ``on_step`` must be None."""
        assert on_step is None
        rows: list[Tensor] = []
        evaluate, want = self.fields.evaluate, ("velocity",)

        def velocity(state: Tensor, t: Tensor) -> Tensor:
            return evaluate(state, t, want, take_rows(cond, rows[0]))["velocity"]

        solver: Any = get_solver(self.method)
        done = integrate_adaptive(
            velocity if cond is not None else self.field(None),
            x,
            float(self.grid[0]),
            float(self.grid[-1]),
            solver,
            rtol=self.rtol,
            atol=self.atol,
            max_steps=self.max_steps,
            pad=min(len(x), BLOCK),
            times=self.grid if keep or (self.given_times and len(self.grid) > 2) else None,
            on_lanes=(lambda row: rows.__setitem__(slice(None), [row])) if cond is not None else None,
        )
        return Arrival(done.x, done.nfe, done.status, _rows_first(done.path if keep else None), done.rejected)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Driven(Sampler):
    """A sampler that draws a Brownian motion for every sample.

    Args:
        seed: Seed of the noise.
        brownian: Which grids see the same motion, ``"nested"`` or ``"universal"``.
    """

    seed: int
    brownian: str = "nested"

    def driving(
        self, x: Tensor, first: int, levy_area: bool = False
    ) -> Iterable[tuple[Tensor, Tensor | None]]:
        """The increments over the steps, shared with grids of twice the steps or with all grids."""

        def noise(level: int) -> BlockNoise:
            return BlockNoise.like(x, self.seed, BROWNIAN_STREAM, level, first=first)

        if self.brownian == "nested":
            return BrownianPath(self.grid, noise, levy_area=levy_area)
        return UniversalBrownianPath(self.grid, noise, levy_area=levy_area)


@dataclass(frozen=True, eq=False, kw_only=True)
class SdeSampler(_Driven):
    """The SDE with drift ``b + eps s`` forwards, ``b - eps s`` backwards.

    Args:
        table: The noise level on the grid.
        quiet_end: Leave out the noise of the last step.
    """

    table: NoiseTable
    quiet_end: bool = False

    def _strengths(self, x: Tensor) -> Sequence[Strength]:
        """The noise on the grid, worked out once for states of a type."""
        known, key = self._known_strengths, (x.dtype, x.device)
        if key not in known:
            known[key] = noise_strengths(self.table.strength, self.grid, x)
        return known[key]

    @cached_property
    def _known_strengths(self) -> dict[tuple[torch.dtype, torch.device], Sequence[Strength]]:
        return {}

    @property
    def solver(self) -> SdeSolver:
        """Scheme of the SDE."""
        solver = get_solver(self.method)
        assert isinstance(solver, SdeSolver)
        return solver

    def field(self, cond: Condition) -> Velocity:
        """The drift, from whichever of score and noise stays finite."""
        return partial(self._drift, cond=cond)

    @cached_property
    def _drift(self) -> Combined:
        fields, table, sign = self.fields, self.table, 1.0 if self.grid[0] < self.grid[-1] else -1.0
        by_score = fields.bounded_quantity == "score"
        base = None if fields.path is None else fields.path.base
        scale = 1.0 if base is None else base.shared_scale
        if by_score or scale is not None:
            name, sign = ("score", sign) if by_score or scale is None else ("noise", -sign / scale)

            def weights(t: Tensor) -> tuple[float, Tensor]:
                return 1.0, sign * table.weight(t, of_score=by_score)

            rates = self._gamma_rates
            if rates is not None and name == "noise":
                return fields.combined(
                    _APART, lambda t: (1.0, rates.at(t) + weights(t)[1].double()), self.ticks
                )
            return fields.combined(("velocity", name), weights, self.ticks)

        assert isinstance(base, Gaussian)  # else the score is learnt, and by_score

        def drift_with_base(x: Tensor, t: Tensor, cond: Condition) -> Tensor:
            values = fields.evaluate(x, t, ("velocity", "noise"), cond)
            noise = base.inverse_root_transpose(values["noise"])
            return weighted_sum([(values["velocity"], 1.0), (noise, -sign * table.weight(t, of_score=False))])

        return drift_with_base

    def run(self, x: Tensor, cond: Condition, first: int, *, keep: bool, on_step: OnStep | None) -> Arrival:
        """Propagate states; see :class:`Sampler`."""
        brownian = self.driving(x, first, self.solver.levy_area)
        return self.driven_by(brownian, x, cond, keep=keep, on_step=on_step)

    def driven_by(
        self,
        brownian: Iterable[tuple[Tensor, Tensor | None]],
        x: Tensor,
        cond: Condition,
        *,
        keep: bool = False,
        on_step: OnStep | None = None,
    ) -> Arrival:
        """Propagate states along a given Brownian path, as increment and Levy area of each step; see :meth:`run`."""
        solver, drift = self.solver, self.field(cond)
        basis = None if self.fields.path is None else self.fields.path.basis
        if basis is not None:  # in its coordinates the noise is independent between entries
            drift, on_step = _drift_in(basis, drift), _watch_in(basis, on_step)
            x = basis.forward(x).to(x.dtype)
        if self.quiet_end:
            brownian = _quiet_end(brownian, len(self.grid) - 1)
        done = integrate_sde(
            drift, self._strengths(x), x, self.grid, solver, brownian, on_step=on_step, return_path=keep
        )
        end, path = done.x, done.path
        if basis is not None:
            end = basis.inverse(end).to(x.dtype)
            path = None if path is None else torch.stack([basis.inverse(state).to(x.dtype) for state in path])
        return Arrival(end, done.nfe, arrival_status(end), _rows_first(path))


@dataclass(frozen=True, eq=False, kw_only=True)
class AdaptiveSdeSampler(SdeSampler):
    """The SDE with separate steps for every sample, halvings of those of the grid.

    The noise of a sample belongs to the places of the tree of halvings and to its own row, so that it does not depend
    on the steps of other samples. The noise level is one function of time, whatever the steps: ``table`` is tabulated
    on a finer grid.

    Args:
        steps: Tolerances and limits.
    """

    steps: AdaptiveHeun

    def run(self, x: Tensor, cond: Condition, first: int, *, keep: bool, on_step: OnStep | None) -> Arrival:
        """See :class:`Sampler`; there are no common steps, so ``on_step`` must be None."""
        assert on_step is None
        rows: list[Tensor] = []
        basis = None if self.fields.path is None else self.fields.path.basis

        def drift(state: Tensor, t: Tensor) -> Tensor:
            return self._drift(state, t, take_rows(cond, rows[0]))

        velocity: Velocity = self.field(None) if cond is None else drift
        start = x if basis is None else basis.forward(x).to(x.dtype)
        result = integrate_sde_adaptive(
            velocity if basis is None else _drift_in(basis, velocity),
            partial(self._strength, state=start),
            start,
            self.grid,
            partial(self._normal, start, first),
            replace(self.steps, pad=min(len(x), BLOCK)),
            return_path=keep,
            on_lanes=None if cond is None else lambda lanes: rows.__setitem__(slice(None), [lanes]),
        )
        end, path = result.x, result.path
        if basis is not None:
            end = basis.inverse(end).to(x.dtype)
            path = None if path is None else torch.stack([basis.inverse(state).to(x.dtype) for state in path])
        return Arrival(end, result.nfe, result.status, _rows_first(path), result.rejected)

    def _strength(self, t: float, state: Tensor) -> Strength:
        strength = torch.sqrt(2 * self.table.eps(torch.tensor(t, dtype=torch.float64)))
        return strength.to(state) if strength.ndim else float(strength)

    def _normal(self, x: Tensor, first: int, node: Node, rows: Tensor) -> Tensor:
        """Normal numbers of a node, drawn from the first to the last of the rows that need it."""
        low, high = int(rows.min()), int(rows.max())
        noise = BlockNoise.like(x[low : high + 1], self.seed, TREE_STREAM, *node, first=first + low)
        noise.expect(1)
        return noise.normal()[rows - low]


@dataclass(frozen=True, eq=False, kw_only=True)
class TransitionSampler(_Driven):
    """Steps by the path's own coefficients; see ``dynamics.transitions``.

    Args:
        moves: One per step.
    """

    moves: list[Move]

    def run(self, x: Tensor, cond: Condition, first: int, *, keep: bool, on_step: OnStep | None) -> Arrival:
        """Propagate states; see :class:`Sampler`."""
        draws = self._normals(x, first) if self.method in NOISY else ()
        ticks = clock(self.grid, x)
        total = self._total(ticks)
        arrived, path = make_moves(
            self.fields, self.moves, x, ticks, cond, draws, total=total, on_step=on_step, return_path=keep
        )
        return Arrival(arrived, len(self.moves), arrival_status(arrived), _rows_first(path))

    def _total(self, ticks: Sequence[Tensor]) -> Combined:
        """Combination of the fields in the moves, computed once for times of a type."""
        known, key = self._known_totals, ticks[0].dtype
        if key not in known:
            known[key] = terms_of(self.fields, self.moves, ticks)
        return known[key]

    @cached_property
    def _known_totals(self) -> dict[torch.dtype, Combined]:
        return {}

    def _normals(self, x: Tensor, first: int) -> Iterator[Tensor]:
        """The motion's increments, standardised."""
        for (dw, _), h in zip(self.driving(x, first), np.diff(self.grid), strict=True):
            yield dw.mul_(float(h) ** -0.5)


@dataclass(frozen=True, eq=False, kw_only=True)
class MultistepSampler(Sampler):
    """The probability flow by a solver that remembers earlier evaluations; see ``dynamics.multistep``.

    Args:
        plan: The steps.
    """

    plan: Plan

    def run(self, x: Tensor, cond: Condition, first: int, *, keep: bool, on_step: OnStep | None) -> Arrival:
        """See :class:`Sampler`; memory begins anew with every call."""
        end, path = run_strides(self.fields, self.plan, x, self.grid, cond, on_step=on_step, return_path=keep)
        return Arrival(end, len(self.plan.strides), arrival_status(end), _rows_first(path))


def find_method(method: str | None, noisy: bool) -> str:
    """The solver that was asked for, by its own name; refuses one that is unknown or of the other kind."""
    name = (_SDE if noisy else _ODE) if method is None else method
    if noisy and isinstance(name, str):
        name = _WITH_NOISE.get(name, name)
    options = _noisy_methods() if noisy else _flow_methods()
    if not isinstance(name, str):
        raise invalid(
            "sample", "method must be the name of a solver", repr(name), f"One of: {', '.join(options)}."
        )
    if name in options:
        return name
    if noisy and name in NOISY:
        raise invalid("sample", f"method={method!r} has its own noise", "eps > 0", "Leave eps at 0.")
    if name in (*available(), *TRANSITIONS):
        kind = "eps > 0 needs an SDE solver" if noisy else "eps = 0 needs an ODE solver"
        raise invalid("sample", kind, repr(name), f"One of: {', '.join(options)}.")
    raise invalid("sample", "method must be a known solver", repr(name), nearest(str(name), options))


def _noisy_methods() -> list[str]:
    return [*available("sde"), *available("adaptive_sde")]


def _flow_methods() -> list[str]:
    return [*available("ode"), *available("multistep"), *TRANSITIONS]


def arrival_status(*parts: Tensor) -> Tensor:
    """``Status`` codes: success where every part of a row is finite, ``(b,)``."""
    good = [torch.isfinite(part.detach()).reshape(part.shape[0], -1).all(1) for part in parts]
    return torch.where(torch.stack(good).all(0), int(Status.OK), int(Status.NONFINITE))


def _rows_first(path: Tensor | None) -> Tensor | None:
    return None if path is None else path.transpose(0, 1)


def _quiet_end(
    brownian: Iterable[tuple[Tensor, Tensor | None]], steps: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The same noise, but for the last step, which has none."""
    for n, (dw, area) in enumerate(brownian, start=1):
        yield (dw, area) if n < steps else (dw.zero_(), None if area is None else area.zero_())


def _drift_in(basis: Basis, drift: Velocity) -> Velocity:
    """A drift of states as one of coordinates."""
    return lambda u, t: basis.forward(drift(basis.inverse(u).to(u.dtype), t)).to(u.dtype)


def _watch_in(basis: Basis, on_step: OnStep | None) -> OnStep | None:
    """A watcher of states as one of coordinates."""
    if on_step is None:
        return None

    def watch(n: int, t: Tensor, u: Tensor) -> Tensor | None:
        replaced = on_step(n, t, basis.inverse(u).to(u.dtype))
        return None if replaced is None else basis.forward(replaced).to(u.dtype)

    return watch
