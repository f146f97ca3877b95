"""Optimal transport with growth between two weighted sets: the Wasserstein-Fisher-Rao distance.

Notation: rows x_i with masses a_i at t = 0, y_j with masses b_j at t = 1, whose sums may differ; delta the length
scale; d distances, phi = d / (2 delta); P (N0, N1) the plan, with row sums p_i and column sums q_j.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from interpolants.couplings.pairs import check_pairing
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count
from interpolants.foundations.tell import FitWarning, tell

_QUANTILE = 0.99  # of the distances to the nearest row, twice which is the cut-off of an automatic delta
_EVERY = 20  # steps between two looks at the duality gap
_NOTHING = 1e-12  # share of the mass of a row below which a pair carries nothing


@dataclass(frozen=True)
class GrowthPlan:
    """Plan that moves, creates and destroys mass at the smallest action.

    Attributes:
        x0: (N0, D) rows at t = 0.
        x1: (N1, D) rows at t = 1.
        mass0: (N0,) their masses.
        mass1: (N1,) those of x1.
        plan: (N0, N1) optimal entropy-transport plan; all zero in rows and columns without a partner.
        cost: Squared distance, in data units squared times mass.
        error: Bound of the error of ``cost``, from the dual problem.
        delta: Length scale; rows further apart than ``pi delta`` are never paired.
    """

    x0: Tensor
    x1: Tensor
    mass0: Tensor
    mass1: Tensor
    plan: Tensor
    cost: float
    error: float
    delta: float

    @property
    def growth0(self) -> Tensor:
        """Mass at t = 1 that comes from each row of x0, over its mass at t = 0, (N0,); 0 for rows that vanish."""
        return self._masses()[1].sum(1) / self.mass0

    @property
    def created(self) -> float:
        """Mass at t = 1 that comes from no row of x0."""
        return float(self.mass1[self.plan.sum(0) == 0].sum())

    def at(self, t: float) -> tuple[Tensor, Tensor]:
        """Rows (K, D) and masses (K,) of the interpolation at a time in [0, 1].

        A pair at angle phi with end masses m0 and m1 has the mass ``(1-t)^2 m0 + t^2 m1 + 2 t (1-t) sqrt(m0 m1) cos
        phi``. Rows of x0 without a partner fade as ``(1-t)^2``, and those of x1 appear as ``t^2``.

        Args:
            t: The time.
        """
        number("GrowthPlan.at", "t", t, at_least=0, at_most=1)
        m0, m1 = self._masses()
        i, j = (m0 + m1 > 0).nonzero(as_tuple=True)
        m0, m1, start, shift = m0[i, j], m1[i, j], self.x0[i], self.x1[j] - self.x0[i]
        distance = shift.norm(dim=1)
        phi = distance / (2 * self.delta)
        r0, r1 = (1 - t) * m0.sqrt(), t * m1.sqrt()
        mass = r0.square() + r1.square() + 2 * r0 * r1 * phi.cos()
        angle = torch.atan2(r1 * phi.sin(), r0 + r1 * phi.cos())
        fraction = torch.where(distance > 0, angle / phi, torch.zeros_like(phi))
        alone0, alone1 = self.plan.sum(1) == 0, self.plan.sum(0) == 0
        rows = [start + fraction[:, None] * shift, self.x0[alone0], self.x1[alone1]]
        masses = [mass, (1 - t) ** 2 * self.mass0[alone0], t**2 * self.mass1[alone1]]
        return torch.cat(rows), torch.cat(masses)

    def _masses(self) -> tuple[Tensor, Tensor]:
        """Mass of each pair at t = 0 and at t = 1, (N0, N1) each."""
        p, q = self.plan.sum(1, keepdim=True), self.plan.sum(0, keepdim=True)
        shares = [self.plan / torch.where(side > 0, side, torch.ones_like(side)) for side in (p, q)]
        return self.mass0[:, None] * shares[0], self.mass1 * shares[1]


@dataclass(frozen=True)
class WassersteinFisherRao(Checked):
    """Transport with growth between two weighted sets, by the action ``int (|v|^2 + delta^2 g^2) rho dx dt``.

    Here ``d rho / dt + div(rho v) = g rho``: mass may move by the velocity v and grow at the rate g. The static form is
    ``4 delta^2 min_P sum P c + KL(P 1 | a) + KL(P' 1 | b)`` with ``c = -2 log cos(min(d / (2 delta), pi / 2))``. It is
    solved without entropic regularisation by ``P <- sqrt(a / p) cos(phi) P sqrt(b / q)``, which never increases the
    objective; the duality gap stops it.

    Two snapshots do not determine growth: it depends on delta, the distance at which mass grows rather than moves.
    Report what holds at delta / 2, delta and 2 delta. Memory and a step need N0 N1 numbers: at most some thousand rows.

    Raises:
        InvalidInputError: If delta, n_iter or tol is outside its range.

    Source: Liero, Mielke & Savare (2018), arXiv:1508.07941; Chizat et al. (2018), arXiv:1506.06430; steps: Chapel et
    al. (2021), arXiv:2106.04145.
    """

    delta: Literal["auto"] | Annotated[float, Gt(0)] = "auto"
    """Length scale, in data units. ``"auto"``: the .99 quantile of the distances between nearest rows of the two sets
    times ``2 / pi``, so that hardly any row is without a partner."""
    n_iter: Count = 20_000
    """Most steps."""
    tol: Annotated[float, Gt(0)] = 1e-4
    """Accepted duality gap, relative to ``4 delta^2`` times the sum of all masses."""

    def plan(
        self, x0: Tensor, x1: Tensor, *, weights0: Tensor | None = None, weights: Tensor | None = None
    ) -> GrowthPlan:
        """Return the plan of the smallest action.

        Args:
            x0: Rows at t = 0, (N0, D), finite.
            x1: Rows at t = 1, (N1, D), finite.
            weights0: Mass of each row of x0, (N0,), finite and positive; None for 1 / N0. Sums are masses: growth by a
                factor R is ``weights = R / N1``.
            weights: Mass of each row of x1, (N1,); None for 1 / N1.

        Raises:
            InvalidInputError: If rows or weights are not as above, or no two rows are nearer than ``pi delta``.

        Warns:
            FitWarning: If the duality gap is still larger than ``tol``.
        """
        caller = "WassersteinFisherRao"
        check_pairing(caller, x0, x1, None, None, equal=False, distances=True)
        x0, x1 = (x.detach().reshape(len(x), -1).double() for x in (x0, x1))
        a, b = _masses_of("weights0", weights0, x0), _masses_of("weights", weights, x1)
        distances = torch.cdist(x0, x1, compute_mode="donot_use_mm_for_euclid_dist")
        delta = _automatic(distances) if self.delta == "auto" else self.delta
        cosines = (distances / (2 * delta)).clamp(max=math.pi / 2).cos()
        cosines[distances >= math.pi * delta] = 0
        if not bool(cosines.any()):
            rule = "some rows of x0 and x1 must be nearer than pi delta"
            raise invalid(
                caller, rule, f"{float(distances.min()):g} at delta={delta:g}", "Use a larger delta."
            )
        plan, primal, error = self._solved(cosines, a, b)
        unit = 4 * delta**2
        return GrowthPlan(x0, x1, a, b, plan, unit * primal, unit * error, float(delta))

    def _solved(self, cosines: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, float, float]:
        """Plan, value and duality gap, in units of 4 delta^2."""
        plan = (a[:, None] * b).sqrt() * cosines / (a.sum() * b.sum()).sqrt()
        accepted, total, value, error = self.tol, float(a.sum() + b.sum()), math.inf, math.inf
        for step in range(self.n_iter):
            ratio0, ratio1 = (_ratio(mass, plan.sum(dim)) for mass, dim in ((a, 1), (b, 0)))
            if step % _EVERY == 0:
                value, error = _objective(plan, cosines, a, b, ratio0, ratio1)
                if error <= accepted * total:
                    break
            plan = ratio0.sqrt()[:, None] * cosines * plan * ratio1.sqrt()
        else:
            rule = f"the duality gap must fall to tol={self.tol!r}"
            received = f"{error / total:.2g} after {self.n_iter} steps"
            tell(FitWarning, f"WassersteinFisherRao: {rule}, got {received}. Use a larger n_iter or tol.")
        small = (plan < _NOTHING * a[:, None]) & (plan < _NOTHING * b)
        return plan.masked_fill(small, 0.0), value, error


def _masses_of(name: str, weights: Tensor | None, x: Tensor) -> Tensor:
    if weights is None:
        return torch.full((len(x),), 1 / len(x), dtype=x.dtype, device=x.device)
    if weights.shape != (len(x),):
        rule = f"{name} must be one number for each row, ({len(x)},)"
        raise invalid("WassersteinFisherRao", rule, f"shape {tuple(weights.shape)}")
    if not bool((torch.isfinite(weights) & (weights > 0)).all()):
        rule, smallest = f"{name} must be finite and > 0", f"{float(weights.min()):g}"
        raise invalid("WassersteinFisherRao", rule, smallest, "Drop rows without mass.")
    return weights.detach().to(x)


def _automatic(distances: Tensor) -> float:
    nearest = torch.cat([distances.amin(0), distances.amin(1)])
    delta = 2 / math.pi * float(nearest.quantile(_QUANTILE))
    if delta == 0:
        remedy = "Pass delta, in data units."
        raise invalid("WassersteinFisherRao", "delta='auto' needs rows that differ", "equal sets", remedy)
    return delta


def _ratio(mass: Tensor, total: Tensor) -> Tensor:
    """``mass / total``; 1 where nothing is left, for rows without a partner."""
    return torch.where(total > 0, mass / torch.where(total > 0, total, torch.ones_like(total)), 1.0)


def _objective(
    plan: Tensor, cosines: Tensor, a: Tensor, b: Tensor, ratio0: Tensor, ratio1: Tensor
) -> tuple[float, float]:
    """Value of the plan, and how far above the optimum it is at most.

    Potentials ``f = log(a / p)``, ``g = log(b / q)``, lowered together until ``f + g <= c`` holds for all pairs, are
    feasible for the dual problem ``sum a (1 - e^-f) + sum b (1 - e^-g)``.
    """
    paired0, paired1 = plan.sum(1) > 0, plan.sum(0) > 0
    # sqrt(a b / (p q)) cos(phi) is 1 on the plan at the optimum, and at most 1 elsewhere.
    excess = float((ratio0.sqrt()[:, None] * cosines * ratio1.sqrt()).max().clamp_min(1e-300))
    value = dual = 0.0
    for mass, ratio, paired in ((a, ratio0, paired0), (b, ratio1, paired1)):
        fraction = torch.where(paired, mass / ratio, torch.zeros_like(mass))  # p, or q
        value += float(
            (torch.where(paired, fraction * -ratio.log(), torch.zeros_like(mass)) - fraction + mass).sum()
        )
        dual += float((mass - excess * fraction).sum())
    positive = plan > 0
    value += float((plan[positive] * -2 * cosines[positive].log()).sum())
    return value, value - dual
