"""What a nowcasting network is told of the frames before, and the network on patches of cells.

Letters: B cases, P past and K future frames, C variables, H rows, W columns, v motion, p side of a patch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle

from interpolants.apps.weather.motion import extrapolated, motion, smoothed
from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.row_times import ask
from interpolants.foundations.types import Condition
from interpolants.nets.build import named_net

_ROWS = 64  # cases whose motion is found at once
# Widths of the filters, in cells, and powers of the clock that their weights are polynomials of.
_WIDTHS, _POWERS = (0.7, 1.5, 3.0), 4
_TINY = 1e-6
_CENTRE, _STRETCH = 0.5, 4.0  # of the clock, where noise is as loud as the data


@record("told_frames")
@dataclass(frozen=True, kw_only=True)
class ToldFrames:
    """Past frames as fields: as they are, carried along their motion to each future time, places, and what was seen.

    Attributes:
        past: P.
        future: K.
        variables: C.
        edges: What lies beyond rows and columns.
        carries: Whether motion is found, and frames are carried.
    """

    past: int
    future: int
    variables: int
    edges: tuple[str, ...]
    carries: bool

    @property
    def channels(self) -> int:
        """Fields that the network is told."""
        frames = self.past * self.variables * (1 + self.future * self.carries)
        return frames + sum(2 if edge == "periodic" else 1 for edge in self.edges) + self.variables

    def motion(self, frames: Tensor) -> Tensor:
        """Motion of past frames ``(B, P, C, H, W)``, ``(B, 2, H, W)``; zeros where frames are not carried."""
        if not self.carries:
            return frames.new_zeros(len(frames), 2, *frames.shape[-2:])
        return torch.cat([motion(part, self.edges) for part in torch.split(frames, _ROWS)])

    def fields(self, frames: Tensor, v: Tensor) -> Tensor:
        """All of it, ``(B, channels, H, W)``, of past frames ``(B, P, C, H, W)`` and their motion; NaN becomes 0."""
        x = torch.nan_to_num(frames)
        parts = [x.flatten(1, 2)]
        if self.carries:
            parts.append(extrapolated(x, v, self.future, self.edges).flatten(1, 3))
        places = _places(self.edges, x.shape[-2:]).to(x).expand(len(x), -1, -1, -1)
        return torch.cat([*parts, places, self.seen(frames).to(x)], 1)

    def seen(self, frames: Tensor) -> Tensor:
        """Cells that were seen in one of the past frames, truth values ``(B, C, H, W)``."""
        return frames.isfinite().any(1)

    def counted(self, told: Condition) -> Tensor:
        """Entries of the state ``(B, K C, H, W)`` that were seen, from what the network is told."""
        assert isinstance(told, Tensor)
        return (told[:, -self.variables :] > 0.5).repeat(1, self.future, 1, 1)


def _places(edges: Sequence[str], sizes: Sequence[int]) -> Tensor:
    """Fields that tell where a cell lies: an angle round a closed axis, -1 to 1 along others."""
    found = []
    for axis, (edge, size) in enumerate(zip(edges, sizes, strict=True)):
        at = torch.arange(size, dtype=torch.float64)
        if edge == "periodic":
            lines = [torch.sin(2 * math.pi * at / size), torch.cos(2 * math.pi * at / size)]
        else:
            lines = [2 * at / max(size - 1, 1) - 1]
        shape = (-1, 1) if axis == 0 else (1, -1)
        found += [line.reshape(shape).expand(*sizes) for line in lines]
    return torch.stack(found)


class PatchedNet(Remembered, id="patched_net"):
    """A network on a grid of patches, ``p x p`` cells of a channel as ``p^2`` of one cell, and filters beside it.

    A grid that is no whole number of patches is continued by its last row and column. White noise on a smooth field is
    what differs from its surroundings: ``(x - smoothed x)`` at three widths, each over its size, goes to the output
    with weights that are polynomials of the time. The network need not carry it through its width.

    Args:
        net: Name, table or network that takes fields as condition.
        shape: ``(channels, H, W)`` of the state.
        told: Channels of the condition.
        edges: What lies beyond rows and columns.
        patch: p; 1 for none.
        seed: Seed of the initial weights.

    Raises:
        InvalidInputError: If a closed axis is no whole number of patches, or ends at poles.
    """

    def __init__(
        self,
        net: Any,
        shape: Sequence[int],
        told: int,
        edges: Sequence[str],
        *,
        patch: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.patch, self.sizes = whole("PatchedNet", "patch", patch, at_least=1), tuple(shape[1:])
        self.edges = tuple(edges)
        self.weights = nn.Parameter(torch.zeros(_POWERS, len(_WIDTHS), shape[0], dtype=torch.float32))
        for size, edge in zip(self.sizes, edges, strict=True):
            if patch > 1 and (edge.startswith("pole") or (edge == "periodic" and size % patch)):
                rule = f"an axis in patches of {patch} must end at a border, or close after a whole number of them"
                raise invalid("Nowcaster", rule, f"{edge}, {size}", "Use patch=1, or another word in edges=.")
        inner = (shape[0] * patch**2, *(-(-size // patch) for size in self.sizes))
        kind = net if isinstance(net, str) else net.get("kind") if isinstance(net, Mapping) else ""
        own = {"edges": tuple(edges)} if kind == "grid_convolution" else {}
        made = named_net(net, inner, who="Nowcaster", seed=seed, cond_channels=told * patch**2, **own)
        self.net = made if isinstance(net, nn.Module) else made.float()

    def forward(self, x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
        """The network's output ``(B, channels, H, W)`` for a told field, NaN in all its entries where there is none."""
        assert cond is None or isinstance(cond, Tensor)
        told = None if cond is None else self._patches(cond)
        output: Tensor = ask(self.net, self._patches(x), t, told)
        inner = pixel_shuffle(output, self.patch)[..., : self.sizes[0], : self.sizes[1]]
        return inner + self._filtered(x, t)

    def _filtered(self, x: Tensor, t: Tensor) -> Tensor:
        """What differs from its surroundings, weighted by the time, ``(B, channels, H, W)``."""
        clock = (torch.as_tensor(t).to(x) - _CENTRE) * _STRETCH
        powers = torch.stack([clock**k for k in range(_POWERS)], -1).reshape(-1, _POWERS)
        weights = torch.einsum("bp,pwc->bwc", powers, self.weights.to(x))[..., None, None]
        total = torch.zeros_like(x)
        for k, width in enumerate(_WIDTHS):
            rough = x - smoothed(x, width, self.edges)
            size = rough.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(_TINY)
            total = total + weights[:, k] * rough / size
        return total

    def _patches(self, x: Tensor) -> Tensor:
        down, across = (-size % self.patch for size in self.sizes)
        return pixel_unshuffle(pad(x, (0, across, 0, down), mode="replicate"), self.patch)
