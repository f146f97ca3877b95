"""Velocities that are gradients: restricted to them, rectification tends to optimal transport."""

from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.types import Condition
from interpolants.nets.build import choose_net


class PotentialGradient(nn.Module):
    """The field ``grad_x phi(x, t)`` of a scalar potential ``phi(x, t) = x . f(x, t)`` with a network f.

    Every smooth potential has this form up to a constant in x. With f linear far out, as in a network of such
    activations, the field grows linearly there, as transport between two laws of different width needs.

    Args:
        net: As in :func:`interpolants.nets.build.choose_net`; a smooth activation, the ``"auto"`` one is.
        shape: Event shape of the state.
        seed: Seed of the initial weights.

    Source: Liu (2022), arXiv:2209.14577, section 4, for the restriction to gradients.
    """

    def __init__(self, net: Any, shape: tuple[int, ...], *, seed: int = 0) -> None:
        super().__init__()
        self.net = choose_net(net, shape, 1, None, seed, who="PotentialGradient")

    def potential(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """``phi(x, t)``, in data units squared per unit of time: ``(B, *D)`` -> ``(B,)``."""
        value: Tensor = (x * self.net(x, t, cond)).flatten(1).sum(1)
        return value

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The gradient, ``(B, *D)`` -> ``(B, *D)``; differentiable once more, forwards and backwards."""
        # A functional gradient works inside no_grad and under other transforms, where autograd.grad does not.
        gradient: Tensor = torch.func.grad(lambda point: self.potential(point, t, cond).sum())(x)
        return gradient
