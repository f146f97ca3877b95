"""Optimal transport from a distribution that is sampled to a finite data set: semidiscrete.

Notation: z a draw of rho0; y_k (N, *D) rows of the data with weights b_k of sum 1; c(z, y) = |z - y|^2; g_k the dual
potential of a row, whose cell is {z: k = argmin_j c(z, y_j) - g_j}.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from interpolants.couplings.pairs import Cond, Pairs, check_pairing, make_pairs
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count, Whole
from interpolants.foundations.randomness import generator as new_generator
from interpolants.foundations.tell import FitWarning, tell

_BATCH = 256  # draws of a step
# First step in units of the mean cost, and steps after which it falls as 1 / sqrt(k): the best of nine choices on three
# clusters in two dimensions with 7, 200 and 2,000 rows.
_STEP, _DECAY = 1.8, 10
_JUDGED = 20_000  # draws by which the masses of the cells are measured
_ENTRIES = 2**22  # distances in memory at once


@dataclass(frozen=True)
class SemidiscretePlan:
    """Optimal plan from a sampled distribution to a data set: every draw has one row, that of its cell.

    Attributes:
        rows: (N, *D) rows of the data.
        potentials: (N,) dual potentials g, in data units squared, of weighted mean 0; -inf for copies of an earlier
            row.
        masses: (N,) share of 20,000 draws in each cell (of all given draws, if they are fewer).
        weights: (N,) target of the masses, of sum 1; copies of a row have the weight 0, and the first of them the sum.
        total_variation: Distance of masses and weights, at most 1. Counting alone gives about sqrt(N / (2 pi draws)).
        primal: Mean squared distance of these draws to their rows, in data units squared.
        dual: Value of the dual problem on these draws; at the optimum it equals ``primal``, and both are W2 squared.
    """

    rows: Tensor
    potentials: Tensor
    masses: Tensor
    weights: Tensor
    total_variation: float
    primal: float
    dual: float

    def assign(self, x0: Tensor) -> Tensor:
        """Row of each draw, (B,) int64: ``argmin_k |z - y_k|^2 - g_k``.

        Args:
            x0: Draws of rho0, (B, *D), on the device of the rows.
        """
        return _cells(_flat(x0), _flat(self.rows), self.potentials)[0]

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: torch.Generator | None = None,
        cond0: Cond = None,
        cond1: Cond = None,
    ) -> Pairs:
        """Pair each draw with the row of its cell.

        Args:
            x0: Draws of rho0, (B, *D), finite.
            x1: All rows of the fit, (N, *D): potentials belong to these rows.
            generator: Unused; every coupling takes one.
            cond0: Conditions of ``x0``, B rows each.
            cond1: None: one plan for all conditions would bias the starts of each.

        Returns:
            Pairs of B rows; ``index0`` is 0 .. B - 1.

        Raises:
            InvalidInputError: If ``x1`` is not the data set of the fit, conditions of it are passed, shapes or devices
                differ, or values are not finite.
        """
        check_pairing("Semidiscrete", x0, x1, cond0, cond1, equal=False, distances=True)
        if cond1 is not None:
            remedy = "Fit without conditions, or use coupling='minibatch_ot'."
            raise invalid("Semidiscrete", "x1 must have no conditions", type(cond1).__name__, remedy)
        if x1 is not self.rows and not torch.equal(x1, self.rows):
            remedy = "Pass all rows of x1, unchanged and in their order."
            shape = tuple(x1.shape)
            raise invalid(
                "Semidiscrete", "x1 must be the data set of the fit", f"other rows, {shape}", remedy
            )
        return make_pairs(x0, x1, cond0, None, torch.arange(len(x0)), self.assign(x0))


@dataclass(frozen=True)
class Semidiscrete(Checked):
    """Pairs of a distribution that is sampled with a finite data set, by the optimal plan between these two.

    ``max_g E_z min_k (c(z, y_k) - g_k) + sum_k b_k g_k`` by averaged stochastic gradient ascent, whose gradient is
    ``b_k - P(z in cell k)``. Each later draw finds its row by one search. Unlike pairs within minibatches, the plan has
    no bias that falls with the batch, and costs one search for each step of the training.

    Pass x0 as a function that draws rows, so that training sees fresh ones. The data set must be finite and without
    conditions; instance noise on its rows is refused.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Genevay et al. (2016), arXiv:1605.08527, section 4, for the ascent; as a coupling of flow matching:
    arXiv:2509.25519.
    """

    n_iter: Literal["auto"] | Count = "auto"
    """Steps of the ascent, with 256 draws each. ``"auto"``: 4,000, or 4 for each row of more than 1,000. Potentials are
    averaged over the last three quarters."""
    tol: Annotated[float, Gt(0)] = 0.05
    """Accepted total variation between the masses of the cells and the weights of the rows, beyond counting noise."""
    seed: Whole = 0
    """Seed of the draws from a set of rows."""

    def fit(
        self, x0: Tensor | Callable[[int, int], Tensor], x1: Tensor, weights: Tensor | None = None
    ) -> SemidiscretePlan:
        """Return the plan, with potentials learnt by stochastic ascent.

        Args:
            x0: Samples of rho0, (M, *D), draws with replacement; or ``x0(step, rows)``, which draws (rows, *D) for the
                steps 1, 2, ...
            x1: Rows of the data, (N, *D).
            weights: Weight of each row of ``x1``, (N,), finite and positive; None for equal weights.

        Raises:
            InvalidInputError: If values are not finite, shapes differ, or there are fewer samples of rho0 than rows.

        Warns:
            FitWarning: If the masses of the cells are not yet those of the rows.
        """
        source = new_generator(self.seed, "semidiscrete")

        def draws(step: int, rows: int) -> Tensor:
            if callable(x0):
                return x0(step, rows)
            return x0[torch.randint(len(x0), (rows,), generator=source)]

        judged = min(_JUDGED, len(x0)) if isinstance(x0, Tensor) else _JUDGED
        if judged < len(x1):
            remedy = "Pass x0 as a function that draws rows, or use coupling='minibatch_ot'."
            raise invalid("Semidiscrete", "x0 must have at least as many samples as x1", judged, remedy)
        check_pairing("Semidiscrete", draws(1, _BATCH), x1, None, None, equal=False, distances=True)
        return self._ascend(draws, x1, weights, x0 if judged < _JUDGED else None)

    def _ascend(
        self, draws: Callable[[int, int], Tensor], x1: Tensor, weights: Tensor | None, all_draws: Any
    ) -> SemidiscretePlan:
        b = torch.ones(len(x1)) if weights is None else weights
        y, copy_of = torch.unique(_flat(x1), dim=0, return_inverse=True)
        first = torch.full((len(y),), len(x1), device=y.device).scatter_reduce(
            0, copy_of, torch.arange(len(x1), device=y.device), "amin"
        )
        b = torch.zeros(len(y), dtype=torch.float64, device=y.device).index_add_(0, copy_of, b.to(y))
        b = b / b.sum()
        # A shift or a scale of one side changes no pair: the rows get the mean and the spread of the draws.
        pilot = _flat(draws(1, _BATCH))
        middle, variance = pilot.mean(0), float((pilot - pilot.mean(0)).square().sum(1).mean())
        centred = y - b @ y
        variance1 = float(b @ centred.square().sum(1))
        scale = math.sqrt(variance / variance1) if variance > 0 and variance1 > 0 else 1.0
        transported, unit = scale * centred + middle, 2 * variance or 1.0
        g, mean = torch.zeros_like(b), torch.zeros_like(b)
        n_iter = max(4000, 4 * len(b)) if self.n_iter == "auto" else self.n_iter
        start = n_iter // 4
        for k in range(n_iter):
            index = _cells(_flat(draws(k + 1, _BATCH)), transported, g * unit)[0]
            fraction = torch.bincount(index, minlength=len(b)).to(b) / _BATCH
            g = g + _STEP / math.sqrt(1 + k / _DECAY) * (b - fraction)
            if k >= start:
                mean = mean + (g - mean) / (k - start + 1)
        # Terms of the cost of y for the same cells, with the linear part -2 z.y unchanged.
        moved_terms = scale * centred.square().sum(1) + 2 * centred @ middle - unit * mean / scale
        g = y.square().sum(1) - moved_terms
        g = g - b @ g
        plan = torch.full((len(x1),), -math.inf, dtype=torch.float64, device=y.device).index_copy(0, first, g)
        weight = torch.zeros_like(plan).index_copy(0, first, b)
        z = _flat(draws(n_iter + 1, _JUDGED) if all_draws is None else all_draws)
        return self._judged(z, x1, plan, weight)

    def _judged(self, z: Tensor, x1: Tensor, potentials: Tensor, weights: Tensor) -> SemidiscretePlan:
        index, value = _cells(z, _flat(x1), potentials)
        masses = torch.bincount(index, minlength=len(x1)).to(weights) / len(z)
        distance = float((masses - weights).abs().sum()) / 2
        beyond = distance - math.sqrt(float((weights > 0).sum()) / (2 * math.pi * len(z)))
        if beyond > self.tol:
            rule = f"masses of the rows must differ from their weights by at most tol={self.tol!r}"
            tell(FitWarning, f"Semidiscrete: {rule}, got {beyond:.2g}. Use a larger n_iter or tol.")
        has_cell = weights > 0
        dual = float(value.mean() + weights[has_cell] @ potentials[has_cell])
        primal = float((value + potentials[index]).mean())
        return SemidiscretePlan(x1, potentials, masses, weights, distance, primal, dual)


def _flat(x: Tensor) -> Tensor:
    """Rows as vectors in float64."""
    return x.detach().reshape(len(x), -1).double()


def _cells(z: Tensor, y: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """The cell of each draw, (B,), and ``min_k |z - y_k|^2 - g_k``."""
    parts = []
    for part in torch.split(z, max(1, _ENTRIES // len(y))):
        # |z|^2 is common to all rows.
        lowest = torch.addmm(y.square().sum(1) - g, part, y.T, alpha=-2.0).min(1)
        parts.append((lowest.indices, lowest.values + part.square().sum(1)))
    index, value = (torch.cat(side) for side in zip(*parts, strict=True))
    return index, value
