"""The exact bridge between two sample sets, from the potentials f_i, g_j of their entropic plan.

With weights that sum to one over j and i,

    ``u_F = sum_j w_j (x1_j - x)/(1 - t)``,  ``w_j ~ exp((g_j - |x - x1_j|^2/(1-t)) / 4 eps)``,
    ``u_B = sum_i v_i (x - x0_i)/t``,       ``v_i ~ exp((f_i - |x - x0_i|^2/t) / 4 eps)``.

At its ends it runs into the samples themselves.

Source: Pooladian & Niles-Weed (2024), arXiv:2408.11686.
"""

import torch
from torch import Tensor, nn

from interpolants.couplings.pairs import costs
from interpolants.couplings.sinkhorn import EntropicPlan, Sinkhorn
from interpolants.foundations.ops import expand_like

# The weights sharpen like 1/(distance to an end); inside this distance they are held.
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
        f: ``(N0,)`` potential of the rows of their plan, data units squared.
        g: ``(N1,)`` potential of its columns.
        reg: Its regularisation, ``4 eps``.
    """

    mean0: Tensor
    mean1: Tensor
    points0: Tensor
    points1: Tensor
    bias0: Tensor
    bias1: Tensor

    def __init__(self, x0: Tensor, x1: Tensor, f: Tensor, g: Tensor, reg: float) -> None:
        super().__init__()
        mean0, mean1 = x0.mean(0), x1.mean(0)
        points0, points1 = (x0 - mean0).flatten(1), (x1 - mean1).flatten(1)
        self.reg = reg
        for name, value in (
            ("mean0", mean0),
            ("mean1", mean1),
            ("points0", points0),
            ("points1", points1),
            ("bias0", f.to(x0)),
            ("bias1", g.to(x1)),
        ):
            self.register_buffer(name, value)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Both drifts ``(B, 2, *D)`` at ``x (B, *D)``, ``t`` 0-d or ``(B,)``."""
        shift = self.mean1 - self.mean0
        y = (x - self.mean0 - expand_like(t, x).to(x) * shift).flatten(1)
        time = (t.clamp(PLAN_MARGIN, 1 - PLAN_MARGIN).to(y)).reshape(-1, 1)
        forward = (_mean_point(y, self.points1, self.bias1, self.reg, 1 - time) - y) / (1 - time)
        backward = (y - _mean_point(y, self.points0, self.bias0, self.reg, time)) / time
        return torch.stack([forward, backward], 1).reshape(x.shape[0], 2, *x.shape[1:]) + shift


def _mean_point(y: Tensor, points: Tensor, bias: Tensor, reg: float, left: Tensor) -> Tensor:
    """Mean of the points under weights ``exp((bias - |y - point|^2 / left) / reg)``; ``|y|^2`` drops out."""
    squares = points.square().sum(1)
    logits = (bias + (2 * (y @ points.T) - squares) / left) / reg
    return logits.softmax(1) @ points
