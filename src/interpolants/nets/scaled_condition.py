"""A network that is told its condition in standard units."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interpolants.foundations.remembered import Remembered
from interpolants.foundations.types import Condition


class ScaledCondition(Remembered, id="scaled_condition"):
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
        told = self._scaled(cond) if isinstance(cond, Tensor) and cond.is_floating_point() else cond
        answer: Tensor = self.net(x, t, told)
        return answer

    def _scaled(self, cond: Tensor) -> Tensor:
        shape = (-1, *[1] * (cond.ndim - 2))
        units = torch.tensor([self.shift, self.scale], dtype=torch.float64, device=cond.device)
        shift, scale = (part.reshape(shape) for part in units)
        told: Tensor = ((cond.double() - shift) / scale).to(cond.dtype)
        return told
