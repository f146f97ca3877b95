"""Network that takes one time per entry of its states."""

import torch
from torch import Tensor, nn

from interpolants.foundations.inner_nets import WrapsNet
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.row_times import ask
from interpolants.foundations.types import Condition

_ROOT_12 = 12**0.5  # uniform times then have variance 1, as states have


class EntryTimes(Remembered, WrapsNet, id="entry_times"):
    """``f(x, t)`` with ``t (B, *D)``, by a network that takes the times as further entries of its states.

    The network is called as ``net(cat([x, 12^(1/2) (t - 1/2)], 1), smallest t of the row, cond)``: images have twice
    the channels, vectors twice the columns. The answer is the first half of what it returns along that axis.

    Args:
        net: A network for event shape ``(2 D_1, D_2, ...)``; it may return ``(B, D_1, ...)`` or ``(B, 2 D_1, ...)``.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The answer at ``x (B, *D)``, ``t (B, *D)``."""
        joined = torch.cat([x, _ROOT_12 * (t - 0.5)], 1)
        output: Tensor = ask(self.net, joined, t.flatten(1).amin(1), cond)
        return output[:, : x.shape[1]]
