"""Network of moving points whose output turns, mirrors and shifts with its input.

Letters: B cases, T frames, N nodes, K channels of positions per node, D dimensions, W width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.apps.trajectories.nets.track_layers import HandedLayer, PairLayer, TimeLayer
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.remembered import Remembered
from interpolants.nets.net import materialise


class EquivariantTracks(Remembered, id="equivariant_tracks"):
    """Blocks of a layer within frames and a layer over time, on features and positions.

    With ``x -> x R^T + r`` for an orthogonal R the positions that come out do the same, and the features stay; a
    permutation of nodes permutes both; a shift of ``times`` changes nothing. With ``reflections=False`` this holds for
    rotations alone, so that left and right can be told apart.

    Args:
        width: W.
        channels: K.
        blocks: Number of blocks.
        reflections: Whether R may mirror.
        seed: Seed of the initial weights, which leave positions nearly as they are.

    Raises:
        InvalidInputError: If a size is out of range.

    Source: Han, Xu, Lou, Ye & Ermon (2024), arXiv:2410.13027, section 3. Ours: several channels of positions, gates
    over time of low rank, layer norms, distances by their logarithm, an option that tells left from right.
    """

    def __init__(
        self, *, width: int = 48, channels: int = 1, blocks: int = 3, reflections: bool = True, seed: int = 0
    ) -> None:
        super().__init__()
        who = "EquivariantTracks"
        for name, size in (("width", width), ("channels", channels), ("blocks", blocks)):
            whole(who, name, size, at_least=1)
        with torch.device("meta"):
            self.pairs = nn.ModuleList(PairLayer(width, channels) for _ in range(blocks))
            self.times = nn.ModuleList(TimeLayer(width, channels) for _ in range(blocks))
            handed = 0 if reflections else blocks
            self.handed = nn.ModuleList(HandedLayer(width, channels) for _ in range(handed))
        layers: Any = zip(self.pairs, self.times, strict=True)
        small = {one: 0.1 for within, over_time in layers for one in (within.push, over_time.gate_time)}
        materialise(self, seed, gains=small)

    def forward(
        self, h: Tensor, x: Tensor, seen: Tensor, edges: Tensor, times: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features and positions after all blocks.

        Args:
            h: Features that no symmetry changes, ``(B, T, N, W)``.
            x: Positions ``(B, T, N, K, D)``.
            seen: Which nodes are there, ``(B, T, N)`` bool; positions of others are never looked at.
            edges: Which nodes hear each other, ``(N, N)`` bool.
            times: Numbers of the frames, ``(T,)``; 0, 1, ... if None.

        Raises:
            InvalidInputError: If left and right are to be told apart in neither two nor three dimensions.
        """
        if len(self.handed) and x.shape[-1] not in (2, 3):
            rule = "reflections=False needs two or three dimensions"
            raise invalid("EquivariantTracks", rule, x.shape[-1])
        times = torch.arange(x.shape[1], device=x.device) if times is None else times
        pairs = (seen[..., None] & seen[..., None, :] & edges).to(h)
        for number, (within, over_time) in enumerate(zip(self.pairs, self.times, strict=True)):
            change, moved = within(h, x, pairs)
            h, x = h + change, x + moved
            change, drift = over_time(h, x, seen, times)
            h, x = h + change, x + drift
            if len(self.handed):
                x = x + self.handed[number](h, moved, drift)
        return h, x


def edge_mask(nodes: int, edges: Sequence[Sequence[int]] | None = None, *, who: str = "edge_mask") -> Tensor:
    """Which nodes hear each other, ``(N, N)`` bool, symmetric; no node hears itself.

    Args:
        nodes: N.
        edges: Pairs of numbers of nodes; all pairs if None.
        who: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If an edge is no pair of two nodes.
    """
    if edges is None:
        return ~torch.eye(nodes, dtype=torch.bool)
    mask = torch.zeros(nodes, nodes, dtype=torch.bool)
    for edge in edges:
        known = len(edge) == 2 and all(isinstance(end, int) and 0 <= end < nodes for end in edge)
        if not known or edge[0] == edge[1]:
            rule = f"every edge must be a pair of different nodes among 0 ... {nodes - 1}"
            raise invalid(who, rule, list(edge))
        mask[edge[0], edge[1]] = mask[edge[1], edge[0]] = True
    return mask
