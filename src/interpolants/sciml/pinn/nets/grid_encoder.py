"""Encoder of values at scattered points: carried to a grid by kernels of many lengths, then convolved."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from interpolants.foundations.checks import positive, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.remembered import Remembered
from interpolants.nets.net import give_memory

# A node whose largest kernel weight is less has no point near it, at that length.
_EMPTY = 1e-6
_KERNEL, _STRIDES = 3, {1: 1, 2: 2}


class GridEncoder(Remembered, id="grid_encoder"):
    """Features ``(B, F)`` of sets of values at N scattered points of ``[-1, 1]^d``, N being any number.

    A pointwise network makes P channels of the values. Channel p at node g of a regular grid is the weighted mean
    ``sum_i k_p(g - x_i) v_ip / sum_i k_p(g - x_i)`` with a Gaussian kernel of its own length. Where no point is near at
    that length it is 0, and a channel that says which nodes these are goes along with it. Then come convolutions and a
    dense layer.

    The order of points, and points that all come twice, change nothing. Another density of points does: means over
    few points are those of other places.

    Args:
        dimension: Number of coordinates d, 1 or 2.
        values: Values at each point.
        channels: Channels P; their lengths are spread evenly in the logarithm.
        nodes: Nodes of the grid along each axis.
        shortest: Shortest length.
        longest: Longest length.
        filters: Channels of the convolutions.
        depth: Convolutions.
        features: Features F.
        seed: Seed of the initial weights.

    Source: Vadeboncoeur et al. (2023), arXiv:2301.11040, section 4; the channels of empty nodes are ours.
    """

    def __init__(
        self,
        dimension: int,
        values: int = 1,
        *,
        channels: int = 12,
        nodes: int = 16,
        shortest: float = 0.03,
        longest: float = 1.0,
        filters: int = 24,
        depth: int = 3,
        features: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        whole("GridEncoder", "dimension", dimension, at_least=1, at_most=2)
        sizes = {
            "values": values,
            "channels": channels,
            "filters": filters,
            "depth": depth,
            "features": features,
        }
        for name, value in sizes.items():
            whole("GridEncoder", name, value, at_least=1)
        whole("GridEncoder", "nodes", nodes, at_least=2)
        positive("GridEncoder", "shortest", shortest)
        if not shortest <= longest:
            raise invalid("GridEncoder", "shortest must be at most longest", (shortest, longest))
        self.dimension, self.nodes = dimension, nodes
        self.lengths = _spread(shortest, longest, channels)
        with torch.device("meta"):
            self.pointwise = nn.Sequential(
                nn.Linear(values, filters), nn.SiLU(), nn.Linear(filters, channels)
            )
            widths = [2 * channels + dimension, *[filters] * depth]
            conv = nn.Conv1d if dimension == 1 else nn.Conv2d
            stride = _STRIDES[dimension]  # a plane has many nodes: fewer from layer to layer
            self.convolutions = nn.ModuleList(
                conv(a, b, _KERNEL, stride, padding=1) for a, b in pairwise(widths)
            )
            left = nodes
            for _ in range(depth):
                left = (left - 1) // stride + 1
            self.dense = nn.Linear(filters * left**dimension, features)
        give_memory(self)
        _initialise(self, generator(seed, "grid encoder"))

    def forward(self, points: Tensor, values: Tensor) -> Tensor:
        """Features of B sets of N points ``(B, N, d)`` with values ``(B, N, C)``, ``(B, F)``."""
        carried, present = self.on_grid(points, values)
        nodes = self._nodes(points)
        where = nodes.t().expand(len(points), -1, -1)
        h = torch.cat([carried.mT, present.mT.to(carried), where], 1)
        h = h.reshape(len(points), -1, *[self.nodes] * self.dimension)
        for convolution in self.convolutions:
            h = nn.functional.silu(convolution(h))
        found: Tensor = nn.functional.silu(self.dense(h.flatten(1)))
        return found

    def on_grid(self, points: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Channels at the nodes, ``(B, G, P)``, and which of them have a point near them.

        Raises:
            InvalidInputError: If there is no point, or none near some node at any length.
        """
        if points.ndim != 3 or points.shape[-1] != self.dimension or not points.shape[1]:
            rule = f"points must be (B, N, {self.dimension}) with N >= 1"
            raise invalid("GridEncoder", rule, tuple(points.shape))
        made = self.pointwise(values)
        gap = (self._nodes(points)[:, None] - points[:, None]).square().sum(-1)  # (B, G, N)
        lengths = torch.tensor(self.lengths, dtype=gap.dtype, device=gap.device)
        carried, present = [], []
        for p, rate in enumerate((0.5 / lengths.square()).unbind()):
            weight = torch.exp(-rate * gap)
            total = weight.sum(-1)
            near = weight.amax(-1) > _EMPTY
            mean = (weight * made[:, None, :, p]).sum(-1) / torch.where(near, total, 1.0)
            carried.append(torch.where(near, mean, 0.0))
            present.append(near)
        found = torch.stack(present, -1)
        if not bool(found.any(-1).all()):
            remedy = "Use a longer `longest`, or more points."
            raise invalid(
                "GridEncoder", "every node must have a point near it at some length", "one without", remedy
            )
        return torch.stack(carried, -1), found

    def _nodes(self, like: Tensor) -> Tensor:
        """The nodes, ``(G, d)``."""
        line = torch.linspace(-1, 1, self.nodes, dtype=like.dtype, device=like.device)
        return torch.cartesian_prod(*[line] * self.dimension).reshape(-1, self.dimension)


def _spread(shortest: float, longest: float, n: int) -> list[float]:
    if n == 1:
        return [math.sqrt(shortest * longest)]
    return [shortest * (longest / shortest) ** (p / (n - 1)) for p in range(n)]


@torch.no_grad()
def _initialise(net: nn.Module, source: torch.Generator) -> None:
    """Weights with the variance of two over the inputs, biases zero."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            layer.weight.normal_(0, (2 / layer.weight[0].numel()) ** 0.5, generator=source)
            assert layer.bias is not None
            layer.bias.zero_()
