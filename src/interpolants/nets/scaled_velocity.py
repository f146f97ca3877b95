"""A velocity that is learnt in standard units, as one in data units."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interpolants.foundations.inner_nets import WrapsNet
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.types import Condition


class ScaledVelocity(Remembered, WrapsNet, id="scaled_velocity"):
    """``scale net((x - shift) / scale, t, cond)``: the flow of a change of units, in the units before it.

    Args:
        net: A velocity in standard units, called ``net(x, t, cond)``.
        shift: What states count from, in data units: one number, or one for each column.
        scale: Their unit, likewise, > 0.
    """

    def __init__(self, net: nn.Module, shift: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.net, self.shift, self.scale = net, tuple(shift), tuple(scale)

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The velocity ``(B, *D)`` at ``x (B, *D)`` and ``t`` 0-d or ``(B,)``."""
        shift, scale = torch.tensor([self.shift, self.scale], dtype=torch.float64, device=x.device)
        rate: Tensor = self.net(((x.double() - shift) / scale).to(x), t, cond)
        velocity: Tensor = (rate.double() * scale).to(rate)
        return velocity
