"""Autoencoder of fields on meshes over time: kernel integrals to a regular grid and back, convolutions between.

Letters: B simulations, P points of all at all times, d coordinates, C channels, W width, Z latent channels, G nodes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.apps.simulation.nets.kernel_integral import RULES, KernelIntegral, Pairs, area_weights
from interpolants.apps.simulation.nets.point_packs import PointPack
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checks import number, one_of, positive, whole
from interpolants.foundations.remembered import Remembered
from interpolants.nets.net import materialise

_CONVOLUTIONS: dict[int, Any] = {1: nn.Conv2d, 2: nn.Conv3d}
_GROUPS = 4
# Log variances of the encoder beyond these say nothing more, and their exponentials overflow.
_LOWEST, _HIGHEST = -20.0, 10.0


class MeshAutoencoder(Remembered, id="mesh_autoencoder"):
    """Fields at any points of ``[0, 1]^(1 + d)``, time first, to ``Z`` channels on a grid of half the nodes, and back.

    Args:
        channels: C.
        space: d, 1 or 2.
        nodes: Nodes along each axis of space; even.
        times: Nodes along the time; even.
        width: W, a multiple of 4.
        latent: Z.
        radius: Distance within which points and nodes see each other, in space.
        stretch: The time counts so many times as much as space, so that they see each other within
            ``radius / stretch`` of time.
        hidden: Width of the kernels.
        rule: As in :class:`~interpolants.apps.simulation.nets.kernel_integral.KernelIntegral`.
        by_area: Whether points count by the size of their cells, for meshes that are finer in some places.
        seed: Seed of the initial weights.

    Raises:
        InvalidInputError: If a setting is out of range, or the radius leaves room between the nodes.

    Source: Zhou, Li, Schneier, Buchanan & Barati Farimani (2025), arXiv:2410.01153, section 3.1. Ours: packs of any
    sizes without padding, nodes are told where they have no points.
    """

    def __init__(
        self,
        channels: int,
        *,
        space: int = 2,
        nodes: int = 16,
        times: int = 8,
        width: int = 16,
        latent: int = 4,
        radius: float = 0.13,
        stretch: float = 1.2,
        hidden: int = 16,
        rule: str = "average",
        by_area: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (("nodes", nodes), ("times", times)):
            whole(who(), name, value, at_least=4)
        whole(who(), "width", width, at_least=1), whole(who(), "latent", latent, at_least=1)
        number(who(), "radius", radius, above=0, below=1), positive(who(), "stretch", stretch)
        check_sizes(nodes, times, width, radius, stretch, space)
        one_of(who(), "rule", rule, RULES)
        self.space, self.radius, self.stretch, self.by_area = space, radius, stretch, by_area
        self.channels = width // 2 + 1  # of a frame on the nodes
        self.grid = (times, *(nodes,) * space)
        self.latent_shape = (latent, *(n // 2 for n in self.grid))
        conv, axes, wide = _CONVOLUTIONS[space], 1 + space, 2 * width
        with torch.device("meta"):
            self.gather = KernelIntegral(axes, channels, width // 2, hidden=hidden, rule=rule)
            self.stem, self.down = conv(width // 2 + 1, width, 3, padding=1), conv(width, wide, 2, stride=2)
            self.inner, self.code = _Residual(conv, wide), conv(wide, 2 * latent, 1)
            self.open, self.outer = conv(latent, wide, 1), _Residual(conv, wide)
            self.up, self.smooth = conv(wide, width * 2**axes, 1), conv(width, width, 3, padding=1)
            self.spread = KernelIntegral(axes, width, width, hidden=hidden, rule=rule)
            self.last = nn.Linear(width, channels)
        materialise(self, seed)

    def nodes(self, like: Tensor) -> Tensor:
        """Nodes ``(G, 1 + d)``, the time stretched."""
        lines = [torch.linspace(0, 1, n, dtype=like.dtype, device=like.device) for n in self.grid]
        return self._stretched(torch.cartesian_prod(*lines))

    def _stretched(self, cloud: Tensor) -> Tensor:
        return torch.cat([cloud[:, :1] * self.stretch, cloud[:, 1:]], 1)

    def encode(self, cloud: PointPack, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latents, ``(B, Z, *grid / 2)`` each.

        Args:
            cloud: Points ``(P, 1 + d)`` in units of the box, time first.
            values: ``(P, C)``, standardised.
        """
        many = len(cloud)
        nodes = self.nodes(cloud.rows)
        items = torch.arange(many, device=nodes.device).repeat_interleave(len(nodes))
        asked = nodes.repeat(many, 1)
        pairs = Pairs.near(
            self._stretched(cloud.rows), asked, self.radius, point_item=cloud.item, query_item=items
        )
        weight = self._weights(self._stretched(cloud.rows), cloud.item)
        found = torch.cat([self.gather(values, pairs, weight), pairs.found[:, None].to(values)], 1)
        h = found.reshape(many, *self.grid, -1).movedim(-1, 1)
        h = self.inner(functional.silu(self.down(functional.silu(self.stem(h)))))
        mean, log_variance = self.code(h).chunk(2, 1)
        return mean, log_variance.clamp(_LOWEST, _HIGHEST)

    def _weights(self, points: Tensor, item: Tensor | None = None) -> Tensor | None:
        return area_weights(points, self.radius / 2, item) if self.by_area else None

    def decode(self, latent: Tensor) -> Tensor:
        """Channels at the nodes, ``(B, G, W)``, of latents ``(B, Z, *grid / 2)``."""
        h = functional.silu(self.up(self.outer(self.open(latent))))
        found: Tensor = self.smooth(_doubled(h)).flatten(2).movedim(1, 2)
        return found

    def at(self, channels: Tensor, queries: PointPack) -> Tensor:
        """Values ``(Q, C)`` at any points ``(Q, 1 + d)`` of the box, from the channels at the nodes."""
        nodes = self.nodes(queries.rows)
        pairs = Pairs.near(nodes, self._stretched(queries.rows), self.radius)
        placed = pairs.point + len(nodes) * queries.item[pairs.query]
        own = Pairs(pairs.query, placed, pairs.offset, pairs.queries)
        found: Tensor = self.last(self.spread(channels.flatten(0, 1), own))
        return found

    def frame(self, points: Tensor, values: Tensor) -> Tensor:
        """One frame on the nodes of space, at its own time: ``(W / 2 + 1, *nodes)``, the last 1 where it has points.

        Args:
            points: ``(M, d)`` in units of the box.
            values: ``(M, C)``, standardised.
        """
        lines = [torch.linspace(0, 1, n, dtype=points.dtype, device=points.device) for n in self.grid[1:]]
        nodes = torch.cartesian_prod(*lines).reshape(-1, self.space)
        here, there = (torch.cat([torch.zeros_like(x[:, :1]), x], 1) for x in (points, nodes))
        pairs, weight = Pairs.near(here, there, self.radius), self._weights(here)
        found = torch.cat([self.gather(values, pairs, weight), pairs.found[:, None].to(values)], 1)
        return found.T.reshape(-1, *self.grid[1:])


