"""Time and condition as one vector, which scales and shifts the channels of a network's blocks."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.nets.embeddings import ConditionEmbedding, ConditionKinds, FourierTime, Parts
from interpolants.nets.net import empty_table


class Embedding(nn.Module):
    """Time and condition to ``SiLU`` of one vector: (1, E) where the whole batch shares it, else (B, E).

    Args:
        width: E.
        time_features: Number of Fourier features of t, even; 0 ignores the time.
        kinds: What the network takes as its condition.
    """

    def __init__(self, width: int, time_features: int, kinds: ConditionKinds) -> None:
        super().__init__()
        self.time = FourierTime(time_features)
        self.input = nn.Linear(time_features, width) if time_features else None
        self.start = None if time_features else empty_table(1, width)
        self.condition = ConditionEmbedding(width, kinds)
        self.output = nn.Linear(width, width)

    def forward(self, t: Tensor, parts: Parts) -> Tensor:
        """Embed times 0-d or (B,) and the parts of a condition."""
        weight = self.output.weight
        if self.input is not None:
            h = self.input(self.time(t).to(weight.dtype))
        else:
            assert self.start is not None
            h = self.start.weight[0]
        h = self.condition(parts, h)
        return functional.silu(self.output(functional.silu(h if h.ndim == 2 else h[None])))


def scaled_and_shifted(x: Tensor, both: Tensor) -> Tensor:
    """``x (1 + scale) + shift`` for x ``(B, ..., C)`` and ``(scale, shift)`` joined, ``(1, 2 C)`` or ``(B, 2 C)``."""
    scale, shift = both.reshape(both.shape[0], *(1,) * (x.ndim - 2), -1).chunk(2, -1)
    return torch.addcmul(shift, x, 1 + scale)
