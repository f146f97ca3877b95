"""Networks for sequences ``(C, L)``: gated residual blocks, each with a layer that mixes positions.

Letters: C channels of the state, L positions, W width, E width of the embedding of time and condition.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.nets.embeddings import ConditionEmbedding, ConditionKinds, FourierTime
from interpolants.nets.net import Net, materialise


class Block(nn.Module):
    """``h <- (h + r) / sqrt(2)``, where ``(r, s) = V gate(mix(h + e))`` and s goes to the output.

    Args:
        mixing: Layer that mixes positions, ``(B, W, L)`` -> ``(B, 2 W, L)``.
        width: W.
        embedded: E.
    """

    def __init__(self, mixing: nn.Module, width: int, embedded: int) -> None:
        super().__init__()
        self.mixing = mixing
        self.told = nn.Linear(embedded, width)
        self.outward = nn.Conv1d(width, 2 * width, 1)

    def forward(self, h: Tensor, embedded: Tensor) -> tuple[Tensor, Tensor]:
        """The next state, and what goes to the output, ``(B, W, L)`` each."""
        told: Tensor = self.told(embedded)
        a, b = self.mixing(h + told.unsqueeze(-1)).chunk(2, 1)
        onward, skip = self.outward(torch.tanh(a) * torch.sigmoid(b)).chunk(2, 1)
        return (h + onward) * 0.5**0.5, skip


class SequenceNet(Net):
    """Blocks on one trunk, whose shares of the output are added up; abstract: a subclass chooses the mixing layers.

    The last layer starts at zero.

    Args:
        shape: (C, L) of the state.
        width: W.
        blocks: Number of blocks.
        heads: K outputs of shape (C, L) on one trunk.
        time_features: Number of Fourier features of t, even and >= 2.
        n_classes: Number of labels of the condition, if there are any.
        cond_dim: Length of the condition's vector, if there is one.
        seed: Seed of the initial weights, >= 0.
        own: Settings of the subclass.

    Raises:
        InvalidInputError: For a setting outside its range.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        width: int,
        blocks: int,
        heads: int,
        time_features: int,
        n_classes: int | None,
        cond_dim: int | None,
        seed: int,
        **own: Any,
    ) -> None:
        super().__init__(shape, heads)
        who = type(self).__name__
        if len(self.shape) != 2:
            remedy = "Channels first: (columns, times). Use an MLP for vectors."
            raise invalid(who, "shape must be (C, L)", self.shape, remedy)
        whole(who, "width", width, at_least=1), whole(who, "blocks", blocks, at_least=1)
        whole(who, "time_features", time_features, at_least=2)
        given = {"width": width, "blocks": blocks, "heads": heads, "time_features": time_features}
        known = {"n_classes": n_classes, "cond_dim": cond_dim, "seed": seed}
        self.settings = {"shape": list(self.shape), **given, **known, **own}
        self._kinds = ConditionKinds(who=who, n_classes=n_classes, cond_dim=cond_dim)
        self._out_shape = self.shape if heads == 1 else (heads, *self.shape)
        embedded = 2 * width
        with torch.device("meta"):
            self.time = FourierTime(time_features)
            self.first = nn.Linear(time_features, embedded)
            self.condition = ConditionEmbedding(embedded, self._kinds)
            self.input = nn.Conv1d(self.shape[0], width, 1)
            parts = (Block(self.mixing(width, k), width, embedded) for k in range(blocks))
            self.blocks = nn.ModuleList(parts)
            self.last = nn.Conv1d(width, width, 1)
            self.output = nn.Conv1d(width, heads * self.shape[0], 1)
        materialise(self, seed, gains={self.output: 0.0})

    @abstractmethod
    def mixing(self, width: int, number: int) -> nn.Module:
        """The layer of block ``number`` that mixes positions, ``(B, W, L)`` -> ``(B, 2 W, L)``."""

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Evaluate: ``x (B, C, L)``, ``t`` 0-d or ``(B,)`` -> ``(B, C, L)``, or ``(B, K, C, L)`` for K > 1 heads."""
        t = self.checked_time(x, t, self.output.weight)
        bias: Tensor = self.first(self.time(t).to(self.first.weight.dtype))
        embedded = functional.silu(self.condition(self._kinds.split(cond, x), bias))
        h: Tensor = functional.silu(self.input(x))
        total = torch.zeros((), dtype=h.dtype, device=h.device)
        for block in self.blocks:
            h, skip = block(h, embedded)
            total = total + skip
        total = functional.silu(self.last(total * len(self.blocks) ** -0.5))
        out: Tensor = self.output(total)
        return out.reshape(x.shape[0], *self._out_shape)