def check_sizes(nodes: int, times: int, width: int, radius: float, stretch: float, space: int = 2) -> None:
    """Refuse sizes of an autoencoder that do not fit each other."""
    for name, value in (("nodes", nodes), ("nodes along the time", times)):
        if value % 2:
            raise invalid(f"{name} must be even: latents have half of them", value)
    if width % _GROUPS:
        raise invalid(f"width must be a multiple of {_GROUPS}", width)
    if space not in _CONVOLUTIONS:
        raise invalid("points must have one or two coordinates", space)
    # The farthest that a point of the box is from its nearest node: the middle of a cell.
    farthest = 0.5 * (space / (nodes - 1) ** 2 + (stretch / (times - 1)) ** 2) ** 0.5
    if farthest >= radius:
        rule = f"radius must be above {farthest:.3g}, so that every point has a node near it"
        remedy = "Use more nodes or times, a larger radius, or a smaller stretch."
        raise invalid(rule, radius, remedy)


class _Residual(nn.Module):
    """Two convolutions whose sum is added to what comes in."""

    def __init__(self, conv: Any, width: int) -> None:
        super().__init__()
        self.first, self.second = (conv(width, width, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, width) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(functional.silu(self.norms[0](x)))
        added: Tensor = x + self.second(functional.silu(self.norms[1](h)))
        return added


def _doubled(x: Tensor) -> Tensor:
    """``(B, W 2^a, *n)`` to ``(B, W, *2 n)``: channels become the nodes of a grid twice as fine along its a axes."""
    sizes: Sequence[int] = x.shape[2:]
    axes = len(sizes)
    split = x.reshape(len(x), -1, *(2,) * axes, *sizes)
    order = [0, 1, *(place for k in range(axes) for place in (2 + axes + k, 2 + k))]
    return split.permute(order).reshape(len(x), -1, *(2 * n for n in sizes))
