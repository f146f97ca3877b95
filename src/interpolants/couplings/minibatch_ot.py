"""Optimal transport between two batches, as a permutation.

Letters: C (n, n) squared distances in units of their mean; u, v (n,) dual potentials; K Gibbs kernel.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.couplings.condition_cost import ConditionWeight, with_conditions
from interpolants.couplings.pairs import (
    AUTO,
    Cond,
    Pairs,
    check_pairing,
    check_within,
    costs,
    label_blocks,
    make_pairs,
    permutation,
)
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Check

Method = Literal["auto", "exact", "pot", "fast"]

_REDUCE_ABOVE = 128  # rows: below, the plain solver needs less time than the reduction
_LEVELS = (0.3, 0.075, 0.02, 0.01)  # entropic regularisation in units of the mean cost
_MANY = 1500  # rows: beyond, better potentials repay their price
_MOST_FAST = 8  # numbers in a row: in 64, 256 rows took 200 times the exact solver's time
_PLANS = 64  # partitions merged by the fast method


@dataclass(frozen=True)
class MinibatchOT(Checked):
    """The permutation of ``x1`` with the least total squared distance to ``x0``.

    ``sigma = argmin sum_i |x0_i - x1_sigma(i)|^2`` over all permutations. Each row of either batch is
    used exactly once, so both marginals of the batch are kept; nothing is resampled. The pairs do not
    depend on the scale or the offset of the data. Over batches this is not the optimal coupling of the
    two distributions: its bias falls as the batch grows.

    Raises:
        InvalidInputError: For an unknown method, sub_batch below 2, or a negative weight.

    Source: Conditions: Cheng & Schwing (2025), arXiv:2503.10636, with squared distances.
    Tong et al. (2023), arXiv:2302.00482; Pooladian et al. (2023), arXiv:2304.14772; assignment:
    Crouse (2016), doi:10.1109/TAES.2016.140952; fast: Genest et al. (2025).
    """

    method: Method = "auto"
    """``"exact"``: assignment on costs reduced by a few Sinkhorn steps. The reduction subtracts a number from each row
    and each column, which keeps the optimum and lets the solver find it sooner. ``"pot"``: POT's network simplex, exact
    too. ``"fast"``: POT's merged binary space partitions, a few percent above the optimum; refused above 8 dimensions,
    where it is slow and poor. ``"auto"``: sorting in one dimension, else ``"exact"``, which was the fastest exact
    method from 128 to 4096 rows in 2, 3, 8 and 64 dimensions."""
    sub_batch: Annotated[int, Ge(2)] | None = None
    """Solve in random blocks of this many rows (n^3 becomes n sub_batch^2); None for none."""
    within: Annotated[str | None, Check(check_within, "name | None")] = AUTO
    """Pair only equal labels: ``"labels"`` takes a bare condition tensor, or that key of a dict; any other string names
    another key. A base without labels is dealt to the labels of ``x1`` at random; one with labels must have them as
    often as ``x1``, which ``training.PairBatches`` sees to by drawing its rows by the labels of ``x1``. ``"auto"`` does
    so where the conditions are whole numbers, one a row. None pairs across labels, which biases the base seen by each
    condition."""
    condition_weight: ConditionWeight = "auto"
    """w >= 0 of continuous conditions, ``cost = |x0 - x1|^2 + w |c0 - c1|^2`` with each term in units of its mean, and
    c0 those of ``x0``, or drawn apart from it where it has none. ``"auto"`` is 100; 0 leaves conditions out, which
    biases the base seen by each. Without c0, between Gaussians, batches of 256 in one dimension with w = 0, 1, 10, 100
    give means of x0 that follow the condition with slopes .98, .53, .07, .03."""

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: torch.Generator | None = None,
        cond0: Cond = None,
        cond1: Cond = None,
    ) -> Pairs:
        """Pair by optimal assignment; ``x0`` keeps its order.

        Args:
            x0: Base samples, (N, *D), finite.
            x1: Data samples, (N, *D), finite, on the same device.
            generator: Draws sub-batches, deals unlabelled rows, seeds the fast method.
            cond0: Conditions of ``x0``, N rows each.
            cond1: Conditions of ``x1``, N rows each; ``x1`` and they move together.

        Returns:
            Pairs of N rows; ``index1`` is a permutation.

        Raises:
            InvalidInputError: If sizes, shapes or devices differ, values are not finite, or labels do
                not match.
            MissingExtraError: If SciPy, or POT where it was asked for, is not installed.
        """
        check_pairing("MinibatchOT", x0, x1, cond0, cond1, equal=True, distances=True)
        n = x0.shape[0]
        groups = label_blocks(
            "MinibatchOT", n, n, cond0, cond1, within=self.within, equal=True, generator=generator
        )
        told: dict[str, Any] = {
            "weight": self.condition_weight,
            "within": self.within,
            "generator": generator,
        }
        left, right = with_conditions(x0.detach(), x1.detach(), cond0, cond1, **told)
        index1 = torch.empty(n, dtype=torch.int64)
        for rows, columns in self._split(groups, generator):
            a, b = left[rows.to(x0.device)], right[columns.to(x1.device)]
            index1[rows] = columns[self._assign(a, b, generator)]
        return make_pairs(x0, x1, cond0, cond1, torch.arange(n), index1)

    def _split(
        self, groups: list[tuple[Tensor, Tensor]], generator: torch.Generator | None
    ) -> list[tuple[Tensor, Tensor]]:
        if self.sub_batch is None:
            return groups
        blocks: list[tuple[Tensor, Tensor]] = []
        for rows, columns in groups:
            # Both sides are shuffled: an order that they share must not leak into the blocks.
            shuffled = rows[permutation(len(rows), generator)], columns[permutation(len(columns), generator)]
            blocks += zip(*(torch.split(side, self.sub_batch) for side in shuffled), strict=True)
        return blocks

    def _assign(self, x0: Tensor, x1: Tensor, generator: torch.Generator | None) -> Tensor:
        """The column of each row, (n,), on the CPU."""
        n, dim = x0.shape[0], x0[0].numel()
        if n == 1:
            return torch.zeros(1, dtype=torch.int64)
        if self.method == "fast":
            if dim > _MOST_FAST:
                rule = f"method='fast' needs rows of at most {_MOST_FAST} numbers"
                remedy = "Use method='exact': faster and better there; sub_batch=256 for large batches."
                raise invalid("MinibatchOT", rule, dim, remedy)
            return _space_partition(x0, x1, generator)
        if self.method == "auto" and dim == 1:
            return sorted_assignment(x0, x1)
        cost = costs("MinibatchOT", x0, x1)[0].cpu()
        return _network_simplex(cost) if self.method == "pot" else exact_assignment(cost)


def sorted_assignment(x0: Tensor, x1: Tensor) -> Tensor:
    """On the line the optimal map is the increasing one: the i-th smallest to the i-th smallest."""
    column = torch.empty(x0.shape[0], dtype=torch.int64)
    column[x0.flatten().argsort().cpu()] = x1.flatten().argsort().cpu()
    return column


def exact_assignment(cost: Tensor) -> Tensor:
    """Optimal assignment of a square cost matrix with mean about one, on the CPU: (n, n) -> (n,)."""
    optimize = require("scipy.optimize", by="MinibatchOT")
    work = cost.double() if len(cost) <= _REDUCE_ABOVE else _reduced(cost)
    return torch.from_numpy(optimize.linear_sum_assignment(work.numpy())[1]).long()


def _reduced(cost: Tensor) -> Tensor:
    """Costs less dual potentials of the entropic problem.

    The potentials need not be good, only finite, for the assignment to stay exact. So float32 is enough,
    the kernel is made once per level, and its entries are kept far from the subnormal numbers (they are
    ten times slower than normal ones).
    """
    small = cost.float()
    v = small.amin(0)
    kernel = torch.sub(small, v)
    u = kernel.amin(1)
    steps = 8 if len(cost) <= _MANY else 20
    for reg in _LEVELS:
        torch.sub(small, u[:, None], out=kernel)
        kernel.sub_(v).mul_(-1 / reg).clamp_(-40.0, 40.0).exp_()
        a, b = torch.ones_like(u), torch.ones_like(v)
        for _ in range(steps):
            b = (a @ kernel).clamp_(1e-12, 1e12).reciprocal_()
            a = (kernel @ b).clamp_(1e-12, 1e12).reciprocal_()
        u, v = u + reg * a.log(), v + reg * b.log()
    work = cost.double() if cost.dtype != torch.float64 else cost.clone()
    return work.sub_(u.double()[:, None]).sub_(v.double())


def _network_simplex(cost: Tensor) -> Tensor:
    ot = require("ot", by="MinibatchOT(method='pot')")
    plan = torch.from_numpy(ot.emd([], [], cost.double().numpy(), numItermax=100_000_000))
    column = plan.argmax(1)
    # A vertex of the polytope of plans is a permutation; rounding inside the solver may miss one.
    return column if len(torch.unique(column)) == len(column) else exact_assignment(cost)


def _space_partition(x0: Tensor, x1: Tensor, generator: torch.Generator | None) -> Tensor:
    ot = require("ot", by="MinibatchOT(method='fast')")
    a, b = (x.double().flatten(1) if x.ndim > 1 else x.double()[:, None] for x in (x0, x1))
    a, b = a - a.mean(0), b - b.mean(0)
    device = "cpu" if generator is None else generator.device
    seed = int(torch.randint(2**31 - 1, (), generator=generator, device=device))
    narrow = a.shape[1] <= 64
    result = ot.compute_bspot_bijection(
        a.cpu().numpy(), b.cpu().numpy(), n_plans=_PLANS, gaussian_slicing=narrow, seed=seed
    )
    return torch.as_tensor(result[1], dtype=torch.int64)
