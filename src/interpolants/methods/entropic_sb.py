"""The Schroedinger bridge by entropic optimal transport and Brownian bridges.

The bridge is known once its coupling is: draw (x0, x1) from the entropic plan and join them by a Brownian bridge,
``x_t = (1-t) x0 + t x1 + sqrt(2 eps t (1-t)) z``. The plan minimises ``<P, |x0 - x1|^2 / 2> + 2 eps KL``, for the
kernel of ``sqrt(2 eps) W`` after unit time is ``exp(-|x0 - x1|^2 / 4 eps)``; with the cost ``|x0 - x1|^2`` of
``couplings.Sinkhorn`` the regularisation is ``4 eps`` in data units squared.

Two ways from the plan to the drifts:

* ``drift="learnt"``: bridge matching. The drifts are conditional means over pairs, learnt by regression. The pairs come
  from plans between many blocks of the data.
* ``drift="plan"``: no training. With the potentials f_i, g_j of one plan, and weights that sum to one over j and i,

    ``u_F = sum_j w_j (x1_j - x)/(1 - t)``,  ``w_j ~ exp((g_j - |x - x1_j|^2/(1-t)) / 4 eps)``,
    ``u_B = sum_i v_i (x - x0_i)/t``,       ``v_i ~ exp((f_i - |x - x0_i|^2/t) / 4 eps)``:

  the exact bridge between the two sample sets. At its ends it runs into the samples themselves.

Source: learnt drift: Tong et al. (2023), arXiv:2307.03672; drift from the potentials: Pooladian & Niles-Weed (2024),
arXiv:2408.11686.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.couplings.paired import Paired
from interpolants.couplings.pairs import costs
from interpolants.couplings.sinkhorn import EntropicPlan, Sinkhorn, SinkhornWarning, draw_columns
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.methods.schrodinger import (
    NetworkSolver,
    SchrodingerResult,
    energy_and_residual,
    probe_count,
)
from interpolants.methods.schrodinger_drifts import DriftFields, Frame, FramedDrifts, matching_loss
from interpolants.objectives.times import StratifiedTimes
from interpolants.training.engine import fit
from interpolants.training.pairs import PairBatches, finished
from interpolants.training.settings import TrainSettings

MARGIN = 1e-4
# Partners drawn for a point from one plan: a plan costs far more than a draw.
PARTNERS = 4
# The weights of the plan's drift sharpen like 1/(distance to an end); inside this distance they are held.
PLAN_MARGIN = 1e-3


def entropic_plan(
    x0: Tensor, x1: Tensor, eps: float, *, tol: float = 1e-4, n_iter: int = 5000
) -> EntropicPlan:
    """The static bridge of two sample sets for the reference ``sqrt(2 eps) W``.

    Args:
        x0: ``(N0, *D)``.
        x1: ``(N1, *D)``.
        eps: Diffusivity, data units squared.
        tol: Largest accepted error of the marginals.
        n_iter: Most steps.
    """
    unit = costs("EntropicSB", x0, x1)[1]
    return Sinkhorn(reg=4 * eps / unit, tol=tol, n_iter=n_iter).plan(x0, x1)


class PlanDrifts(nn.Module):
    """Both drifts of the bridge between two sample sets, from the potentials of their entropic plan.

    Args:
        x0: ``(N0, *D)``.
        x1: ``(N1, *D)``.
        plan: Their plan at regularisation ``4 eps``.
    """

    mean0: Tensor
    mean1: Tensor
    points0: Tensor
    points1: Tensor
    bias0: Tensor
    bias1: Tensor

    def __init__(self, x0: Tensor, x1: Tensor, plan: EntropicPlan) -> None:
        super().__init__()
        mean0, mean1 = x0.mean(0), x1.mean(0)
        points0, points1 = (x0 - mean0).flatten(1), (x1 - mean1).flatten(1)
        self.reg = plan.reg
        for name, value in (
            ("mean0", mean0),
            ("mean1", mean1),
            ("points0", points0),
            ("points1", points1),
            ("bias0", plan.f.to(x0)),
            ("bias1", plan.g.to(x1)),
        ):
            self.register_buffer(name, value)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Both drifts ``(B, 2, *D)`` at ``x (B, *D)``, ``t`` 0-d or ``(B,)``."""
        shift = self.mean1 - self.mean0
        y = (x - self.mean0 - expand_like(t, x).to(x) * shift).flatten(1)
        time = (t.clamp(PLAN_MARGIN, 1 - PLAN_MARGIN).to(y)).reshape(-1, 1)
        forward = (_mean_point(y, self.points1, self.bias1, self.reg, 1 - time) - y) / (1 - time)
        backward = (y - _mean_point(y, self.points0, self.bias0, self.reg, time)) / time
        return torch.stack([forward, backward], 1).reshape(len(x), 2, *x.shape[1:]) + shift


def _mean_point(y: Tensor, points: Tensor, bias: Tensor, reg: float, left: Tensor) -> Tensor:
    """Mean of the points under weights ``exp((bias - |y - point|^2 / left) / reg)``; ``|y|^2`` drops out."""
    squares = points.square().sum(1)
    logits = (bias + (2 * (y @ points.T) - squares) / left) / reg
    return logits.softmax(1) @ points


