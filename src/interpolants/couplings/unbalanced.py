"""Couplings that drop rows: outliers of the target, or rows without a counterpart.

Notation: C (n, m) squared distances in units of their mean; eps regularisation and rho penalty in the same unit;
a = 1/n and b = 1/m the weights of the rows; P (n, m) the plan.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Interval
from torch import Tensor

from interpolants.couplings.condition_cost import refuse_numbers
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
from interpolants.couplings.sinkhorn import draw_columns
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.extras import require
from interpolants.foundations.kinds import Check, Count, Remedy
from interpolants.foundations.tell import FitWarning, tell

_STEPS = 10  # steps between two renewals of the kernel

Side = Literal["target", "source", "both"]


@dataclass(frozen=True)
class UnbalancedPlan:
    """An unbalanced plan, and the mass of each row in it.

    Attributes:
        plan: (N0, N1), non-negative. Its sum is the mass, at most about 1.
        mass: Sum of the plan; 1 for ``side="target"`` and ``"source"``, which keep the other marginal.
        kept0: (N0,) mass of each row of ``x0`` relative to 1 / N0: about 1 for a retained row, 0 for a dropped one.
        kept1: (N1,) mass of each row of ``x1`` relative to 1 / N1.
        reg: eps in data units squared.
        rho: rho in data units squared.
        change: Largest change of a potential in the last step, in units of the mean cost.
        steps: Steps made.
        converged: Whether ``change`` is at most the tolerance.
    """

    plan: Tensor
    mass: float
    kept0: Tensor
    kept1: Tensor
    reg: float
    rho: float
    change: float
    steps: int
    converged: bool


@dataclass(frozen=True)
class Unbalanced(Checked):
    """Pairs drawn from an entropic plan that may drop rows.

    ``P = argmin <P, C> + eps KL(P | a b') + rho KL(P 1 | a) + rho KL(P' 1 | b)``, where the marginal of a side that is
    not relaxed holds exactly. ``C`` is the squared distance, ``eps = reg x (mean of C)`` and ``rho = relax x (mean of
    C)``. A row that lies far from all rows of the other side, in units of ``rho``, loses its mass.

    The model then learns the distribution of the retained rows: with ``side="target"`` the distribution of ``x1``
    weighted by ``kept1`` of :meth:`plan`, from all of ``x0``. Do not use it where every row of ``x1`` counts. As
    ``relax`` grows the plan tends to that of :class:`Sinkhorn`.

    Unlike the balanced plans, this one depends on a shift between the two sides: the shift is part of the cost.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Chizat et al. (2018), arXiv:1607.05816; as a minibatch coupling: Fatras et al. (2021), arXiv:2103.03606.
    """

    relax: Annotated[float, Gt(0), Remedy("Use Sinkhorn to keep both marginals.")] = 1.0
    """rho relative to the mean cost; smaller values drop more rows."""
    side: Side = "target"
    """Side that may lose rows: ``"target"`` is ``x1``, ``"source"`` is ``x0``."""
    reg: Annotated[float, Gt(0), Remedy("Use PartialOT for no entropy.")] = 0.05
    """eps relative to the mean cost."""
    n_iter: Count = 2000
    """Most steps."""
    tol: Annotated[float, Gt(0)] = 1e-5
    """Largest accepted change of a potential in the last step, in units of the mean cost."""
    within: Annotated[str | None, Check(check_within, "name | None")] = AUTO
    """As in ``MinibatchOT``: pair only rows of the same label."""

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: torch.Generator | None = None,
        cond0: Cond = None,
        cond1: Cond = None,
    ) -> Pairs:
        """Draw as many pairs from the plan as ``x0`` has rows.

        Args:
            x0: Base samples, (N0, *D), finite.
            x1: Data samples, (N1, *D), finite, on the same device.
            generator: Draws the pairs, and deals unlabelled rows.
            cond0: Conditions of ``x0``, N0 rows each.
            cond1: Conditions of ``x1``, N1 rows each.

        Returns:
            Pairs of N0 rows. With ``side="target"`` ``index0`` is 0 .. N0 - 1; else rows of ``x0`` are drawn, too.

        Raises:
            InvalidInputError: If shapes or devices differ, values are not finite, labels do not match, or conditions
                are continuous.
            DivergedError: If no mass is left.

        Warns:
            FitWarning: If the tolerance was not reached; the pairs then come from the unconverged plan.
        """
        refuse_numbers("Unbalanced", cond0, cond1, self.within)
        check_pairing("Unbalanced", x0, x1, cond0, cond1, equal=False, distances=True)
        n0, n1 = x0.shape[0], x1.shape[0]
        groups = label_blocks(
            "Unbalanced", n0, n1, cond0, cond1, within=self.within, equal=False, generator=generator
        )
        index0, index1 = torch.arange(n0), torch.empty(n0, dtype=torch.int64)
        for rows, columns in groups:
            result = self.plan(x0[rows.to(x0.device)], x1[columns.to(x1.device)])
            if not result.converged:
                rule = f"potentials must change by at most tol={self.tol!r} in a step"
                reached = f"{result.change:.2g} after {result.steps} steps"
                tell(FitWarning, f"Unbalanced: {rule}, got {reached}. Use a larger n_iter, reg or tol.")
            chosen = torch.arange(len(rows))
            if self.side != "target":
                # Each row of the base is drawn in proportion to its mass.
                chosen = draw_columns(result.kept0.expand(len(rows), -1), generator)
            index0[rows] = rows[chosen]
            index1[rows] = columns[draw_columns(result.plan[chosen.to(result.plan.device)], generator)]
        return make_pairs(x0, x1, cond0, cond1, index0, index1)

    def plan(self, x0: Tensor, x1: Tensor) -> UnbalancedPlan:
        """The plan itself, without drawing; ``kept1`` shows which rows of ``x1`` are dropped.

        Args:
            x0: (N0, *D), finite.
            x1: (N1, *D), finite, on the same device.

        Raises:
            InvalidInputError: If shapes or devices differ, or values are not finite.
            DivergedError: If no mass is left.
        """
        check_pairing("Unbalanced", x0, x1, None, None, equal=False, distances=True)
        with torch.no_grad():
            cost, unit = costs("Unbalanced", x0, x1, common=True)
            rho0 = math.inf if self.side == "target" else self.relax
            rho1 = math.inf if self.side == "source" else self.relax
            plan, change, steps = _solve(cost, self.reg, rho0, rho1, self.n_iter, self.tol)
        mass = float(plan.sum())
        if not (math.isfinite(mass) and mass > 0):
            rule = f"no mass remains at relax={self.relax!r}"
            raise DivergedError(f"Unbalanced: {rule}. Use a larger relax or reg.")
        kept0, kept1 = plan.sum(1) * len(plan), plan.sum(0) * plan.shape[1]
        scale = self.reg * unit, self.relax * unit
        return UnbalancedPlan(plan, mass, kept0, kept1, *scale, change, steps, change <= self.tol)


def _solve(
    cost: Tensor, reg: float, rho0: float, rho1: float, n_iter: int, tol: float
) -> tuple[Tensor, float, int]:
    """Plan (n, m), largest change of a potential in the last step, and steps made.

    With uniform weights a step is ``g = -k1 eps log mean_i exp((f_i - C_ij) / eps)`` with ``k1 = rho1 / (rho1 + eps)``,
    then ``f`` in the same way; ``k = 1`` keeps the marginal. As in :class:`Sinkhorn`, the potentials are moved into the
    kernel every few steps, and the steps in between are matrix-vector products. A shift of f against g converges
    slowest, by a factor of ``k0 k1`` a step, and is therefore set to its optimum whenever the kernel is renewed.
    """
    n, m = cost.shape
    k0, k1 = (1.0 if rho == math.inf else rho / (rho + reg) for rho in (rho0, rho1))
    floor = -300.0 if cost.dtype == torch.float64 else -40.0  # no zeros, by which the steps would divide
    f, g = cost.new_zeros(n), cost.new_zeros(m)
    change, steps = math.inf, 0
    while steps < n_iter and change > tol:
        shift = _best_shift(f, g, rho0, rho1)
        f, g = f + shift, g - shift
        kernel = (f[:, None] + g - cost).div_(reg).clamp_(min=floor).exp_()
        start0, start1, a = f, g, torch.ones_like(f)
        for _ in range(min(_STEPS, n_iter - steps)):
            before = f
            g = k1 * (start1 - reg * (a @ kernel / n).log())
            f = k0 * (start0 - reg * (kernel @ ((g - start1) / reg).exp() / m).log())
            a = ((f - start0) / reg).exp()
            change, steps = float((f - before).abs().max()), steps + 1
    if rho1 == math.inf:  # the marginal that holds is set last
        g = -reg * (((f[:, None] - cost) / reg).logsumexp(0) - math.log(n))
    elif rho0 == math.inf:
        f = -reg * (((g - cost) / reg).logsumexp(1) - math.log(m))
    return ((f[:, None] + g - cost) / reg).exp() / (n * m), change, steps


def _best_shift(f: Tensor, g: Tensor, rho0: float, rho1: float) -> float:
    """T of f + t and g - t at the maximum of the dual problem (Séjourné et al. 2022, arXiv:2201.00730)."""
    log0 = 0.0 if rho0 == math.inf else float((-f / rho0).logsumexp(0)) - math.log(len(f))
    log1 = 0.0 if rho1 == math.inf else float((-g / rho1).logsumexp(0)) - math.log(len(g))
    return (log0 - log1) / (1 / rho0 + 1 / rho1)


@dataclass(frozen=True)
class PartialOT(Checked):
    """The cheapest pairs, each row used at most once, until a share of the rows is paired.

    ``argmin sum |x0_i - x1_j|^2`` over ``k = round(mass x min(N0, N1))`` pairs without a common row, exact: an
    assignment with ``N1 - k`` rows and ``N0 - k`` columns added, which cost nothing and take the dropped rows.

    Both ends lose rows: the model learns the distributions of the rows that are paired. As in :class:`Unbalanced`, a
    shift between the two sides counts.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Chapel, Alaya & Gasso (2020), arXiv:2002.08276.
    """

    mass: Annotated[float, Interval(gt=0, le=1)] = 0.9
    """Share of the rows of the smaller side that are paired; 1 pairs them all."""
    within: Annotated[str | None, Check(check_within, "name | None")] = AUTO
    """As in ``MinibatchOT``: pair only rows of the same label, and this share of each label."""

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: torch.Generator | None = None,
        cond0: Cond = None,
        cond1: Cond = None,
    ) -> Pairs:
        """Pair the cheapest rows; dropped rows are not returned.

        Args:
            x0: Base samples, (N0, *D), finite.
            x1: Data samples, (N1, *D), finite, on the same device.
            generator: Deals unlabelled rows, and draws the pairs that are repeated.
            cond0: Conditions of ``x0``, N0 rows each.
            cond1: Conditions of ``x1``, N1 rows each.

        Returns:
            Pairs of N0 rows, so that a batch keeps its size: each of the k pairs, then pairs drawn from them at random.

        Raises:
            InvalidInputError: If shapes or devices differ, values are not finite, labels do not match, conditions are
                continuous, or so few rows are given that none is paired.
            MissingExtraError: If SciPy is not installed.
        """
        refuse_numbers("PartialOT", cond0, cond1, self.within)
        check_pairing("PartialOT", x0, x1, cond0, cond1, equal=False, distances=True)
        n0, n1 = x0.shape[0], x1.shape[0]
        groups = label_blocks(
            "PartialOT", n0, n1, cond0, cond1, within=self.within, equal=False, generator=generator
        )
        taken = []
        for rows, columns in groups:
            cost, _ = costs("PartialOT", x0[rows.to(x0.device)], x1[columns.to(x1.device)], common=True)
            i, j = self._cheapest(cost.cpu())
            taken.append((rows[i], columns[j]))
        index0, index1 = (torch.cat(side) for side in zip(*taken, strict=True))
        if not len(index0):
            few = f"{min(n0, n1)} rows at mass={self.mass!r}"
            raise invalid(
                "PartialOT", "at least one pair must remain", few, "Use larger batches or a larger mass."
            )
        repeats = torch.cat([permutation(len(index0), generator) for _ in range(-(-n0 // len(index0)))])
        order = torch.cat([torch.arange(len(index0)), repeats])[:n0]
        return make_pairs(x0, x1, cond0, cond1, index0[order], index1[order])

    def _cheapest(self, cost: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns of the pairs, in the order of the rows."""
        optimize = require("scipy.optimize", by="PartialOT")
        n, m = cost.shape
        k = round(self.mass * min(n, m))
        extended = cost.new_zeros(n + m - k, n + m - k, dtype=torch.float64)
        extended[:n, :m] = cost
        # Two added entries never meet: each would save a pair.
        extended[n:, m:] = 1 + (n + m) * float(cost.max())
        i, j = (torch.from_numpy(side).long() for side in optimize.linear_sum_assignment(extended.numpy()))
        real = (i < n) & (j < m)
        return i[real], j[real]
