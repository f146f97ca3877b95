"""Diffusion transformer of latent simulations, told by a prompt and by first frames.

Letters: B rows, Z latent channels on a grid (times, *space), N patches of it, E width, L words of a prompt, F frames.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.remembered import Remembered
from interpolants.foundations.types import Condition
from interpolants.nets.embeddings import FourierTime
from interpolants.nets.net import empty_table, materialise
from interpolants.nets.query_decoder import Attention

_FEATURES = 32


class LatentTransformer(Remembered, id="latent_transformer"):
    """A quantity of a path of latents ``(B, Z, *grid)`` at times t, given what is told of the simulation, or nothing.

    Words of a prompt are attended to by every patch. What they let expect of the latents, and first frames on the nodes
    of space, are cut into patches of the same places, and added. NaN stands for what is not given, padding included.

    Args:
        shape: ``(Z, times, *space)``.
        text_width: Width of the words.
        frames: F.
        frame_channels: Channels of a frame on the nodes, twice as many along each axis as the latents have.
        patch: Length of a patch along each axis.
        width: E.
        depth: Layers.
        heads: Attention heads.
        seed: Seed of the initial weights.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Zhou et al. (2025), arXiv:2410.01153, section 3.2, after Peebles & Xie (2023), arXiv:2212.09748. Ours:
    frames are added where they are, and not attended to; so is the reader's guess.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        text_width: int,
        frames: int,
        frame_channels: int,
        patch: int = 2,
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.shape, self.patch, self.width = tuple(shape), patch, width
        self.tokens = _patches(self.shape, patch)
        whole("LatentTransformer", "depth", depth, at_least=1)
        per_patch = self.shape[0] * patch ** len(self.tokens)
        with torch.device("meta"):
            self.time = FourierTime(_FEATURES)
            self.time_in, self.time_out = nn.Linear(_FEATURES, width), nn.Linear(width, width)
            self.words, self.start = nn.Linear(text_width, width), empty_table(1, width)
            self.guess = nn.Linear(per_patch, width)
            self.patches, self.places = (
                nn.Linear(per_patch, width),
                empty_table(math.prod(self.tokens), width),
            )
            seen = frames * frame_channels * (2 * patch) ** (len(self.tokens) - 1)
            self.frames = nn.Linear(seen, width)
            self.frame_times = nn.Linear(width, width * self.tokens[0])
            self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
            self.norm, self.scale = nn.LayerNorm(width), nn.Linear(width, 2 * width)
            self.output = nn.Linear(width, per_patch)
        gains: dict[nn.Module, float | Tensor] = {self.output: 0.0, self.scale: 0.0, self.places: 0.2}
        for block in self.blocks:
            assert isinstance(block, _Block)
            gains |= {block.scale: 0.0}
        materialise(self, seed, gains=gains)

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Evaluate.

        Args:
            x: Latents, ``(B, Z, *grid)``.
            t: Times, 0-d or ``(B,)``.
            cond: ``words (B, L, text_width)``, ``guess (B, Z, *grid)`` and ``frames (B, F, K, *nodes)`` by name; None
                for nothing at all.
        """
        time = torch.as_tensor(t, dtype=x.dtype, device=x.device)
        shift = self.time_out(functional.silu(self.time_in(self.time(time).to(x.dtype))))
        shift = functional.silu(shift.expand(len(x), -1) if shift.ndim == 1 else shift)
        h = self.patches(_cut(x, self.patch)) + self.places.weight
        words, seen = self.start.weight.expand(len(x), 1, -1), None
        if cond is not None:
            h = h + self._framed(cond["frames"]) + self._expected(cond["guess"])
            words, seen = self._told(cond["words"], words)
        for block in self.blocks:
            h = block(h, shift, words, seen)
        scale, move = self.scale(shift)[:, None].chunk(2, -1)
        out: Tensor = self.output(self.norm(h) * (1 + scale) + move)
        return _joined(out, self.shape, self.patch)

    def _told(self, words: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Words after a start, which is always there, ``(B, 1 + L, E)``; and which are there."""
        there = ~words[..., 0].isnan()
        known = self.words(torch.where(there[..., None], words, 0.0))
        return torch.cat([start, known], 1), torch.cat([torch.ones_like(there[:, :1]), there], 1)

    def _expected(self, guess: Tensor) -> Tensor:
        """What a guess adds to each patch, ``(B, N, E)``; nothing where there is none."""
        given = ~guess.flatten(1)[:, :1].isnan()
        return torch.where(given[..., None], self.guess(_cut(torch.nan_to_num(guess), self.patch)), 0.0)

    def _framed(self, frames: Tensor) -> Tensor:
        """What frames ``(B, F, K, *nodes)`` add to each patch, ``(B, N, E)``; nothing where none is given."""
        given = torch.nan_to_num(frames).flatten(1, 2)
        found = functional.silu(self.frames(_cut(given, 2 * self.patch)))
        found = self.frame_times(found).unflatten(-1, (self.tokens[0], self.width))
        any_given = (given != 0).flatten(1).any(1)[:, None, None]
        return torch.where(any_given, found.movedim(2, 1).flatten(1, 2), 0.0)


class _Block(nn.Module):
    """Attention among patches, attention to the words, and a perceptron; scaled, shifted and gated by one vector."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.own, self.told = Attention(width, heads), Attention(width, heads)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Linear(width, 6 * width)

    def forward(self, h: Tensor, shift: Tensor, words: Tensor, seen: Tensor | None) -> Tensor:
        first, second = self.scale(shift)[:, None].chunk(2, -1)
        scale, move, gate = first.chunk(3, -1)
        inner = self.norms[0](h) * (1 + scale) + move
        h = h + (1 + gate) * self.own(inner, self.own.remember(inner))
        h = h + self.told(self.norms[1](h), self.told.remember(words), seen=seen)
        scale, move, gate = second.chunk(3, -1)
        inner = self.norms[2](h) * (1 + scale) + move
        added: Tensor = h + (1 + gate) * self.narrow(functional.gelu(self.wide(inner)))
        return added


def _patches(shape: tuple[int, ...], patch: int) -> tuple[int, ...]:
    """Patches along each axis."""
    whole("LatentTransformer", "patch", patch, at_least=1)
    if any(n % patch for n in shape[1:]):
        raise invalid("LatentTransformer", f"patch must divide the latents' grid {shape[1:]}", patch)
    return tuple(n // patch for n in shape[1:])


def _cut(x: Tensor, patch: int) -> Tensor:
    """``(B, Z, *n)`` to patches ``(B, N, Z patch^a)``."""
    axes = x.ndim - 2
    sizes = [size for n in x.shape[2:] for size in (n // patch, patch)]
    split = x.reshape(*x.shape[:2], *sizes)
    order = [0, *(2 + 2 * k for k in range(axes)), 1, *(3 + 2 * k for k in range(axes))]
    return split.permute(order).flatten(1, axes).flatten(2)


def _joined(patches: Tensor, shape: tuple[int, ...], patch: int) -> Tensor:
    """The patches ``(B, N, Z patch^a)`` as ``(B, *shape)`` again."""
    axes, counts = len(shape) - 1, [n // patch for n in shape[1:]]
    split = patches.reshape(len(patches), *counts, shape[0], *(patch,) * axes)
    order = [0, 1 + axes, *(place for k in range(axes) for place in (1 + k, 2 + axes + k))]
    return split.permute(order).reshape(len(patches), *shape)
