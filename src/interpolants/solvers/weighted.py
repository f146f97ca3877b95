"""Weighted SDE integration: paths with log weights, and a population that may be resampled between steps.

One loop serves densities by Feynman-Kac and Girsanov, sequential Monte Carlo, and twisted proposals. What differs is a
*node*, what the caller evaluates once at each point of a path, and an *increment*, how a step adds to the log weight.

Letters: ``dt`` signed step, ``dw`` increment of the driving noise, ``g`` its strength; G groups of m particles; ``w``
weights, ``l`` their logarithms; Z the normalising constant.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.brownian import check_grid
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.ops import sum_event
from interpolants.solvers.fixed import Velocity, check_state, stage_clock
from interpolants.solvers.resampling import Resampler, effective_size
from interpolants.solvers.sde import SdeSolver


@dataclass
class Node:
    """A point of every path, and what is known there; subclasses add what their increments ask for.

    Attributes:
        x: States ``(B, *D)``.
        drift: Drift of the paths ``(B, *D)``; None at an end that is not evaluated.
    """

    x: Tensor
    drift: Tensor | None = None

    def take(self, rows: Tensor) -> Self:
        """Return the selected paths; a path may be selected twice."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        return type(self)(**{name: v[rows] if isinstance(v, Tensor) else v for name, v in values.items()})


class Step(NamedTuple):
    """One step of the grid: number ``n`` from 0, signed length, noise strength at its start, noise ``(B, *D)``."""

    n: int
    dt: float
    g: float
    dw: Tensor


N = TypeVar("N", bound=Node)
Increment = Callable[[N, N, Step], Tensor]
# After step n: the log weights so far -> whom each row copies (None: itself), and the new log weights.
Between = Callable[[int, Tensor], tuple[Tensor | None, Tensor]]


@dataclass(frozen=True)
class WeightedResult(Generic[N]):
    """Result of a weighted SDE integration.

    Attributes:
        node: The last node.
        log_weights: ``(B,)``.
        nfe: Evaluations per path: one per node, and the solver's further stages.
    """

    node: N
    log_weights: Tensor
    nfe: int


def integrate_weighted(
    node: Callable[[Tensor, Tensor], N],
    x: Tensor,
    times: npt.ArrayLike,
    solver: SdeSolver,
    strength: Sequence[float],
    brownian: Iterable[tuple[Tensor, Tensor | None]],
    increment: Increment[N],
    *,
    log_weights: Tensor | None = None,
    stage: Velocity | None = None,
    end: Callable[[Tensor], N] | None = None,
    between: Between | None = None,
) -> WeightedResult[N]:
    """Integrate ``dX = f dt + g dW`` together with log weights, one evaluation of the fields per node.

    Args:
        node: What there is to know at state ``(B, *D)`` and time ``()``; its drift is the first stage of the step.
        x: Start, ``(B, *D)``.
        times: ``(n + 1,)``, strictly monotone; see ``integrate_sde`` for decreasing ones.
        solver: Scheme for additive noise; with ``strength`` zero it is the scheme for an ODE.
        strength: Noise strength at the grid's times.
        brownian: Yields ``(dw, area)`` per step.
        increment: What a step from one node to the next adds to the log weight, ``(B,)``.
        log_weights: Log weights at the start, ``(B,)``; zero when left out.
        stage: The drift at a solver's further stages; the node's own when left out.
        end: The last node from its states alone, for increments that do not need more; evaluated when left out.
        between: Called after each step with its number from 1 on and the log weights. The rows that it returns
            replace the paths: this is where a population is resampled.

    Returns:
        The last node with its log weights.

    Raises:
        InvalidInputError: If ``times`` is not such a grid, or ``x`` is not a floating-point batch.
    """
    grid = check_grid("integrate_weighted", times)
    check_state("integrate_weighted", x)
    clock = stage_clock(grid, solver.c, x)
    steps = np.diff(grid).tolist()
    at = node(x, clock[0][0])
    total = x.new_zeros(x.shape[0]) if log_weights is None else log_weights
    for n, (dt, (dw, area)) in enumerate(zip(steps, brownian, strict=True)):
        drift = _starting(at, node, stage)
        y = solver.step(drift, at.x, clock[n], dt, strength[n], strength[n + 1], dw, area)
        last = n == len(steps) - 1
        after = end(y) if last and end is not None else node(y, clock[n + 1][0])
        total = total + increment(at, after, Step(n, dt, strength[n], dw))
        at = after
        if between is not None:
            rows, total = between(n + 1, total)
            at = at if rows is None else at.take(rows)
    return WeightedResult(at, total, len(steps) * solver.nfe_per_step + (end is None))


