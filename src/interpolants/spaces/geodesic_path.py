"""Geodesic interpolant: the path along shortest geodesics, its velocity, and its exact field for finite data.

Notation: r the distance of ``x`` and ``x1``; ``p_t(x | x1)`` the density of ``x_t`` given its end ``x1``, for a draw
``x0`` of the space's base.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.spaces.space import Space


@dataclass(frozen=True)
class GeodesicPath:
    """``x_t = exp_{x0}(t log_{x0}(x1))``: the geodesic from ``x0`` at t = 0 to ``x1`` at t = 1, at constant speed.

    Args:
        space: The space.

    Source: Chen & Lipman (2024), arXiv:2302.03660. The velocity is that of the geodesic itself:
    it needs no division by 1 - t.
    """

    space: Space

    def sample(self, x0: Tensor, x1: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Points ``x_t`` and velocities ``dx_t/dt``, ``(B, S)`` each.

        Args:
            x0: Points at t = 0, ``(B, S)``.
            x1: Points at t = 1, ``(B, S)``.
            t: Times ``(B,)``.
        """
        return self.space.geodesic(x0, self.space.log(x0, x1), t[:, None].to(x0))

    def log_conditional(self, x: Tensor, x1: Tensor, t: Tensor) -> Tensor:
        """``log p_t(x | x1)`` per unit of volume for ``x0`` from the base, in nats, by broadcasting; t in [0, 1)."""
        step = self.space.log(x1, x) / (1 - t)[..., None]
        return self.space.base_log_prob(self.space.exp(x1, step)) + self.space.log_contraction(x, x1, t)

    def empirical_velocity(self, data: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Velocity of the flow from the base to the rows of ``data``, with equal weights, ``(B, S)``.

        It is the mean of ``log_x(x_i) / (1 - t)`` under the posterior of the row: a flow with this field ends on the
        rows themselves. A point of which no shortest geodesic from the base comes has velocity 0.

        Args:
            data: Points ``(N, S)``.
            x: Points ``(B, S)``.
            t: Times ``(B,)`` in [0, 1).
        """
        at, rows = x[:, None, :], data[None]
        log_weight = self.log_conditional(at, rows, t[:, None])
        weight = torch.softmax(log_weight, 1).nan_to_num(0.0)
        mean = (weight[..., None] * self.space.log(at, rows)).sum(1)
        return mean / (1 - t)[:, None]

    def empirical_log_prob(self, data: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Log density of ``x_t`` for the rows of ``data`` with equal weights, ``(B,)``; as in the velocity."""
        log_weight = self.log_conditional(x[:, None, :], data[None], t[:, None])
        return torch.logsumexp(log_weight, 1) - torch.tensor(float(len(data))).log()
