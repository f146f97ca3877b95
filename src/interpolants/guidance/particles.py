"""Shared parts of weighted-particle samplers: noise, result, and the warning when the weights collapse."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.brownian import BrownianPath
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.tell import FitWarning, tell
from interpolants.foundations.types import Condition
from interpolants.solvers.resampling import Resampler
from interpolants.solvers.sde import SdeSolver
from interpolants.solvers.weighted import Population

# The methods of this subpackage start from the same points at the same seed.
START_STREAM = "particle start"
# Fewer parents than this share of a group, and its particles say little of the target.
COLLAPSE = 0.05


@dataclass(frozen=True)
class WeightedSamples:
    """Particles with weights, and how reliable they are.

    Attributes:
        x: States at the end, ``(n, *D)``.
        log_weights: ``(n,)``; zero after a final resampling. Only differences within a group matter.
        groups: Number of groups G, of n / G particles each, in order.
        log_z: ``(G,)`` log of the target's normalising constant; what it is the integral of, the sampler says.
        log_z_error: ``(G,)`` its standard error.
        ess: ``(n_steps + 1, G)`` effective number of particles after each step, before resampling.
        resampled: ``(n_steps, G)`` where a group was resampled.
        families: ``(G,)`` how many of the first particles still have descendants.
        times: The times stepped through, ``(n_steps + 1,)``.
        eps: Noise level used at these times, after the cap; None for a weighted ODE.
        nfe: Evaluations of each field per particle.
        seed: Seed of all noise.
    """

    x: Tensor
    log_weights: Tensor
    groups: int
    log_z: Tensor
    log_z_error: Tensor
    ess: Tensor
    resampled: Tensor
    families: Tensor
    times: Tensor
    eps: Tensor | None
    nfe: int
    seed: int

    @property
    def weights(self) -> Tensor:
        """``(n,)``, with sum 1 in each group."""
        table = self.log_weights.double().reshape(self.groups, -1).softmax(1)
        return table.reshape(-1).to(self.log_weights.dtype)

    def mean(self, values: Tensor) -> Tensor:
        """Weighted mean in each group of ``values (n, ...)``: ``(G, ...)``."""
        weights = self.weights.to(values.dtype).reshape(-1, *(1,) * (values.ndim - 1))
        return (weights * values).reshape(self.groups, -1, *values.shape[1:]).sum(1)


class ParticleNoise:
    """Streams of one seed for the particles of a job; a number belongs to a particle's index.

    Args:
        seed: The seed.
        first_group: Index of the first group in the whole job.
        groups: Number of groups here.
        count: Number of particles here.
    """

    def __init__(self, seed: int, first_group: int, groups: int, count: int) -> None:
        self.seed, self.first_group, self.groups, self.count = seed, first_group, groups, count

    def draws(
        self,
        stream: Sequence[int | str],
        shape: Sequence[int],
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> BlockNoise:
        """One draw per particle at a time."""
        first = self.first_group * (self.count // self.groups)
        return BlockNoise(
            self.seed, stream, first=first, count=self.count, shape=shape, dtype=dtype, device=device
        )

    def brownian(self, grid: npt.NDArray[np.float64], x: Tensor, solver: SdeSolver) -> BrownianPath:
        """The driving noise of states like ``x``."""
        return BrownianPath(
            grid,
            lambda level: self.draws(("particle brownian", level), x.shape[1:], x.dtype, x.device),
            levy_area=solver.levy_area,
        )

    def population(self, resampler: Resampler, log_weights: Tensor) -> Population:
        """The groups, with draws of their own for resampling."""
        uniforms = BlockNoise(
            self.seed,
            ("resampling",),
            first=self.first_group,
            count=self.groups,
            shape=(resampler.draws(self.count // self.groups),),
            dtype=torch.float64,
        )
        return Population(resampler, self.groups, uniforms, log_weights)


def collect(
    who: str,
    population: Population,
    x: Tensor,
    log_weights: Tensor,
    *,
    log_z: float,
    grid: npt.NDArray[np.float64],
    eps: Tensor | None,
    nfe: int,
    seed: int,
    resample: bool,
) -> WeightedSamples:
    """The result of a run, checked.

    Args:
        who: Name for messages.
        population: The groups.
        x: States at the end.
        log_weights: Their log weights.
        log_z: What the weights leave out of the normalising constant.
        grid: The times.
        eps: Noise level at these times.
        nfe: Evaluations per particle.
        seed: Seed of the run.
        resample: Whether to end with equal weights.

    Raises:
        DivergedError: If states or weights left the finite numbers.
    """
    population.check(who, grid.tolist())
    if not bool(torch.isfinite(x).all()):
        remedy = "Take more steps or less noise, or stop before the fields are singular."
        raise DivergedError(f"{who}: particles left the finite numbers. {remedy}")
    found = population.collapse(COLLAPSE)
    if found is not None:
        n, group, parents = found
        what = f"only {parents} of {population.size} particles of group {group} had descendants"
        remedy = "Take more steps or more particles, or a target nearer to the experts."
        tell(FitWarning, f"{who}: {what} at step {n}, t={grid[n]:.4g}. {remedy}")
    constant, error = population.log_z(log_weights) + log_z, population.log_z_error(log_weights)
    if resample:
        rows, log_weights = population.resample(log_weights)
        x = x[rows]
    never = torch.zeros(len(grid) - 1, population.groups, dtype=torch.bool, device=x.device)
    return WeightedSamples(
        x=x,
        log_weights=log_weights,
        groups=population.groups,
        log_z=constant,
        log_z_error=error,
        ess=torch.stack(population.sizes),
        resampled=torch.stack(population.resampled) if population.resampled else never,
        families=population.families(),
        times=torch.from_numpy(grid.copy()),
        eps=eps,
        nfe=nfe,
        seed=seed,
    )


def check_condition(who: str, cond: Condition, count: int, groups: int) -> None:
    """Refuse conditions that differ within a group: resampling moves particles, not conditions."""
    if not _same_within(cond, count, groups):
        remedy = "Order the conditions by group, one group for each, or pass resampler=Systematic(ess=0)."
        rule = "a condition must be the same for all particles of a group"
        raise invalid(who, rule, f"rows that differ ({groups} groups)", remedy)


def check_log_weights(who: str, log_weights: Tensor | float, x0: Tensor) -> Tensor:
    """Log weights of the user's own as ``(n,)``."""
    given = torch.as_tensor(log_weights, dtype=x0.dtype, device=x0.device)
    if given.shape not in ((), (len(x0),)):
        raise invalid(who, f"log_weights must be a number or ({len(x0)},)", tuple(given.shape))
    if bool(given.isnan().any()) or bool((given == math.inf).any()):
        raise invalid(who, "log_weights must be finite, or minus infinity for no weight", "nan or inf")
    return given.expand(len(x0))


def _same_within(cond: Condition, count: int, groups: int) -> bool:
    if cond is None:
        return True
    if isinstance(cond, dict):
        return all(_same_within(part, count, groups) for part in cond.values())
    if isinstance(cond, tuple | list):
        return all(_same_within(part, count, groups) for part in cond)
    table = cond.reshape(groups, count // groups, -1)
    first = table[:, :1]
    return bool(((table == first) | (table.isnan() & first.isnan())).all())