def _starting(known: N, node: Callable[[Tensor, Tensor], N], stage: Velocity | None) -> Velocity:
    """The drift, which is known at the node itself."""

    def drift(y: Tensor, t: Tensor) -> Tensor:
        if y is known.x:
            found = known.drift
        else:
            found = node(y, t).drift if stage is None else stage(y, t)
        assert found is not None
        return found

    return drift


def kernel_log_ratio(gap: Tensor, dw: Tensor, g: float, dt: float) -> Tensor:
    """``log N(y; y0 + gap, g^2 h Id) - log N(y; y0, g^2 h Id)`` at ``y = y0 + g dw``, h = |dt|; ``(B,)``.

    The log ratio of two Euler-Maruyama steps whose means differ by ``gap``, at a draw from the second.
    """
    apart = gap / g
    return sum_event(apart * (2 * dw - apart)) / (2 * abs(dt))


class UniformSource(Protocol):
    """A stream of uniforms on [0, 1), such as ``BlockNoise``."""

    def uniform(self) -> Tensor:
        """The next draw, one row per group."""
        ...


class Population:
    """Groups of weighted particles, resampled when their effective size has fallen; a ``between`` of the loop.

    Keeps what a report needs: effective sizes, the normalising constant, who descends from whom.

    Args:
        resampler: Scheme and threshold.
        groups: Number of groups G; the batch is G rows of m particles in order.
        uniforms: Source of the schemes' draws, ``(G, resampler.draws(m))`` each.
        log_weights: Log weights at the start, ``(B,)``: their mean is the first factor of Z.
    """

    def __init__(
        self, resampler: Resampler, groups: int, uniforms: UniformSource, log_weights: Tensor
    ) -> None:
        self.resampler, self.groups, self.uniforms = resampler, groups, uniforms
        table = log_weights.reshape(groups, -1)
        self.size = table.shape[1]
        self.sizes = [effective_size(table)]
        self.resampled: list[Tensor] = []
        self.distinct: list[Tensor] = []
        self._log_z = table.new_zeros(groups, dtype=torch.float64)
        self._eves = torch.arange(self.size, device=table.device).expand(groups, -1)
        self._offset = self.size * torch.arange(groups, device=table.device)[:, None]

    def __call__(self, n: int, log_weights: Tensor) -> tuple[Tensor | None, Tensor]:
        """Resample the groups that need it; see ``Between``."""
        table = log_weights.reshape(self.groups, self.size)
        ess = effective_size(table)
        self.sizes.append(ess)
        if self.resampler.ess == 0:
            return None, log_weights
        # Drawn at every step, needed or not: a group's draws are then the same whichever groups are beside it.
        uniforms = self.uniforms.uniform()
        # Equal weights lose nothing by staying, and rounding must not look like a difference.
        needed = (ess < self.resampler.ess * self.size) & (ess < self.size * (1 - 1e-12))
        self.resampled.append(needed)
        if needed.is_cpu and not bool(needed.any()):
            self.distinct.append(torch.full_like(ess, self.size))
            return None, log_weights
        rows, table = self._resample(table, needed, uniforms)
        self.distinct.append((rows.diff(dim=1) != 0).sum(1) + 1.0)
        return (rows + self._offset).reshape(-1), table.reshape(-1).to(log_weights.dtype)

    def resample(self, log_weights: Tensor) -> tuple[Tensor, Tensor]:
        """Resample every group whatever its effective size: equally weighted particles at the end."""
        table = log_weights.reshape(self.groups, self.size)
        everyone = torch.ones_like(table[:, 0], dtype=torch.bool)
        rows, table = self._resample(table, everyone, self.uniforms.uniform())
        return (rows + self._offset).reshape(-1), table.reshape(-1)

    def _resample(self, table: Tensor, needed: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        weights = table.double().softmax(1)
        keep = torch.arange(self.size, device=table.device).expand_as(table)
        drawn = self.resampler.ancestors(weights, uniforms.to(weights))
        rows = torch.where(needed[:, None], drawn, keep)
        mean = table.double().logsumexp(1) - math.log(self.size)
        self._log_z = self._log_z + torch.where(needed, mean, torch.zeros_like(mean))
        self._eves = self._eves.gather(1, rows)
        return rows, torch.where(needed[:, None], torch.zeros_like(table), table)

    def log_z(self, log_weights: Tensor) -> Tensor:
        """Log of the mean weight of each group, every resampling accounted for, ``(G,)``: ``E exp = Z``."""
        table = log_weights.reshape(self.groups, self.size).double()
        return self._log_z + table.logsumexp(1) - math.log(self.size)

    def log_z_error(self, log_weights: Tensor) -> Tensor:
        """Standard error of :meth:`log_z` from the family tree of one run, ``(G,)``.

        Particles that descend from one of the first form a family, of weight W. For multinomial resampling in r rounds
        ``1 - (m/(m - 1))^(r + 1) (1 - sum W^2)`` has the relative variance of Z as its mean. Other schemes add next to
        no noise of their own; for them r = 0 is put here, which is right for systematic resampling now and then and
        errs on the large side otherwise. Where nearly all descend from one particle it is of no use.

        Source: Lee & Whiteley (2018), arXiv:1509.00394, equation 5; for other schemes than multinomial ours, measured.
        """
        weights = log_weights.reshape(self.groups, self.size).double().softmax(1)
        families = torch.zeros_like(weights).scatter_add_(1, self._eves, weights)
        rounds = torch.zeros_like(self._log_z)
        if self.resampler.independent and self.resampled:
            rounds = torch.stack(self.resampled).sum(0).double()
        growth = (self.size / (self.size - 1)) ** (rounds + 1)
        return (1 - growth * (1 - families.square().sum(1))).clamp_min(0).sqrt()

    def families(self) -> Tensor:
        """Number of initial particles that still have descendants, ``(G,)``."""
        return (self._eves.sort(1).values.diff(dim=1) != 0).sum(1) + 1

    def check(self, who: str, times: Sequence[float]) -> None:
        """Check that the weights are finite.

        Raises:
            DivergedError: If a group had no finite positive weight after a step, or one that is not a number.
        """
        bad = ~torch.stack(self.sizes).isfinite()
        if bool(bad.any()):
            n, group = bad.nonzero()[0].tolist()
            what = f"the weights of group {group} are not finite at t={times[n]:.6g} (step {n})"
            remedy = "Start later or stop earlier if the fields are singular there, or use more steps."
            raise DivergedError(f"{who}: {what}. {remedy}")

    def collapse(self, share: float) -> tuple[int, int, int] | None:
        """The worst step at which fewer than ``share`` of a group had children: step, group, parents; or None."""
        if not self.distinct:
            return None
        table = torch.stack(self.distinct)
        worst = int(table.argmin())
        n, group = divmod(worst, self.groups)
        parents = float(table[n, group])
        return (n + 1, group, int(parents)) if parents < share * self.size else None


def check_groups(who: str, count: int, groups: int | None, size: int | None) -> int:
    """Number of groups, from it or from the particles per group."""
    if groups is not None and size is not None:
        raise invalid(who, "groups or group_size may be given, not both", (groups, size))
    found = groups if groups is not None else 1 if size is None else count // size if size > 0 else 0
    if found < 1 or count % found or (size is not None and found * size != count):
        what = f"{count} particles in groups of {size}" if size is not None else f"{count} in {groups}"
        raise invalid(who, "particles must divide into equal groups", what)
    if count // found < 2:
        raise invalid(who, "a group must have at least 2 particles", count // found)
    return found
