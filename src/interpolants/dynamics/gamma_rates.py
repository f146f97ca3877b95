"""Rates of gamma over the stages of a step, such that a whole step moves the noise by exactly the increment of gamma.

The flow is ``dx = v dt + n dgamma`` with the mean rate v and the mean noise n. Where both are known apart, a solver may
take the increment of gamma over its step in closed form, instead of the values of gamma' at its stages: these are
infinite at the ends for ``gamma = sqrt(t (1 - t))``, and multiply the error of a learnt n.

A stage takes ``v + r n`` for its slope. Of a solver with one or two stages,

* the first takes for ``r`` the mean rate of gamma from the start of the step to the stage that it leads to;
* the last takes the ``r`` that makes the whole step exact, ``h sum_i b_i r_i = gamma(t + h) - gamma(t)``.

With more stages ``r`` is the rate, at the stage time, of the polynomial through gamma at 0, 1 and the stage times that
carry weight: the solver's weights integrate that rate exactly, and the stages fit together to the solver's order.

So Euler takes ``x + h v + (gamma(t + h) - gamma(t)) n``, which is the DDIM step of the path. As the steps shrink, the
slopes tend to the velocity, so that the limit is the same flow, or SDE; orders stay those of the solver wherever gamma
is smooth.
"""

from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from interpolants.foundations.clock import known_place
from interpolants.paths.path import Path
from interpolants.solvers.adaptive_heun import AdaptiveHeun
from interpolants.solvers.multistep import Multistep
from interpolants.solvers.registry import get_solver
from interpolants.solvers.sde import SdeSolver
from interpolants.solvers.tableau import RungeKutta

_Numbers = npt.NDArray[np.float64]


class GammaRates:
    """Factors of the noise at each stage of a run with fixed steps, per unit of time.

    Args:
        path: Two-sided, with a latent term.
        method: Name of a fixed-step solver.
        grid: Times in the order of travel, ``(n + 1,)``.
    """

    def __init__(self, path: Path, method: str, grid: _Numbers) -> None:
        self.path, self.method, self.grid = path, method, grid

    def at(self, t: Tensor) -> float | Tensor:
        """The rate at one time that a solver asks for, or at all of them in their order, ``(n,)`` float64.

        At a time of no stage, such as one at which a field is tried out, it is gamma' itself.
        """
        if t.ndim:
            return self._rates.to(t.device)
        place = known_place(t)
        return self._rate_inside(t) if place is None else self._listed[place]

    @cached_property
    def _rates(self) -> Tensor:
        nodes, rows = _stencil(self.method)
        steps = np.diff(self.grid)
        gamma = self.path.envelope.gamma(torch.from_numpy(self.grid[:-1, None] + steps[:, None] * nodes))
        rates = gamma @ torch.from_numpy(rows).T / torch.from_numpy(steps)[:, None]
        # A solver's clock has one more row, for the end of the grid: no slope is taken there.
        return torch.cat([rates, rates[-1:]]).flatten()

    @cached_property
    def _listed(self) -> list[float]:
        found: list[float] = self._rates.tolist()
        return found

    def _rate_inside(self, t: Tensor) -> Tensor:
        margin = self.path.margin
        return self.path.envelope.gamma_dot(t.clamp(margin, 1 - margin))


@cache
def _stencil(method: str) -> tuple[_Numbers, _Numbers]:
    """Nodes of gamma in units of the step, and for each stage the weights of gamma at them in the stage's rate."""
    solver = get_solver(method)
    assert not isinstance(solver, Multistep | AdaptiveHeun)
    times, weights = _stages(solver)
    through = {0.0, 1.0} | {c for c, weight in zip(times, weights, strict=True) if weight}
    nodes = np.array(sorted(through | set(times)))
    if len(times) > 2:
        return nodes, np.stack([_slope(nodes, np.isin(nodes, [*through]), c) for c in times])
    rows = [_difference(nodes, 0.0, c) for c in times[1:]]
    spent = sum((b * row for b, row in zip(weights, rows, strict=False)), np.zeros(len(nodes)))
    return nodes, np.stack([*rows, (_difference(nodes, 0.0, 1.0) - spent) / weights[-1]])


def _stages(solver: RungeKutta | SdeSolver) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Times of the stages in units of the step, and what their slopes weigh in it."""
    if isinstance(solver, SdeSolver):
        return solver.c, solver.b
    needed = solver.tableau.needed
    return solver.tableau.c[:needed], solver.tableau.b[:needed]


def _slope(nodes: _Numbers, through: npt.NDArray[np.bool_], c: float) -> _Numbers:
    """Weights of values at the nodes in the slope at c of the polynomial through some of them."""
    powers = np.arange(through.sum())
    monomials = nodes[through] ** powers[:, None]
    slopes = powers * c ** np.maximum(powers - 1, 0)
    weights = np.zeros(len(nodes))
    weights[through] = np.linalg.solve(monomials, slopes)
    return weights


def _difference(nodes: _Numbers, start: float, stop: float) -> _Numbers:
    """Weights of values at the nodes in the mean rate between two of them."""
    found: _Numbers = ((nodes == stop) * 1.0 - (nodes == start)) / (stop - start)
    return found
