"""Reader of prompts: words and numbers as tokens, and the simulation that they let expect.

Letters: B rows, L words and numbers of a prompt, E width, Z latent channels on a grid.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from interpolants.apps.simulation.data.prompts import NOTHING, NUMBER, UNKNOWN
from interpolants.foundations.remembered import Remembered
from interpolants.nets.embeddings import FourierTime
from interpolants.nets.net import empty_table, materialise
from interpolants.nets.query_decoder import Layer

_FEATURES = 32
_KERNEL = 5  # words that a convolution sees: what a number is said of stands near it
_JITTER = 0.003  # of numbers in training, as a share of their range: prompts are rounded
# Share of words hidden in training: the others must do, and a word that nobody knows has a meaning.
_HIDDEN = 0.1


class PromptReader(Remembered, id="prompt_reader"):
    """Codes and numbers of prompts to tokens ``(B, L, E)``, and to the mean latents of what they describe.

    Two convolutions tell each word and number what stands around it, a layer of attention what the rest says. The sum
    over tokens goes through a perceptron to the guess of the latents, by which the reader is trained.

    Args:
        vocabulary: Codes of the words.
        shape: ``(Z, *grid)``.
        width: E.
        heads: Attention heads.
        seed: Seed of the initial weights.

    Source: in place of the pretrained encoder of Zhou et al. (2025), arXiv:2410.01153; ours.
    """

    def __init__(
        self, vocabulary: int, shape: Sequence[int], *, width: int = 64, heads: int = 4, seed: int = 0
    ) -> None:
        super().__init__()
        self.shape, self.width = tuple(shape), width
        with torch.device("meta"):
            self.embedding = empty_table(vocabulary, width)
            self.values = FourierTime(_FEATURES, low=0.25, high=8.0)
            self.number = nn.Linear(_FEATURES + 1, width)
            self.near = nn.ModuleList(
                nn.Conv1d(width, width, _KERNEL, padding=_KERNEL // 2) for _ in range(2)
            )
            self.layer, self.norm = Layer(width, heads), nn.LayerNorm(width)
            self.sum, self.wide = nn.Linear(width, 4 * width), nn.Linear(4 * width, 4 * width)
            self.guessed = nn.Linear(4 * width, math.prod(self.shape))
        materialise(self, seed, gains={self.guessed: 0.1})

    def forward(self, codes: Tensor, numbers: Tensor) -> Tensor:
        """Tokens ``(B, L, E)``, NaN where there is no word."""
        there, is_number = (codes != NOTHING)[..., None], (codes == NUMBER)[..., None]
        features = torch.cat([self.values(numbers).to(numbers.dtype), numbers[..., None]], -1)
        h = self.embedding(codes) + torch.where(is_number, self.number(features), 0.0)
        for near in self.near:
            h = torch.where(there, h, 0.0)
            h = h + functional.gelu(near(h.mT).mT)
        silent = ~there[..., 0].any(1, keepdim=True)  # nothing to attend to would be NaN
        h, _ = self.layer(h, seen=there[..., 0] | silent)
        found: Tensor = self.norm(h)
        return found.masked_fill(~there, torch.nan)

    def guess(self, tokens: Tensor) -> Tensor:
        """Mean latents ``(B, *shape)`` given tokens; NaN for a row without any."""
        there = ~tokens[..., :1].isnan()
        summed = functional.gelu(self.sum(torch.where(there, tokens, 0.0))) * there
        h = functional.gelu(self.wide(summed.sum(1)))
        found: Tensor = self.guessed(h).reshape(len(tokens), *self.shape)
        silent = ~there.flatten(1).any(1)
        return found.masked_fill(silent.reshape(-1, *(1,) * len(self.shape)), torch.nan)


class PromptBatches:
    """The batch of a step: prompts with some words hidden and numbers moved within their rounding, and latents.

    Args:
        codes: ``(N, L)``; rows without a prompt are left out.
        numbers: ``(N, L)``.
        latents: ``(N, Z, *grid)``, scaled.
        size: B.
    """

    def __init__(self, codes: Tensor, numbers: Tensor, latents: Tensor, size: int) -> None:
        told = (codes != NOTHING).any(1)
        self.codes, self.numbers, self.latents, self.size = codes[told], numbers[told], latents[told], size

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        """The share of this process in the batch of ``step``."""
        pick = torch.randint(len(self.codes), (max(1, self.size // world),), generator=generator)
        codes = self.codes[pick]
        used = max(1, int((codes != NOTHING).sum(1).max()))
        numbers = self.numbers[pick, :used]
        moved = numbers + _JITTER * (
            2 * torch.rand(numbers.shape, generator=generator, dtype=torch.float32) - 1
        )
        codes = codes[:, :used]
        hidden = (torch.rand(codes.shape, generator=generator, dtype=torch.float32) < _HIDDEN) & (
            codes > UNKNOWN
        )
        return {"codes": torch.where(hidden, UNKNOWN, codes), "numbers": moved, "latents": self.latents[pick]}


def reader_loss(net: Any, batch: dict[str, Tensor], generator: Generator) -> dict[str, Tensor]:
    """Squared error of the guessed latents, ``(B,)``."""
    gap = net.guess(net(batch["codes"], batch["numbers"])) - batch["latents"]
    return {"guess": gap.square().flatten(1).mean(1)}
