"""Entropic optimal transport between two batches.

Letters: C (n, m) costs in units of their mean; eps regularisation in the same unit; f (n,), g (m,) potentials;
P_ij = exp((f_i + g_j - C_ij) / eps) / (n m) the plan.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Gt, Interval
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
)
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Check, Count, Remedy
from interpolants.foundations.tell import FitWarning, tell

_WARM_STEPS = 5  # steps at each regularisation on the way down
_STEPS = 10  # steps between two renewals of the kernel, at the final regularisation


@dataclass(frozen=True)
class EntropicPlan:
    """A plan and how good it is.

    Attributes:
        plan: (N0, N1), non-negative; rows sum to 1 / N0, columns nearly to 1 / N1, all to 1.
        reg: The regularisation used, in data units squared.
        error: Sum of ``|row sum - 1 / N0|`` and of ``|column sum - 1 / N1|`` when the iteration stopped.
        steps: Sinkhorn steps made at the final regularisation.
        converged: Whether ``error`` is at most the tolerance.
        f: (N0,) potential of the rows, data units squared: ``P_ij = exp((f_i + g_j - C_ij) / reg) / (N0 N1)`` with C
            the squared distances of the centred clouds.
        g: (N1,) potential of the columns.
    """

    plan: Tensor
    reg: float
    error: float
    steps: int
    converged: bool
    f: Tensor
    g: Tensor


@dataclass(frozen=True)
class Sinkhorn(Checked):
    """Pairs drawn from the entropic plan between two batches.

    ``P = argmin <P, C> + eps KL(P | a x b)`` with uniform a, b and ``eps = reg x (mean of C)``, C the
    squared distances of the centred clouds: ``reg`` has no unit and the plan ignores scale and offset.
    As reg -> 0 the plan tends to the optimal assignment, as reg -> infinity to independence. With
    ``C / 2`` and ``eps = sigma^2`` of a Brownian motion it is the Schrödinger bridge's coupling; that
    value is ``reg = 2 sigma^2 / (mean of C)``.

    Each row of ``x0`` is kept and draws one column j with probability ``P_ij N0``: the base marginal is
    kept exactly, and rows of ``x1`` may appear several times or not at all (their expected number of
    appearances is right). Sizes may differ.

    The potentials are kept in the log domain, with eps lowered in steps of one half. Between two renewals of
    the kernel the steps are matrix-vector products: the same iterates at a tenth of the cost.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Cuturi (2013), arXiv:1306.0895; stabilisation: Schmitzer (2019), arXiv:1610.06519; as a coupling:
    Tong et al. (2023), arXiv:2302.00482.
    """

    reg: Annotated[float, Gt(0), Remedy("Use MinibatchOT for no entropy.")] = 0.05
    """Regularisation relative to the mean cost."""
    n_iter: Count = 2000
    """Most steps at the final regularisation."""
    tol: Annotated[float, Interval(gt=0, lt=2)] = 1e-3
    """Largest accepted ``error`` of the marginals."""
    within: Annotated[str | None, Check(check_within, "name | None")] = AUTO
    """As in ``MinibatchOT``: draw only columns of the same label."""
    condition_weight: ConditionWeight = "auto"
    """As in ``MinibatchOT``, for continuous conditions."""

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: torch.Generator | None = None,
        cond0: Cond = None,
        cond1: Cond = None,
    ) -> Pairs:
        """Draw one partner for every row of ``x0``.

        Args:
            x0: Base samples, (N0, *D), finite.
            x1: Data samples, (N1, *D), finite, on the same device.
            generator: Draws the partners, and deals unlabelled rows.
            cond0: Conditions of ``x0``, N0 rows each.
            cond1: Conditions of ``x1``, N1 rows each.

        Returns:
            Pairs of N0 rows; ``index0`` is 0 .. N0 - 1.

        Raises:
            InvalidInputError: If shapes or devices differ, values are not finite, or labels do not match.
            DivergedError: If the iteration becomes NaN or infinite.

        Warns:
            FitWarning: If the tolerance was not reached; the pairs come from the plan as it is.
        """
        check_pairing("Sinkhorn", x0, x1, cond0, cond1, equal=False, distances=True)
        n0, n1 = x0.shape[0], x1.shape[0]
        groups = label_blocks(
            "Sinkhorn", n0, n1, cond0, cond1, within=self.within, equal=False, generator=generator
        )
        told: dict[str, Any] = {
            "weight": self.condition_weight,
            "within": self.within,
            "generator": generator,
        }
        left, right = with_conditions(x0, x1, cond0, cond1, **told)
        index1 = torch.empty(n0, dtype=torch.int64)
        for rows, columns in groups:
            plan = self.plan(left[rows.to(x0.device)], right[columns.to(x1.device)])
            if not plan.converged:
                tell(FitWarning, self._complaint(plan))
            index1[rows] = columns[draw_columns(plan.plan, generator)]
        return make_pairs(x0, x1, cond0, cond1, torch.arange(n0), index1)

    def plan(self, x0: Tensor, x1: Tensor) -> EntropicPlan:
        """The entropic plan itself, without drawing.

        Args:
            x0: (N0, *D), finite.
            x1: (N1, *D), finite, on the same device.

        Raises:
            InvalidInputError: If shapes or devices differ, or values are not finite.
            DivergedError: If the iteration becomes NaN or infinite.
        """
        check_pairing("Sinkhorn", x0, x1, None, None, equal=False, distances=True)
        with torch.no_grad():
            cost, unit = costs("Sinkhorn", x0, x1)
            plan, error, steps, f, g = _solve(cost, self.reg, self.n_iter, self.tol)
        if not math.isfinite(error):
            raise DivergedError(
                f"Sinkhorn: the iteration became NaN or infinite at reg={self.reg!r}. Use a larger reg."
            )
        return EntropicPlan(plan, self.reg * unit, error, steps, error <= self.tol, f * unit, g * unit)

    def _complaint(self, plan: EntropicPlan) -> str:
        return (
            f"Sinkhorn: marginals must be right to tol={self.tol!r}, got {plan.error:.2g} after "
            f"{plan.steps} steps at reg={self.reg!r}. Use a larger reg, n_iter or tol, or MinibatchOT."
        )


def _solve(cost: Tensor, reg: float, n_iter: int, tol: float) -> tuple[Tensor, float, int, Tensor, Tensor]:
    """Plan (n, m), error of its marginals, steps at the final regularisation, potentials of rows and columns."""
    f, g = cost.new_zeros(cost.shape[0]), cost.new_zeros(cost.shape[1])
    level = max(1.0, reg)
    while level > reg:
        f, g = _steps(*_kernel(cost, f, g, level), level, _WARM_STEPS)
        level = max(level / 2, reg)
    f, g, kernel = _kernel(cost, f, g, reg)
    steps, error = 0, math.inf
    while steps < n_iter and error > tol:
        some = min(_STEPS, n_iter - steps)
        f, g = _steps(f, g, kernel, reg, some)
        steps += some
        f, g, kernel = _kernel(cost, f, g, reg)
        error = float((kernel.mean(0) - 1).abs().mean() + (kernel.mean(1) - 1).abs().mean())
        if not math.isfinite(error):
            break
    # f was updated last, so the rows are right but for rounding; make them so to the last bit.
    sums = kernel.sum(1, keepdim=True)
    f = f - reg * (sums.squeeze(1) / cost.shape[1]).log()
    return kernel / (sums * cost.shape[0]), error, steps, f, g


def _steps(f: Tensor, g: Tensor, kernel: Tensor, reg: float, n: int) -> tuple[Tensor, Tensor]:
    """``n`` Sinkhorn steps from (f, g), where ``kernel`` was made; each sets g from f, then f from g."""
    rows, columns = kernel.shape
    a = torch.ones_like(f)
    for _ in range(n):
        b = rows / (a @ kernel)
        a = columns / (kernel @ b)
    return f + reg * a.log(), g + reg * b.log()


def _kernel(cost: Tensor, f: Tensor, g: Tensor, reg: float) -> tuple[Tensor, Tensor, Tensor]:
    """Potentials, and exp((f + g - C) / reg) with a floor.

    The floor carries no mass and keeps out zeros, by which the steps would divide, and subnormal numbers, which are
    slow. Where it binds for a whole row or column, such as an outlier's, the potential is found in the log domain.
    """
    floor = -300.0 if cost.dtype == torch.float64 else -40.0
    kernel = _exponential(cost, f, g, reg, floor)
    rows, columns = (kernel.mean(k) <= 2 * math.exp(floor) for k in (1, 0))
    if not bool(rows.any() or columns.any()):
        return f, g, kernel
    f, g = f.clone(), g.clone()
    g[columns] = reg * (math.log(len(f)) - ((f[:, None] - cost[:, columns]) / reg).logsumexp(0))
    f[rows] = reg * (math.log(len(g)) - ((g - cost[rows]) / reg).logsumexp(1))
    return f, g, _exponential(cost, f, g, reg, floor)


def _exponential(cost: Tensor, f: Tensor, g: Tensor, reg: float, floor: float) -> Tensor:
    return (f[:, None] + g - cost).div_(reg).clamp_(min=floor).exp_()


def draw_columns(plan: Tensor, generator: torch.Generator | None) -> Tensor:
    """One column for each row, by inversion of the row's distribution function: (n, m) -> (n,) on the CPU."""
    cdf = plan.double().cpu().cumsum(1)
    device = "cpu" if generator is None else generator.device
    uniform = torch.rand(len(cdf), 1, generator=generator, device=device, dtype=torch.float64).cpu()
    column = torch.searchsorted(cdf, uniform * cdf[:, -1:], right=True)
    return column.squeeze(1).clamp_(max=cdf.shape[1] - 1)