class EntropicSB(NetworkSolver):
    """The Schroedinger bridge with noise ``sqrt(2 eps) dW`` from entropic plans between samples.

    Args:
        eps: Diffusivity of the reference, data units squared; > 0.
        drift: ``"learnt"`` (a network, by bridge matching) or ``"plan"`` (closed form from one plan, no training).
        net: Network of the drifts, as in :func:`interpolants.nets.build.choose_net` (two heads are asked for).
        block: Samples of each set in one plan, >= 2. The plan between few samples is biased: between Gaussians in 16
            dimensions with eps = 0.5 its covariance is 12% too small with 256 samples and 4% with 2048, with eps = 1
            5% and 1%.
        pairs: Pairs drawn for the learnt drift, four partners for each point of a block, from as many blocks as that
            takes.
        affine: Give the drifts a trainable affine part, up to 64 entries of the state.
        seed: Seed of weights, blocks and training.
        train: Settings of the training loop; by default 4000 steps of 512, lr 2e-3, cosine.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Tong et al. (2023), arXiv:2307.03672; Pooladian & Niles-Weed (2024), arXiv:2408.11686.
    """

    def __init__(
        self,
        *,
        eps: float = 0.5,
        drift: str = "learnt",
        net: Any = "auto",
        block: int = 2048,
        pairs: int = 200_000,
        affine: bool = True,
        seed: int = 0,
        train: Mapping[str, Any] | TrainSettings | None = None,
    ) -> None:
        defaults = {"steps": 4000, "batch_size": 512, "lr": 2e-3, "schedule": "cosine"}
        super().__init__(eps=eps, net=net, affine=affine, seed=seed, train=train, defaults=defaults)
        if drift not in ("learnt", "plan"):
            raise invalid(self._name, "drift must be 'learnt' or 'plan'", repr(drift))
        for name, value in (("block", block), ("pairs", pairs)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 2:
                raise invalid(self._name, f"{name} must be an integer >= 2", value)
        self.how, self.block, self.pairs = drift, block, pairs

    def _solve(self, x0: Tensor, x1: Tensor, progress: bool) -> SchrodingerResult:
        generator = torch.Generator().manual_seed(self.seed)
        if self.how == "plan":
            left, right = (x[torch.randperm(len(x), generator=generator)[: self.block]] for x in (x0, x1))
            plan = self._plan(left, right)
            index1 = draw_columns(plan.plan, generator)
            return self._result(PlanDrifts(left, right, plan), left, right[index1], [])
        ends0, ends1 = self._draw_pairs(x0, x1, generator)
        frame = Frame.of(x0, x1)
        drifts = nn.ModuleDict({"drifts": self._drift_net(x0)})
        y0, y1 = (ends0 - frame.mean0) / frame.scale, (ends1 - frame.mean1) / frame.scale
        times = StratifiedTimes(margin=MARGIN)
        batches = PairBatches(y0, y1, self.train.batch_size, Paired(), times, who=self._name)
        run = fit(drifts, _Matching(self.eps / frame.scale**2), batches, self.train, progress=progress)
        learnt = FramedDrifts(finished(drifts["drifts"], run, prefix="drifts."), frame)
        return self._result(learnt, ends0, ends1, run.history)

    def _draw_pairs(self, x0: Tensor, x1: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Pairs from plans between random blocks, several partners for each point."""
        size0, size1 = min(self.block, len(x0)), min(self.block, len(x1))
        blocks = max(1, round(self.pairs / (PARTNERS * size0)))
        if size0 == len(x0) and size1 == len(x1):
            blocks, partners = 1, max(1, round(self.pairs / size0))
        else:
            partners = PARTNERS
        found = []
        for _ in range(blocks):
            left = x0[torch.randperm(len(x0), generator=generator)[:size0]]
            right = x1[torch.randperm(len(x1), generator=generator)[:size1]]
            plan = self._plan(left, right)
            found += [(left, right[draw_columns(plan.plan, generator)]) for _ in range(partners)]
        order = torch.randperm(len(found) * size0, generator=generator)
        return torch.cat([a for a, _ in found])[order], torch.cat([b for _, b in found])[order]

    def _plan(self, left: Tensor, right: Tensor) -> EntropicPlan:
        plan = entropic_plan(left, right, self.eps)
        if not plan.converged:
            what = f"EntropicSB: marginals of a plan are off by {plan.error:.2g} after {plan.steps} steps"
            warnings.warn(f"{what}. Use a larger eps or a smaller block.", SinkhornWarning, stacklevel=4)
        return plan

    def _result(self, drifts: nn.Module, x0: Tensor, x1: Tensor, history: Any) -> SchrodingerResult:
        fields = DriftFields(drifts, self.eps)
        probes = probe_count(x0.shape[1:])
        x0, x1 = x0[:probes], x1[:probes]
        generator = torch.Generator().manual_seed(self.seed + 1)
        t = StratifiedTimes(margin=MARGIN).sample(len(x0), generator=generator).t
        straight = x1 - x0
        i = x0 + expand_like(t, x0).to(x0) * straight
        energy, residual = energy_and_residual(fields, i, straight, t, generator)
        return SchrodingerResult(fields, self.eps, energy, residual, history)


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
