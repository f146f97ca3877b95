"""The Schroedinger bridge by entropic optimal transport and Brownian bridges.

The bridge is known once its coupling is: draw (x0, x1) from the entropic plan and join them by a Brownian bridge,
``x_t = (1-t) x0 + t x1 + sqrt(2 eps t (1-t)) z``. The plan minimises ``<P, |x0 - x1|^2 / 2> + 2 eps KL``, for the
kernel of ``sqrt(2 eps) W`` after unit time is ``exp(-|x0 - x1|^2 / 4 eps)``; with the cost ``|x0 - x1|^2`` of
``couplings.Sinkhorn`` the regularisation is ``4 eps`` in data units squared.

Two ways from the plan to the drifts:

* ``solver="learnt"``: bridge matching. The drifts are conditional means over pairs, learnt by regression. The pairs
  come from plans between many blocks of the data.
* ``solver="plan"``: no training. With the potentials f_i, g_j of one plan, and weights that sum to one over j and i,

    ``u_F = sum_j w_j (x1_j - x)/(1 - t)``,  ``w_j ~ exp((g_j - |x - x1_j|^2/(1-t)) / 4 eps)``,
    ``u_B = sum_i v_i (x - x0_i)/t``,       ``v_i ~ exp((f_i - |x - x0_i|^2/t) / 4 eps)``:

  the exact bridge between the two sample sets (``plan_drifts``).

Source: learnt drift: Tong et al. (2023), arXiv:2307.03672; drift from the potentials: Pooladian & Niles-Weed (2024),
arXiv:2408.11686.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge
from torch import Generator, Tensor, nn

from interpolants.couplings.paired import Paired
from interpolants.couplings.sinkhorn import EntropicPlan, draw_columns
from interpolants.foundations.ops import expand_like
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import FitWarning, tell
from interpolants.framework.stages import Run
from interpolants.generative.schrodinger.bridge import LearntBridge, energy_and_residual, probe_count
from interpolants.generative.schrodinger.drifts import DriftFields, EndsFrame, FramedDrifts, matching_loss
from interpolants.generative.schrodinger.plan_drifts import PlanDrifts, entropic_plan
from interpolants.objectives.times import StratifiedTimes
from interpolants.training.pairs import PairBatches, finished

MARGIN = 1e-4
# Partners drawn for a point from one plan: a plan costs far more than a draw.
PARTNERS = 4


class EntropicSB(LearntBridge):
    """The Schroedinger bridge with noise ``sqrt(2 eps) dW`` from entropic plans between samples.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Tong et al. (2023), arXiv:2307.03672; Pooladian & Niles-Weed (2024), arXiv:2408.11686.
    """

    former: ClassVar[Mapping[str, str]] = {**LearntBridge.former, "drift": "Set solver=, e.g. solver='plan'."}

    solver: Literal["learnt", "plan"] = "learnt"
    """``"learnt"`` (a network, by bridge matching) or ``"plan"`` (closed form from one plan, no training)."""
    block: Annotated[int, Ge(2)] = 2048
    """Samples of each set in one plan. The plan between few samples is biased: between Gaussians in 16 dimensions with
    eps = 0.5 its covariance is 12% too small with 256 samples and 4% with 2048, with eps = 1 5% and 1%."""
    pairs: Annotated[int, Ge(2)] = 200_000
    """Pairs drawn for the learnt drift, four partners for each point of a block, from as many blocks as that takes."""
    steps = 4000
    batch_size = 512
    warmup = 0

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Pairs from plans between blocks and then the drifts, or one plan alone."""
        x0, x1 = self.ends(data)
        if self.solver == "plan":

            def solve(source: Generator) -> dict[str, Any]:
                left, right = (x[torch.randperm(len(x), generator=source)[: self.block]] for x in (x0, x1))
                plan = self._plan(left, right)
                ends = right[draw_columns(plan.plan, source)]
                return {"x0": left, "x1": right, "f": plan.f, "g": plan.g, "reg": plan.reg, "ends": ends}

            plan = run.once("plan", solve)
            ends = plan.pop("ends")
            return self.solved(x0, self._judge(PlanDrifts(**plan), plan["x0"], ends), plan=plan)

        # Plans between random blocks, and several partners for each point; one plan where a block holds all.
        size0, size1 = min(self.block, len(x0)), min(self.block, len(x1))
        blocks, partners = max(1, round(self.pairs / (PARTNERS * size0))), PARTNERS
        if size0 == len(x0) and size1 == len(x1):
            blocks, partners = 1, max(1, round(self.pairs / size0))

        def block(drawn: dict[str, Tensor], k: int, source: Generator) -> dict[str, Tensor]:
            left = x0[torch.randperm(len(x0), generator=source)[:size0]]
            right = x1[torch.randperm(len(x1), generator=source)[:size1]]
            plan = self._plan(left, right)
            ends = [right[draw_columns(plan.plan, source)] for _ in range(partners)]
            starts = left.repeat(partners, *(1,) * (left.ndim - 1))
            return {"x0": torch.cat([drawn["x0"], starts]), "x1": torch.cat([drawn["x1"], *ends])}

        pairs = run.loop("plans", lambda source: {"x0": x0[:0], "x1": x1[:0]}, block, blocks, every=10)
        order = torch.randperm(len(pairs["x0"]), generator=run.generator("order of pairs"))
        drawn = pairs["x0"][order], pairs["x1"][order]

        frame, drifts = EndsFrame.of(x0, x1), nn.ModuleDict({"drifts": self.new_drifts(x0)})
        times = StratifiedTimes(margin=MARGIN)
        batches = PairBatches(*frame.encode(*drawn), self.batch_size, Paired(), times, who="EntropicSB.fit")
        result = run.train("drifts", drifts, _Matching(self.eps / frame.scale**2), batches, self.training())
        net = finished(drifts["drifts"], result, prefix="drifts.")
        numbers = self._judge(FramedDrifts(net, frame), *drawn)
        return self.solved(x0, numbers, drifts=net, frame=frame)

    @property
    def fields(self) -> DriftFields:
        """Velocity, score and the rest, in data units."""
        state = self.fitted_state("fields")
        if "plan" in state:
            return DriftFields(PlanDrifts(**state["plan"]), self.eps)
        return DriftFields(FramedDrifts(state["drifts"], state["frame"]), self.eps)

    def _plan(self, left: Tensor, right: Tensor) -> EntropicPlan:
        plan = entropic_plan(left, right, self.eps)
        if not plan.converged:
            what = f"EntropicSB: marginals of a plan are off by {plan.error:.2g} after {plan.steps} steps"
            tell(FitWarning, f"{what}. Use a larger eps or a smaller block.")
        return plan

    def _judge(self, drifts: nn.Module, x0: Tensor, x1: Tensor) -> tuple[float, float]:
        """Kinetic energy and residual on Brownian bridges between some of the pairs."""
        probes, source = probe_count(x0.shape[1:]), generator(self.seed, "entropic probe")
        x0, straight = x0[:probes], x1[:probes] - x0[:probes]
        t = StratifiedTimes(margin=MARGIN).sample(len(x0), generator=source).t
        i = x0 + expand_like(t, x0).to(x0) * straight
        return energy_and_residual(DriftFields(drifts, self.eps), i, straight, t, source)


class _Matching:
    """Bridge matching: regression of both drifts on Brownian bridges between given pairs."""

    def __init__(self, eps: float) -> None:
        self.eps = eps

    def __call__(self, parts: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        t, x0, x1 = batch["t"], batch["x0"], batch["x1"]
        z = torch.randn(x0.shape, dtype=x0.dtype, generator=generator, device=x0.device)
        straight = x1 - x0
        i = x0 + expand_like(t, x0).to(x0) * straight
        return {"matching": matching_loss(parts["drifts"], i, straight, z, t, self.eps)}
