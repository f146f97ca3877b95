"""A network that is told its condition in standard units."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interpolants.foundations.inner_nets import WrapsNet
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.types import Condition


class ScaledCondition(Remembered, WrapsNet, id="scaled_condition"):
    """``net(x, t, (cond - shift) / scale)`` for conditions that are vectors ``(B, C)`` or fields ``(B, C, *D)``.

    Times in seconds or in years then give the same network. NaN, which stands for no condition, stays NaN.

    Args:
        net: Called ``net(x, t, cond)``.
        shift: What is subtracted from each of the C entries, in units of the condition.
        scale: What each is divided by, likewise, > 0.
    """

    def __init__(self, net: nn.Module, shift: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.net, self.shift, self.scale = net, tuple(shift), tuple(scale)

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The network's answer, ``(B, *D)`` or ``(B, K, *D)``; ``x (B, *D)``, ``t`` 0-d or ``(B,)``."""
        if isinstance(cond, Tensor) and cond.is_floating_point():
            cond = scaled(cond, self.shift, self.scale)
        answer: Tensor = self.net(x, t, cond)
        return answer


def scaled(cond: Tensor, shift: Sequence[float], scale: Sequence[float]) -> Tensor:
    """``(cond - shift) / scale`` by entry of vectors ``(B, C)`` or channel of fields ``(B, C, *D)``."""
    units = torch.tensor([shift, scale], dtype=torch.float64, device=cond.device)
    low, width = (part.reshape(-1, *[1] * (cond.ndim - 2)) for part in units)
    told: Tensor = ((cond.double() - low) / width).to(cond.dtype)
    return told
