"""Network that learns what is left of a field beside the one between two Gaussians: the start for few rows.

In coordinates where both ends are uncorrelated, with means ``m0, m1``, variances ``a, b`` and covariance c of a pair,
the state ``x = alpha x0 + beta x1 + gamma z`` of Gaussian ends has the mean ``alpha m0 + beta m1`` and the variance
``V = alpha^2 a + 2 alpha beta c + beta^2 b + gamma^2``, and ``y = p x0 + q x1 + r z`` the conditional mean

``E[y | x] = p m0 + q m1 + (p (alpha a + beta c) + q (alpha c + beta b) + r gamma) / V (x - alpha m0 - beta m1)``,

coordinate by coordinate. The network is added to it. One that answers zero moves the one Gaussian to the other.

Source: conditional means of jointly normal variables; the use as a start is ours.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.types import Condition
from interpolants.paths.path import Path, SpatiallyLinearPath

HEADS = ("mean_rate", "noise", "endpoint0", "denoised")
_LEAST = 1e-8


class GaussianPart(Remembered, id="gaussian_part"):
    """``field = E[y | x] between Gaussians + F(x, t)`` for every quantity y that a network F has a head for.

    Args:
        net: The network F, called ``F(x, t, cond)``; returns ``(B, K, *D)`` for K > 1 heads.
        path: A two-sided spatially linear path.
        heads: The K quantities, in order: of ``mean_rate``, ``noise``, ``endpoint0``, ``denoised``.
        means: ``(2, *D)`` means of x0 and x1.
        variances: ``(3, *D)`` variances of x0 and of x1, and their covariance within a pair.

    Raises:
        InvalidInputError: If the path is another one, or a head is not among these.
    """

    means: Tensor
    variances: Tensor

    def __init__(
        self, net: nn.Module, path: Path, heads: Sequence[str], means: Tensor, variances: Tensor
    ) -> None:
        super().__init__()
        if not isinstance(path, SpatiallyLinearPath) or path.is_one_sided or path.is_static:
            rule = "the path must be two-sided and spatially linear"
            raise invalid("GaussianPart", rule, type(path).__name__, "For example, use paths.Linear().")
        for head in heads:
            one_of("GaussianPart", "every head", head, HEADS)
        self.net, self.path, self.heads = net, path, tuple(heads)
        self.register_buffer("means", means.float().clone())
        self.register_buffer("variances", variances.float().clone())

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The quantities at ``x (B, *D)``, ``t`` 0-d or ``(B,)``: ``(B, *D)``, or ``(B, K, *D)`` for K > 1 heads."""
        raw = self.net(x, t, cond)
        alpha, beta, gamma = (
            self._wide(value, x)
            for value in (self.path.alpha(t), self.path.beta(t), self.path.noise_scale(t))
        )
        (m0, m1), (a, b, c) = self.means.to(x), self.variances.to(x)
        with0, with1 = alpha * a + beta * c, alpha * c + beta * b
        total = (alpha * with0 + beta * with1 + gamma.square()).clamp_min(_LEAST)
        away = (x - alpha * m0 - beta * m1) / total
        values = []
        for k, head in enumerate(self.heads):
            p, q, r = self._shares(head, t, x)
            part = p * m0 + q * m1 + (p * with0 + q * with1 + r * gamma) * away
            values.append(part + (raw if len(self.heads) == 1 else raw[:, k]))
        return values[0] if len(values) == 1 else torch.stack(values, 1)

    def _shares(self, head: str, t: Tensor, x: Tensor) -> tuple[Tensor | float, Tensor | float, float]:
        """Coefficients of x0, x1 and z in what a head learns."""
        if head == "mean_rate":
            return self._wide(self.path.alpha_dot(t), x), self._wide(self.path.beta_dot(t), x), 0.0
        if head == "noise":
            return 0.0, 0.0, 1.0
        return (1.0, 0.0, 0.0) if head == "endpoint0" else (0.0, 1.0, 0.0)

    def _wide(self, value: Tensor, x: Tensor) -> Tensor:
        return expand_like(value, x).to(x.dtype)
