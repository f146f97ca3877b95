"""The network: encoders of values and symbols, their fusion, and decoders of trajectories and of equations.

Letters: B rows, S points of a window, D states, P points of a patch, L tokens, Q query times, E width, V words.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.remembered import Remembered
from interpolants.nets.embeddings import FourierTime
from interpolants.nets.net import empty_table, materialise
from interpolants.nets.query_decoder import Layer, Memory, QueryDecoder

_TIME_FEATURES = 16
# What an encoder hands on: tokens (B, N, E), and which of them count (B, N).
Tokens = tuple[Tensor, Tensor]


class SymbolicOperatorNet(Remembered, id="symbolic_operator_net"):
    """Values and symbols, encoded apart and fused by self-attention; two decoders read what comes out.

    Values are in units of the window's root mean square, whose logarithm each patch is told too. Times are shares of
    the last time.

    Args:
        states: D.
        vocabulary: V; 0 for a network of values alone.
        patch: P, points that become one token.
        width: E.
        heads: Attention heads.
        depths: Layers of the encoder of values, of that of symbols, of the fusion, of the decoder of trajectories and
            of that of equations.
        seed: Seed of the initial weights.

    Source: Liu, Zhang & Schaeffer (2024), arXiv:2309.16816. Ours: patches, scale as an input, pre-norm layers.
    """

    def __init__(
        self,
        states: int,
        vocabulary: int,
        *,
        patch: int,
        width: int,
        heads: int,
        depths: Sequence[int],
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.states, self.vocabulary, self.patch = states, vocabulary, patch
        values, symbols, fusion, operator, equations = depths
        symbols, equations = (symbols, equations) if vocabulary else (0, 0)
        features = patch * (2 + states) + 1 + states + _TIME_FEATURES
        with torch.device("meta"):
            self.time = FourierTime(_TIME_FEATURES, low=0.25, high=8.0)
            self.patches, self.mixed = nn.Linear(features, width), nn.Linear(width, width)
            self.modality = empty_table(2, width)
            self.values = _layers(values, width, heads)
            self.fusion = _layers(fusion, width, heads)
            self.operator = QueryDecoder(
                1 + _TIME_FEATURES, width=width, depth=operator, heads=heads, outputs=states
            )
            self.hints = empty_table(max(vocabulary, 1), width)
            self.symbols = _layers(symbols, width, heads)
            self.written = empty_table(max(vocabulary, 1), width)
            self.equations = nn.ModuleList(Layer(width, heads, crossed=True) for _ in range(equations))
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
            self.word = nn.Linear(width, max(vocabulary, 1))
        materialise(self, seed, gains=self._gains())

    def _gains(self) -> dict[nn.Module, float | Tensor]:
        """Branches start small, so that what layers add stays of the size of the tokens."""
        layers = [layer for layer in self.modules() if isinstance(layer, Layer)]
        found: dict[nn.Module, float | Tensor] = {self.word: 0.1, self.operator.output: 0.1}
        for layer in layers:
            parts = [layer.narrow, *(one.mix for one in (layer.own, layer.crossed) if one is not None)]
            found |= dict.fromkeys(parts, 0.4)
        return found

    # --- encoders

    def encode(
        self, window: Tensor, present: Tensor, dims: Tensor, hints: Tensor | None, hint_seen: Tensor | None
    ) -> Tokens:
        """Fused tokens ``(B, N, E)``, and which of them count.

        Args:
            window: Times and scaled states, ``(B, S, 1 + D)``; S is a multiple of P.
            present: Which points there are, ``(B, S)``.
            dims: What every patch is told beside its points: the scale's logarithm and which states there are,
                ``(B, 1 + D)``.
            hints: Codes of the guess, ``(B, L)``; None for none.
            hint_seen: Which of them count, ``(B, L)``.
        """
        tokens, seen = self._of_values(window, present, dims)
        if hints is not None and hint_seen is not None and self.vocabulary:
            told = self._of_symbols(hints, hint_seen)
            tokens, seen = torch.cat([tokens, told], 1), torch.cat([seen, hint_seen], 1)
        for layer in self.fusion:
            tokens, _ = layer(tokens, seen=seen)
        return self.norms[0](tokens), seen

    def _of_values(self, window: Tensor, present: Tensor, dims: Tensor) -> Tokens:
        points = torch.cat([window, present.to(window)[..., None]], 2) * present[..., None]
        flat = points.unflatten(1, (-1, self.patch)).flatten(2)  # type: ignore[no-untyped-call]
        counted = present.unflatten(1, (-1, self.patch)).sum(2)  # type: ignore[no-untyped-call]
        middle = (window[..., 0] * present).unflatten(1, (-1, self.patch)).sum(2) / counted.clamp_min(1)  # type: ignore[no-untyped-call]
        about = dims[:, None].expand(-1, flat.shape[1], -1)
        told = torch.cat([flat, about, self.time(middle).to(flat)], 2)
        tokens = self.mixed(functional.gelu(self.patches(told))) + self.modality.weight[0]
        seen = counted > 0
        for layer in self.values:
            tokens, _ = layer(tokens, seen=seen)
        return tokens, seen

    def _of_symbols(self, hints: Tensor, seen: Tensor) -> Tensor:
        tokens = self.hints(hints) + places(hints.shape[1], self.hints.weight) + self.modality.weight[1]
        # A row without a guess may look at its padding, so that no softmax is over nothing.
        looked = seen | ~seen.any(1, keepdim=True)
        for layer in self.symbols:
            tokens, _ = layer(tokens, seen=looked)
        told: Tensor = tokens
        return told

    # --- decoders

    def at(self, times: Tensor, tokens: Tokens) -> Tensor:
        """Scaled states ``(B, Q, D)`` at times ``(B, Q)``, shares of the last time."""
        queries = torch.cat([times[..., None], self.time(times).to(times)], 2)
        found: Tensor = self.operator(queries, *tokens)
        return found

    def contexts(self, tokens: Tokens) -> list[Memory]:
        """What the layers of the decoder of equations read of the tokens, once for a whole text."""
        return [layer.remembered(tokens[0]) for layer in self.equations if isinstance(layer, Layer)]

    def words(
        self,
        codes: Tensor,
        contexts: Sequence[Memory],
        seen: Tensor,
        before: Sequence[Memory | None] | None = None,
        place: int = 0,
        only: Tensor | None = None,
    ) -> tuple[Tensor, list[Memory | None]]:
        """Logits of the next words ``(B, L, V)`` after codes ``(B, L)``; and what the next call needs of them.

        Args:
            codes: Codes so far, or the one that follows those of ``before``.
            contexts: Of :meth:`contexts`.
            seen: Which tokens count.
            before: Memory of the codes before.
            place: Place of the first code.
            only: Places ``(B, L)`` whose logits are wanted: then they are ``(n, V)``, row after row.
        """
        x = self.written(codes) + places(codes.shape[1], self.written.weight, place)
        memories: list[Memory | None] = []
        for k, layer in enumerate(self.equations):
            past = None if before is None else before[k]
            x, memory = layer(x, context=contexts[k], context_seen=seen, causal=True, before=past)
            memories.append(memory)
        logits: Tensor = self.word(self.norms[1](x if only is None else x[only]))
        return logits, memories


def _layers(count: int, width: int, heads: int) -> nn.ModuleList:
    return nn.ModuleList(Layer(width, heads) for _ in range(count))


def places(length: int, like: Tensor, first: int = 0) -> Tensor:
    """Sines and cosines of places ``first ...``, ``(L, E)``."""
    width = like.shape[1]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(1e4) / width))
    angle = torch.arange(first, first + length, dtype=torch.float64)[:, None] * rates
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)[:, :width].to(like)
