"""Bidirectional transformer over tokens: ids in, logits of the clean tokens out; the time is optional.

Letters: B rows, L positions, E width, H attention heads of e = E / H channels each, V clean tokens.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.nets.embeddings import ConditionEmbedding, ConditionKinds, FourierTime
from interpolants.nets.net import Net, empty_table, materialise

_LOWEST_TURN = 10_000.0


class TokenTransformer(Net):
    """Bidirectional transformer: every position sees all others, and guesses which token belongs to it.

    Pre-norm blocks of self-attention and a two-layer perceptron of four times the width. Positions enter by rotation of
    queries and keys, so that attention depends on distances only and any length can be evaluated: for pieces of a
    longer text. Where every place has a meaning of its own, as in the columns of a table, take ``positions``. Token
    number ``vocabulary`` is the mask. Without time features the network ignores t; on a masked path nothing is lost.

    Args:
        shape: L, the length of the sequences it is meant for; others are welcome.
        vocabulary: V, number of clean tokens.
        width: E.
        depth: Number of blocks.
        attention_heads: H; must divide E into even parts.
        positions: Learn a vector for each of the L positions too; longer sequences are then refused.
        time_features: Number of Fourier features of t, even; 0 makes the network ignore t.
        n_classes: Number of labels of the condition, if there are any.
        cond_dim: Length of the condition's vector, if there is one.
        seed: Seed of the initial weights, >= 0.

    Attributes:
        uses_time: Whether the output depends on t.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Vaswani et al. (2017), arXiv:1706.03762; rotary positions: Su et al. (2021), arXiv:2104.09864.
    """

    def __init__(
        self,
        shape: int | tuple[int, ...],
        *,
        vocabulary: int,
        width: int = 128,
        depth: int = 4,
        attention_heads: int = 4,
        positions: bool = False,
        time_features: int = 0,
        n_classes: int | None = None,
        cond_dim: int | None = None,
        seed: int = 0,
    ) -> None:
        who = "TokenTransformer"
        super().__init__(shape, 1)
        if len(self.shape) != 1:
            raise invalid(who, "shape must be one length", self.shape)
        vocabulary, width = (
            whole(who, "vocabulary", vocabulary, at_least=2),
            whole(who, "width", width, at_least=1),
        )
        depth, attention_heads = (
            whole(who, "depth", depth, at_least=1),
            whole(who, "attention_heads", attention_heads, at_least=1),
        )
        if width % (2 * attention_heads):
            rule = "width must be an even multiple of attention_heads"
            raise invalid(who, rule, (width, attention_heads), "For example, use width 128 and 4 heads.")
        self.settings = {
            "name": "token_transformer",
            "shape": list(self.shape),
            "vocabulary": vocabulary,
            "width": width,
            "depth": depth,
            "attention_heads": attention_heads,
            "positions": positions,
            "time_features": time_features,
            "n_classes": n_classes,
            "cond_dim": cond_dim,
            "seed": seed,
        }
        self.vocabulary, self.uses_time = vocabulary, time_features > 0
        self._channels = width // attention_heads
        self._kinds = ConditionKinds(who=who, n_classes=n_classes, cond_dim=cond_dim)
        with torch.device("meta"):
            self.tokens = empty_table(vocabulary + 1, width)
            self.time = FourierTime(time_features)
            self.time_in = nn.Linear(time_features, width) if time_features else None
            self.condition = ConditionEmbedding(width, self._kinds)
            self.blocks = nn.ModuleList(_Block(width, attention_heads) for _ in range(depth))
            self.norm = nn.LayerNorm(width)
            self.output = nn.Linear(width, vocabulary)
            self.places = empty_table(self.shape[0], width) if positions else None
        # What the blocks add together stays of the size of the embedding; the first guess is uniform.
        small = (2 * depth) ** -0.5
        gains: dict[nn.Module, float | Tensor] = {self.output: 0.0}
        for block in self.blocks:
            assert isinstance(block, _Block)
            gains |= {block.mix: small, block.narrow: small}
        if self.places is not None:
            gains[self.places] = 0.0
        materialise(self, seed, gains=gains)

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Logits of the clean tokens: ids ``x (B, L)``, ``t`` a number, 0-d or ``(B,)`` -> ``(B, L, V)``."""
        if x.ndim != 2 or x.is_floating_point():
            got = f"{x.dtype} of shape {tuple(x.shape)}"
            raise invalid("TokenTransformer", "x must be token ids (B, L)", got, "Convert with .long().")
        h: Tensor = self.tokens(x)
        if self.places is not None:
            h = h + self._places(x.shape[1])
        shift = self._shift(x, t, cond, h)
        if shift is not None:
            h = h + (shift if shift.ndim == 1 else shift[:, None])
        turn = _turns(x.shape[1], self._channels, h)
        for block in self.blocks:
            h = block(h, turn)
        out: Tensor = self.output(self.norm(h))
        return out

    def _places(self, length: int) -> Tensor:
        """What belongs to the first positions, ``(L, E)``."""
        assert self.places is not None
        if length > self.shape[0]:
            rule = (
                f"sequences have at most {self.shape[0]} tokens where each position has a vector of its own"
            )
            remedy = "Train with net={'kind': 'token_transformer', 'positions': False} for other lengths."
            raise invalid("TokenTransformer", rule, length, remedy)
        return self.places.weight[:length]

    def _shift(self, x: Tensor, t: Tensor | float, cond: Condition, h: Tensor) -> Tensor | None:
        """Embedding of time and condition, added to every position, ``(E,)`` or ``(B, E)``."""
        shift = None
        if self.time_in is not None:
            time = torch.as_tensor(t, device=x.device)
            if time.ndim and time.shape != x.shape[:1]:
                raise invalid(
                    "TokenTransformer", f"t must be 0-d or have shape ({x.shape[0]},)", tuple(time.shape)
                )
            shift = self.time_in(self.time(time).to(self.time_in.weight.dtype))
        if self._kinds.known or cond is not None:
            start = h.new_zeros(h.shape[-1]) if shift is None else shift
            shift = self.condition(self._kinds.split(cond, x), start)
        return shift


class _Block(nn.Module):
    """Attention, then a perceptron, each added to what comes in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.channels = heads, width // heads
        self.norm_mix, self.norm_wide = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, h: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        rows, length, width = h.shape
        split = self.ask(self.norm_mix(h)).reshape(rows, length, 3, self.heads, self.channels)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(_rotate(q, turn), _rotate(k, turn), v)
        h = h + self.mix(seen.transpose(1, 2).reshape(rows, length, width))
        narrowed: Tensor = self.narrow(functional.gelu(self.wide(self.norm_wide(h))))
        return h + narrowed


def _turns(length: int, channels: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the angles ``l / 10000^(2 j / e)``, ``(L, e / 2)`` each."""
    pairs = torch.arange(channels // 2, dtype=torch.float64, device=like.device)
    angle = torch.arange(length, dtype=torch.float64, device=like.device)[:, None] * _LOWEST_TURN ** (
        -2 * pairs / channels
    )
    return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def _rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn pairs of channels ``(j, j + e / 2)`` by the angle of their position; ``(B, H, L, e)``."""
    cos, sin = turn
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
