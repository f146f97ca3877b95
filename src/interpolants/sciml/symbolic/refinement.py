"""Constants of equations by least squares: integrate, compare with the window, and correct.

Letters: G trajectories of one form of equations, c constants, d states, P = c + d unknowns, S times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import torch
from torch import Tensor

from interpolants.data.equation_trees import FLOAT, Ends, Tree
from interpolants.problems.dynamical_systems import DynamicalSystem

_FIRST_DAMPING, _NUDGE = 1e-2, 1e-6
# Shares of the window that are fitted one after the other, with their steps: a chaotic system that is compared with all
# of it at once has many wrong optima.
_COURSE = ((0.25, 4), (0.5, 4), (1.0, 6))
# Constants are expected within this share of those that were written, beside noise of this size: what a window does not
# tell stays as it was.
_SPREAD, _NOISE = 0.2, 0.02
_DIGITS = 5
_STEPS = 2  # of Runge-Kutta between two times, at least


@dataclass(frozen=True)
class Refined:
    """Equations with constants that fit a window.

    Attributes:
        system: The equations.
        start: State at the first time, ``(d,)``.
        misfit: Relative error in the window.
    """

    system: Ends
    start: Tensor
    misfit: float


def refine(systems: Sequence[Ends], windows: Sequence[Tensor]) -> list[Refined]:
    """Constants and first states of each system that fit its window best, from those that it has.

    Levenberg-Marquardt steps on ``sum_i |u(t_i; constants, start) - u_i|^2``, on growing parts of the window, with a
    weak pull towards the constants as they were written. Systems of one form are done at once.

    Args:
        systems: The systems.
        windows: Times and states of each, ``(S, 1 + d)``.
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for k, (system, window) in enumerate(zip(systems, windows, strict=True)):
        form = " | ".join(str(_form(tree, count())) for tree in system)
        groups.setdefault((form, len(window)), []).append(k)
    found: dict[int, Refined] = {}
    for rows in groups.values():
        one = _Group.of([systems[k] for k in rows], torch.stack([windows[k] for k in rows]))
        found |= dict(zip(rows, one.refined(), strict=True))
    return [found[k] for k in range(len(systems))]


def integrated(system: Ends, start: Tensor, times: Tensor, *, step: float) -> Tensor:
    """States ``(T, d)`` of a system at times from a start; not finite where it blows up.

    Args:
        system: The equations.
        start: State at the first time, ``(d,)``.
        times: ``(T,)``.
        step: Longest step of Runge-Kutta.
    """
    own = DynamicalSystem(name="found", rates=tuple(map(str, system)), step=step)
    return own.trajectories(start[None], times)[0]


def _form(tree: Tree, numbers: "count[int]") -> Tree:
    """The tree with a name for each constant."""
    return tree.changed(lambda leaf: Tree(f"c{next(numbers)}") if leaf.label == FLOAT else leaf)


@dataclass(frozen=True)
class _Group:
    """Trajectories whose equations have one form."""

    form: DynamicalSystem
    systems: Sequence[Ends]
    times: Tensor
    states: Tensor
    first: Tensor

    @classmethod
    def of(cls, systems: Sequence[Ends], windows: Tensor) -> "_Group":
        numbers = count()
        rates = tuple(str(_form(tree, numbers)) for tree in systems[0])
        known = [[v for tree in system for v in tree.numbers] for system in systems]
        times = windows[..., 0] - windows[:, :1, 0]
        step = float(times.diff(dim=1).max()) / _STEPS
        names = {f"c{k}": 1.0 for k in range(len(known[0]))}
        form = DynamicalSystem(name="refined", rates=rates, parameters=names, step=step)
        first = torch.tensor(known, dtype=torch.float64).reshape(len(systems), -1)
        return cls(form, systems, times, windows[..., 1:], torch.cat([first, windows[:, 0, 1:]], 1))

    @property
    def size(self) -> Tensor:
        """Root mean square of each window, ``(G,)``."""
        return self.states.square().flatten(1).mean(1).sqrt().clamp_min(1e-12)

    def misses(self, unknowns: Tensor) -> Tensor:
        """Residuals ``(G, R, S d)`` of R guesses ``(G, R, P)``, in units of the window; large where they blow up."""
        g, r, p = unknowns.shape
        d = self.form.dim
        flat = unknowns.reshape(g * r, p)
        constants = {f"c{k}": flat[:, k] for k in range(p - d)}
        times = self.times.repeat_interleave(r, 0)
        found = self.form.trajectories(flat[:, p - d :], times, constants).reshape(
            g, r, *self.states.shape[1:]
        )
        miss = (found - self.states[:, None]) / self.size[:, None, None, None]
        return miss.flatten(2).nan_to_num(1e3, 1e3, -1e3).clamp(-1e3, 1e3)

    def _pulled(self, unknowns: Tensor) -> Tensor:
        """Residuals with the distance of the constants from those that were written."""
        written = self.first[:, None, : -self.form.dim]
        away = (unknowns[..., : -self.form.dim] - written) / written.abs().clamp_min(1e-3)
        return torch.cat([self.misses(unknowns), _NOISE / _SPREAD * away], 2)

    def refined(self) -> list[Refined]:
        """Growing parts of the window."""
        best = self.first
        for share, rounds in _COURSE:
            n = max(3, round(share * self.times.shape[1]))
            best = replace(self, times=self.times[:, :n], states=self.states[:, :n]).improved(best, rounds)
        error = self.misses(best[:, None])[:, 0].square().mean(1).sqrt()
        return [self._told(k, best[k], float(error[k])) for k in range(len(best))]

    def improved(self, best: Tensor, rounds: int) -> Tensor:
        """Damped Gauss-Newton steps, each kept where it helps."""
        damping = torch.full((len(best),), _FIRST_DAMPING, dtype=torch.float64)
        for _ in range(rounds):
            nudge = _NUDGE * best.abs().clamp_min(1e-3)
            miss = self._pulled(torch.cat([best[:, None], best[:, None] + torch.diag_embed(nudge)], 1))
            now = miss[:, 0]
            slope = (miss[:, 1:] - now[:, None]) / nudge[..., None]
            step = _solved(slope, now, damping)
            after = self._pulled((best + step)[:, None])[:, 0]
            better = after.square().sum(1) < now.square().sum(1)
            best = torch.where(better[:, None], best + step, best)
            damping = torch.where(better, damping / 10, damping * 10).clamp(1e-12, 1e6)
        return best

    def _told(self, k: int, unknowns: Tensor, misfit: float) -> Refined:
        d = self.form.dim
        values = iter([float(f"{v:.{_DIGITS}g}") for v in unknowns[:-d].tolist()])
        system = tuple(_renumbered(tree, values) for tree in self.systems[k])
        return Refined(system, unknowns[-d:], misfit)


def _renumbered(tree: Tree, values: Iterator[float]) -> Tree:
    return tree.changed(lambda leaf: Tree.number(next(values)) if leaf.label == FLOAT else leaf)


def _solved(slope: Tensor, miss: Tensor, damping: Tensor) -> Tensor:
    """``-(J J^T + damping diag)^-1 J r`` for each row; J is ``(G, P, n)``."""
    square = slope @ slope.transpose(1, 2)
    diagonal = square.diagonal(dim1=1, dim2=2)
    ridge = damping[:, None] * diagonal + 1e-12 * diagonal.amax(1, keepdim=True) + 1e-300
    step = torch.linalg.solve(square + torch.diag_embed(ridge), -(slope @ miss[..., None]))[..., 0]
    found: Tensor = step.nan_to_num(0.0, 0.0, 0.0)
    return found
