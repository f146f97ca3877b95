"""Couplings from a light entropic plan: the conditional is a Gaussian mixture in closed form, given or fitted."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from interpolants.couplings.pairs import Cond, Pairs, check_pairing
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count, Whole
from interpolants.generative.schrodinger.couplings.light_plan import LightPlan, check_eps
from interpolants.generative.schrodinger.couplings.light_settings import LightTraining
from interpolants.generative.schrodinger.couplings.light_training import fit_light_plan


@dataclass(frozen=True)
class PlanCoupling:
    """Pairs ``(x0, x1)`` with ``x1 ~ pi(. | x0)`` of a plan in closed form.

    Unlike a plan between two batches it has no bias of the batch, and every conditional has a density:
    ``plan.sample(x0)``, ``plan.log_prob(x1, x0)``, ``plan.moments(x0)``. On the path
    ``Linear(BrownianEnvelope(scale=2 eps))`` the interpolant is the Schroedinger bridge itself; any other path may be
    taken.

    Args:
        plan: The conditional distribution of the drawn end given the kept one, on flattened states.
        reverse: Keep ``x1`` and draw ``x0``; ``plan`` then starts at x1.

    Source: Korotin, Gushchin & Burnaev (2024), arXiv:2310.01174.
    """

    plan: LightPlan
    reverse: bool = False

    def pair(
        self,
        x0: Tensor,
        x1: Tensor,
        *,
        generator: torch.Generator | None = None,
        cond0: Cond = None,
        cond1: Cond = None,
    ) -> Pairs:
        """Keep one side and draw the other from the plan.

        Args:
            x0: Base samples, (N0, *D).
            x1: Data samples, (N1, *D); their values are not used, unless ``reverse``.
            generator: Draws the made side.
            cond0: Conditions of ``x0``; those of the kept side serve both.
            cond1: Conditions of ``x1``.

        Returns:
            A pair for each row of the kept side; the index of the made side is -1.

        Raises:
            InvalidInputError: If a batch does not fit the plan, or the made side alone has conditions: what is drawn
                does not know them.
        """
        check_pairing("PlanCoupling", x0, x1, cond0, cond1, equal=False, distances=True)
        kept, cond, other = (x1, cond1, cond0) if self.reverse else (x0, cond0, cond1)
        if cond is None and other is not None:
            rule, found = "conditions must come with the kept side", "cond0" if self.reverse else "cond1"
            remedy = "The plan knows none: pair within labels, e.g. by MinibatchOT(within='labels')."
            raise invalid("PlanCoupling", rule, f"{found} alone", remedy)
        plan = self.plan if self.plan.offsets.device == kept.device else self.plan.to(device=kept.device)
        made = plan.sample(kept.flatten(1), generator=generator).reshape(kept.shape)
        rows = torch.arange(len(kept), device=kept.device)
        none = torch.full_like(rows, -1)
        if self.reverse:
            return Pairs(made, kept, cond, cond, none, rows)
        return Pairs(kept, made, cond, cond, rows, none)


@dataclass(frozen=True)
class LightCoupling(Checked):
    """The coupling of the Schroedinger bridge, learnt from the two sample sets before the first batch.

    ``LightCoupling(eps=0.05).fit(x0, x1)`` is a :class:`PlanCoupling`; trainers call ``fit`` themselves, so that it may
    be given, by name too, wherever a coupling may.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Korotin, Gushchin & Burnaev (2024), arXiv:2310.01174, with ``epsilon = 2 eps``.
    """

    eps: Annotated[float, Check(check_eps, "number > 0")] = 0.05
    """Diffusivity of the reference ``sqrt(2 eps) W``, in the units of the states squared (standardised ones in
    ``Bridge``); the cost of a pair is ``|x0 - x1|^2 / 2`` and the entropic strength ``2 eps``."""
    n_components: Count = 20
    """Components of the potential."""
    covariance: Literal["diagonal", "full"] = "diagonal"
    """Slopes of the components."""
    reverse: bool = False
    """Keep ``x1`` and draw ``x0``."""
    seed: Whole = 0
    """Seed of the learning."""

    def fit(self, x0: Tensor, x1: Tensor) -> PlanCoupling:
        """Learn the plan from samples ``(N0, *D)`` and ``(N1, *D)``.

        Raises:
            InvalidInputError: If the samples break a rule (see :func:`fit_light_plan`), or a column of the drawn end
                has one value.
            DivergedError: If the loss becomes NaN or infinite.
        """
        kept, made = (x1, x0) if self.reverse else (x0, x1)
        _check_columns_vary(made.flatten(1))
        how = LightTraining(n_components=self.n_components, covariance=self.covariance, seed=self.seed)
        found = fit_light_plan(kept.flatten(1), made.flatten(1), eps=self.eps, settings=how)
        return PlanCoupling(found.plan, self.reverse)


def _check_columns_vary(x: Tensor) -> None:
    """Refuse columns of one value: the mixture's variance along them would fall to 0, and the loss without bound."""
    flat = ~(x.amax(0) - x.amin(0) > 4 * torch.finfo(x.dtype).eps * x.abs().amax(0))
    if bool(flat.any()):
        rule = "every column of the end that is drawn must vary"
        remedy = "Omit them, or use coupling='sinkhorn', which pairs the samples themselves."
        raise invalid("LightCoupling", rule, f"{int(flat.sum())} of one value", remedy)
