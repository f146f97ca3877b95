"""Covariance of infinitely wide networks at their initialisation, by a recursion over the layers.

Letters: ``d`` inputs, ``k`` and ``k'`` variances of one unit at two inputs, ``K`` its covariance there, ``t`` the angle
with ``cos t = K / sqrt(k k')``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Count, OneOf

Moment = Callable[[Tensor, Tensor, Tensor], Tensor]


def relu_moment(k: Tensor, k2: Tensor, cross: Tensor) -> Tensor:
    """``E[relu(u) relu(v)]`` for Gaussian u, v with variances k, k2 and covariance cross."""
    size = (k * k2).clamp_min(1e-300).sqrt()
    cosine = (cross / size).clamp(-1, 1)
    # The slope of arccos is infinite at +-1, where the moment's own is finite: both are kept from the ends.
    inside = cosine.clamp(-1 + 1e-15, 1 - 1e-15)
    angle = torch.arccos(inside)
    sine = ((1 - inside) * (1 + inside)).sqrt()
    return size / (2 * math.pi) * (sine + (math.pi - angle) * inside)


def erf_moment(k: Tensor, k2: Tensor, cross: Tensor) -> Tensor:
    """``E[erf(u) erf(v)]`` for Gaussian u, v with variances k, k2 and covariance cross."""
    inside = 2 * cross / ((1 + 2 * k) * (1 + 2 * k2)).sqrt()
    return 2 / math.pi * torch.arcsin(inside.clamp(-1 + 1e-15, 1 - 1e-15))


ACTIVATIONS: dict[str, Moment] = {"relu": relu_moment, "erf": erf_moment}


@dataclass(frozen=True)
class NNGP(Checked):
    """Covariance of the output of a dense network with infinitely wide hidden layers and random weights.

    ``K_0 = bias^2 + weight^2 x . x' / d``, ``K_{l+1} = bias^2 + weight^2 E[phi(u) phi(v)]`` with (u, v) Gaussian with
    covariance ``K_l``. The output layer has weights and biases of the same scales, so a network with ``depth`` hidden
    layers has the covariance ``K_depth``. Another scale s of the output layer, biases included, is a factor ``s^2``.

    Raises:
        InvalidInputError: If there is no such activation, or depth is below 1.

    Source: Cho & Saul (2009) for relu; Williams (1996) for erf; Lee et al. (2018), arXiv:1711.00165, for the recursion.
    """

    depth: Count = 4
    """Hidden layers."""
    activation: Annotated[str, OneOf(lambda: ACTIVATIONS)] = "relu"
    """Of the hidden layers."""

    def covariance(
        self, x: Tensor, y: Tensor, *, weight: Tensor | float = 1.0, bias: Tensor | float = 0.0
    ) -> Tensor:
        """Covariance of outputs at rows ``x (..., A, d)`` and ``y (..., B, d)``, ``(..., A, B)``; differentiable.

        Args:
            x: Inputs.
            y: Inputs.
            weight: Standard deviation of the weights, times the root of a layer's width.
            bias: Standard deviation of the biases.
        """
        moment, w, b = ACTIVATIONS[self.activation], _squared(weight), _squared(bias)
        cross = b + w * (x @ y.mT) / x.shape[-1]
        own, other = (b + w * part.square().mean(-1) for part in (x, y))
        for _ in range(self.depth):
            cross = b + w * moment(own[..., :, None], other[..., None, :], cross)
            own, other = (b + w * moment(part, part, part) for part in (own, other))
        return cross

    def variance(self, x: Tensor, *, weight: Tensor | float = 1.0, bias: Tensor | float = 0.0) -> Tensor:
        """Variance of outputs at rows ``x (..., d)``, ``(...)``."""
        moment, w, b = ACTIVATIONS[self.activation], _squared(weight), _squared(bias)
        own = b + w * x.square().mean(-1)
        for _ in range(self.depth):
            own = b + w * moment(own, own, own)
        return own


def _squared(value: Tensor | float) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64).square()
