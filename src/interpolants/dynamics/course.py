"""Plan of a run, independent of the states: its method, its times, and the resulting sampler."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.dynamics.grids import spacing_for, time_grid
from interpolants.dynamics.multistep import plan_strides
from interpolants.dynamics.noise import NoiseLevel, NoiseTable
from interpolants.dynamics.samplers import (
    AdaptiveSampler,
    AdaptiveSdeSampler,
    MultistepSampler,
    OdeSampler,
    SdeSampler,
    TransitionSampler,
    find_method,
)
from interpolants.dynamics.transitions import transitions
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.solvers.adaptive_heun import AdaptiveHeun
from interpolants.solvers.fixed import stage_clock
from interpolants.solvers.multistep import Multistep
from interpolants.solvers.registry import get_solver
from interpolants.solvers.sde import SdeSolver

# Times of the noise level to one step of the grid, where steps are halved.
_FINER = 64
FINISHES = ("step", "mean", "denoise")


def choose_method(fields: Fields, x: Tensor, method: str | None, *, noisy: bool) -> str:
    """The solver by its own name: the one that was asked for, the path's own, or the default.

    Raises:
        InvalidInputError: If it is unknown or of the other kind.
        NotIdentifiableError: If there must be noise and the fields have no score.
    """
    if noisy and not fields.has_score:
        fields.evaluate(
            x[:1], torch.zeros((), dtype=torch.float32), ("score",)
        )  # raises, and says what to learn
        raise invalid("sample", "eps > 0 needs fields with a score", "none", "Use eps=0.")
    if method is None and not noisy and fields.path is not None:
        method = fields.path.own_solver
    return find_method(method, noisy)


def run_grid(
    fields: Fields,
    n_steps: int,
    spacing: Any,
    *,
    start: float = 0.0,
    stop: float = 1.0,
    reverse: bool,
    noisy: bool,
    method: str | None = None,
) -> npt.NDArray[np.float64]:
    """Times ``(n + 1,)`` in the order of travel; arguments as in ``sample``."""
    derived = "velocity" not in fields.known
    known: dict[str, Any] = {"start": start, "stop": stop, "noisy": noisy or derived, "method": method}
    chosen = spacing_for(fields.path, n_steps, spacing, **known)
    grid = time_grid(n_steps, chosen, start=start, stop=stop)
    return grid[::-1].copy() if reverse else grid


class SolverTicks(Sequence[Tensor]):
    """All times at which a fixed-step solver asks for the field, as it hands them over with states like ``x``.

    Made when they are first looked at: a velocity that was learnt as such has no use for them.
    """

    def __init__(self, method: str, grid: npt.NDArray[np.float64], x: Tensor) -> None:
        self._method, self._grid, self._like = method, grid, x[:0]

    @cached_property
    def _made(self) -> list[Tensor]:
        solver: Any = get_solver(self._method)
        c = solver.c if isinstance(solver, SdeSolver) else solver.tableau.c[: solver.tableau.needed]
        return [tick for row in stage_clock(self._grid, c, self._like) for tick in row]

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, place: Any) -> Any:
        return self._made[place]


@dataclass(frozen=True, eq=False, kw_only=True)
class Course:
    """Common data of all samplers of a run, and a sampler of each kind.

    Args:
        fields: Fields to evaluate.
        grid: Times in the order of travel, ``(n + 1,)``.
        method: Name of the solver or transition.
        finish: As in ``sample``.
        seed: Seed of the noise.
        brownian: As in ``sample``.
    """

    fields: Fields
    grid: npt.NDArray[np.float64]
    method: str
    finish: str = "step"
    seed: int = 0
    brownian: str = "nested"

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """The times that the sampler reaches; a last step to the mean end point is not its own."""
        return self.grid[:-1] if self.finish == "denoise" else self.grid

    def ode(self, x: Tensor, per_call: int = 0) -> OdeSampler:
        """The flow with fixed steps, for states like ``x``; ``per_call`` as in :class:`OdeSampler`."""
        return OdeSampler(
            fields=self.fields,
            grid=self.steps,
            method=self.method,
            ticks=SolverTicks(self.method, self.steps, x),
            per_call=per_call,
        )

    def multistep(self) -> MultistepSampler:
        """The flow with fixed steps and memory."""
        solver = get_solver(self.method)
        assert isinstance(solver, Multistep)
        plan = plan_strides(self.fields, solver, self.steps)
        return MultistepSampler(fields=self.fields, grid=self.steps, method=self.method, plan=plan)

    def adaptive(self, given_times: bool, **limits: Any) -> AdaptiveSampler:
        """The flow with steps of its own for each sample."""
        return AdaptiveSampler(
            fields=self.fields,
            grid=self.grid,
            method=self.method,
            given_times=given_times,
            **limits,
        )

    def adaptive_sde(self, level: NoiseLevel, x: Tensor, *, cap: bool, **limits: Any) -> AdaptiveSdeSampler:
        """The SDE at a noise level with separate steps for each sample.

        The level is read from a table with 64 times to every step of the grid, linear in between, and its cap is that
        of these 64 times shorter steps. It must not follow the steps themselves: samples with different steps would
        solve different equations. Where the requested level needs shorter steps still, the cap lowers it, at the ends
        alone; the marginals are the same for every level.
        """
        n = len(self.grid) - 1
        fine = np.interp(np.arange(n * _FINER + 1) / _FINER, np.arange(n + 1), self.grid)
        return AdaptiveSdeSampler(
            fields=self.fields,
            grid=self.steps,
            method=self.method,
            seed=self.seed,
            table=NoiseTable(level, self.fields.path, fine, cap=cap, size=x[0].numel()),
            steps=AdaptiveHeun(**limits),
        )

    def sde(self, level: NoiseLevel, x: Tensor, *, cap: bool) -> SdeSampler:
        """The SDE at a noise level, for states like ``x``."""
        table = NoiseTable(level, self.fields.path, self.grid, cap=cap, size=x[0].numel())
        return SdeSampler(
            fields=self.fields,
            grid=self.steps,
            method=self.method,
            seed=self.seed,
            brownian=self.brownian,
            table=table,
            ticks=SolverTicks(self.method, self.steps, x),
            quiet_end=self.finish == "mean",
        )

    def transitions(self) -> TransitionSampler:
        """Steps by the path's own coefficients."""
        moves = transitions(self.fields, self.method, self.grid, quiet_end=self.finish == "mean")
        return TransitionSampler(
            fields=self.fields,
            grid=self.steps,
            method=self.method,
            seed=self.seed,
            brownian=self.brownian,
            moves=moves[: len(self.steps) - 1],
        )
