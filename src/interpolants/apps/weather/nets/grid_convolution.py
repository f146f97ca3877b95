"""Dilated convolutions with gates on grids of one or two axes, whose edges are known.

Letters: C channels of the state, G the axes of the grid, W width, E width of the embedding of the time.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.apps.weather.nets.grid_edges import beyond_edges, check_edges
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.nets.embeddings import ConditionKinds, FieldCondition, FourierTime
from interpolants.nets.net import Net, materialise

CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}


class GridBlock(nn.Module):
    """``h <- (h + r) / sqrt(2)``, where ``(r, s) = V gate(mix(h + e))`` and s goes to the output.

    Args:
        width: W.
        embedded: E; 0 for a block that is told nothing.
        edges: What lies beyond each axis.
        step: Dilation.
    """

    def __init__(self, width: int, embedded: int, edges: Sequence[str], step: int) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[len(edges)]
        self.edges, self.step = tuple(edges), step
        self.told = nn.Linear(embedded, width) if embedded else None
        self.mixing = convolution(width, 2 * width, 3, dilation=step)
        self.outward = convolution(width, 2 * width, 1)

    def forward(self, h: Tensor, embedded: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The next state, and what goes to the output, ``(B, W, *G)`` each."""
        told = (
            h if self.told is None else h + self.told(embedded).reshape(-1, h.shape[1], *(1,) * (h.ndim - 2))
        )
        a, b = self.mixing(beyond_edges(told, self.step, self.edges)).chunk(2, 1)
        onward, skip = self.outward(torch.tanh(a) * torch.sigmoid(b)).chunk(2, 1)
        return (h + onward) * 0.5**0.5, skip


class GridConvolution(Net):
    """Gated blocks on one trunk, for fields on a circle, a line, a globe or a part of one.

    The last layer starts at zero.

    Block k reaches ``2^(k mod cycle)`` points to each side.

    Args:
        shape: (C, L) or (C, H, W) of the state.
        edges: What lies beyond each axis, see ``beyond_edges``; ``"border"`` for all
            if none is named.
        width: W.
        blocks: Number of blocks.
        cycle: Blocks after which the dilation begins at 1 again.
        heads: K outputs of the state's shape on one trunk.
        time_features: Number of Fourier features of t, even and >= 2.
        cond_channels: Channels of a field on the same grid that the network is told; 0 for none.
        seed: Seed of the initial weights, >= 0.

    Raises:
        InvalidInputError: For a setting outside its range, or a dilation longer than an axis.

    Source: van den Oord et al. (2016), arXiv:1609.03499, for gates and dilations. Ours: edges of grids.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        edges: Sequence[str] = (),
        width: int = 32,
        blocks: int = 6,
        cycle: int = 3,
        heads: int = 1,
        time_features: int = 32,
        cond_channels: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, heads)
        who = "GridConvolution"
        axes = self._axes(who)
        self.edges = check_edges(who, edges or ("border",) * len(axes), axes)
        whole(who, "width", width, at_least=1), whole(who, "blocks", blocks, at_least=1)
        whole(who, "cycle", cycle, at_least=1), whole(who, "time_features", time_features, at_least=2)
        reach = 2 ** (min(cycle, blocks) - 1)
        shortest = min(
            (n for n, edge in zip(axes, self.edges, strict=True) if edge != "border"), default=reach + 1
        )
        if reach >= shortest:
            remedy = "Use a smaller cycle, or fewer blocks."
            raise invalid(who, f"axes must be longer than the largest dilation, {reach}", shortest, remedy)
        self.settings = {
            "name": "grid_convolution", "shape": list(self.shape), "edges": list(self.edges), "width": width,
            "blocks": blocks, "cycle": cycle, "heads": heads, "time_features": time_features,
            "cond_channels": cond_channels, "seed": seed,
        }  # fmt: skip
        self._kinds = ConditionKinds(who=who, cond_channels=cond_channels)
        convolution, embedded = CONVOLUTIONS[len(axes)], 2 * width
        with torch.device("meta"):
            self.time = FourierTime(time_features)
            self.first = nn.Linear(time_features, embedded)
            self.known = FieldCondition(cond_channels) if cond_channels else None
            self.input = convolution(self.shape[0] + cond_channels, width, 1)
            steps = (2 ** (k % cycle) for k in range(blocks))
            self.blocks = nn.ModuleList(GridBlock(width, embedded, self.edges, step) for step in steps)
            self.last = convolution(width, width, 1)
            self.output = convolution(width, heads * self.shape[0], 1)
        materialise(self, seed, gains={self.output: 0.0})

    def _axes(self, who: str) -> tuple[int, ...]:
        """Lengths of the axes of the grid."""
        if len(self.shape) not in (2, 3):
            remedy = "Channels first: (variables, latitudes, longitudes)."
            raise invalid(who, "shape must be (C, L) or (C, H, W)", self.shape, remedy)
        return self.shape[1:]

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Evaluate: ``x (B, C, *G)``, ``t`` 0-d or ``(B,)``, field ``(B, F, *G)`` -> ``(B, C, *G)``, or K of them."""
        t = self.checked_time(x, t, self.output.weight)
        embedded = functional.silu(self.first(self.time(t).to(self.first.weight.dtype)))
        told = x if self.known is None else self.known(x, self._kinds.split(cond, x).field)
        h: Tensor = functional.silu(self.input(told))
        total = torch.zeros((), dtype=h.dtype, device=h.device)
        for block in self.blocks:
            h, skip = block(h, embedded)
            total = total + skip
        out: Tensor = self.output(functional.silu(self.last(total * len(self.blocks) ** -0.5)))
        return out.reshape(-1, self.heads, *self.shape) if self.heads > 1 else out
