"""Transformer over the patches of an image, in layers; with long skips it is also split into encoder and decoder.

Letters: B rows, L patches, P pixels along one, E width, N layers, K heads of the output.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.nets.embeddings import ConditionKinds
from interpolants.nets.film import Embedding, scaled_and_shifted
from interpolants.nets.net import Net, OwnWeights, materialise
from interpolants.nets.split import check_levels
from interpolants.nets.unet import Features


class LayerState(NamedTuple):
    """What a layer hands to the next.

    Attributes:
        tokens: (B, L, E).
        embedded: Time and condition, (1, E) or (B, E).
        skips: Tokens that wait for their layer in the second half, the next one last.
    """

    tokens: Tensor
    embedded: Tensor
    skips: tuple[Tensor, ...]


class ImageTransformer(Net):
    """Patches as tokens, pre-norm blocks of attention and perceptron, time and condition by FiLM in every block.

    With ``long_skips`` the tokens after layer i join those before layer ``N - 1 - i``, as in a U-Net; the first half is
    then the encoder, whose levels are its layers, and ``net(x, t, cond)`` is
    ``net.decode(net.encode(x, t, cond), t, cond)``. It is also a network of layers (``stem``, ``layer``, ``head``) that
    a head may end after any of them. The last layer starts at zero.

    Args:
        shape: (C, H, W) of the state.
        patch: P; must divide H and W.
        width: E.
        depth: N >= 2.
        attention_heads: Must divide E.
        long_skips: Whether the halves are joined.
        heads: K outputs of shape (C, H, W) on one trunk.
        time_features: Number of Fourier features of t, even; 0 makes the network ignore t.
        n_classes: Number of labels of the condition, if there are any.
        cond_dim: Length of the condition's vector, if there is one.
        seed: Seed of the initial weights, >= 0.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Peebles & Xie (2023), arXiv:2212.09748; long skips: Bao et al. (2023), arXiv:2209.12152.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        patch: int = 2,
        width: int = 128,
        depth: int = 8,
        attention_heads: int = 4,
        long_skips: bool = False,
        heads: int = 1,
        time_features: int = 32,
        n_classes: int | None = None,
        cond_dim: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, heads)
        who = "ImageTransformer"
        if len(self.shape) != 3:
            raise invalid(who, "shape must be (C, H, W)", self.shape, "Use an MLP for other states.")
        patch, depth = whole(who, "patch", patch, at_least=1), whole(who, "depth", depth, at_least=2)
        whole(who, "width", width, at_least=1), whole(who, "attention_heads", attention_heads, at_least=1)
        if any(side % patch for side in self.shape[1:]):
            raise invalid(who, "patch must divide height and width", patch, f"They are {self.shape[1:]}.")
        if width % attention_heads:
            raise invalid(who, "width must be a multiple of attention_heads", (width, attention_heads))
        given = {"patch": patch, "width": width, "depth": depth, "attention_heads": attention_heads}
        more = {"long_skips": long_skips, "heads": heads, "time_features": time_features}
        known = {"n_classes": n_classes, "cond_dim": cond_dim, "seed": seed}
        self.settings = {
            "name": "image_transformer",
            "shape": list(self.shape),
            **given,
            **more,
            **known,
        }
        self.n_layers, self.width, self.patch, self.long_skips = depth, width, patch, long_skips
        self.per_token = heads * self.shape[0] * patch * patch
        self._kinds = ConditionKinds(who=who, n_classes=n_classes, cond_dim=cond_dim)
        self._grid = tuple(side // patch for side in self.shape[1:])
        with torch.device("meta"):
            self.embedding = Embedding(width, time_features, self._kinds)
            self.input = nn.Linear(self.shape[0] * patch * patch, width)
            self.positions = _Positions(self._grid[0] * self._grid[1], width)
            self.blocks = nn.ModuleList(
                _Block(width, attention_heads, joins=long_skips and index >= depth - depth // 2)
                for index in range(depth)
            )
            self.norm = nn.LayerNorm(width)
            self.output = nn.Linear(width, self.per_token)
        small = (2 * depth) ** -0.5  # what the blocks add together stays of the size of the embedding
        gains: dict[nn.Module, float | Tensor] = {self.output: 0.0}
        for block in self.blocks:
            assert isinstance(block, _Block)
            gains |= {block.mix: small, block.narrow: small}
        materialise(self, seed, gains=gains)

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Evaluate: ``x (B, C, H, W)``, ``t`` 0-d or ``(B,)`` -> ``(B, C, H, W)``, or ``(B, K, C, H, W)``."""
        return self.head(self._through(self.stem(x, t, cond), 0, self.n_layers))

    # --- layers

    def stem(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> LayerState:
        """The patches as tokens, with the embedding of time and condition."""
        embedded = self._embedded(x, t, cond)
        tokens: Tensor = self.positions(self.input(self._patches(x)))
        return LayerState(tokens, embedded, ())

    def layer(self, index: int, state: LayerState) -> LayerState:
        """The state after a layer; in the second half it takes up the tokens that wait for it."""
        tokens, embedded, skips = state
        block: Any = self.blocks[index]
        if block.join is not None:
            skip, skips = skips[-1], skips[:-1]
            tokens = block.join(torch.cat([tokens, skip], -1))
        tokens = block(tokens, embedded)
        if self.long_skips and index < self.n_layers // 2:
            skips = (*skips, tokens)
        return LayerState(tokens, embedded, skips)

    def tokens(self, state: LayerState) -> Tensor:
        """(B, L, E)."""
        return state.tokens

    def head(self, state: LayerState) -> Tensor:
        """Norm and output."""
        return self.arranged(self.output(self.norm(state.tokens)))

    def arranged(self, values: Tensor) -> Tensor:
        """``(B, L, per_token)`` as images ``(B, C, H, W)``, or ``(B, K, C, H, W)``."""
        (channels, height, width), (down, along) = self.shape, self._grid
        cut = values.reshape(-1, down, along, self.heads * channels, self.patch, self.patch)
        whole_ = cut.permute(0, 3, 1, 4, 2, 5).reshape(-1, self.heads, channels, height, width)
        return whole_[:, 0] if self.heads == 1 else whole_

    def rows(self, state: LayerState, index: Tensor) -> LayerState:
        """The state of some rows."""
        embedded = state.embedded if len(state.embedded) == 1 else state.embedded[index]
        return LayerState(state.tokens[index], embedded, tuple(skip[index] for skip in state.skips))

    # --- encoder and decoder

    @property
    def encoder_levels(self) -> int:
        """Layers of the first half."""
        return self.n_layers // 2

    def encode(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Features:
        """The first half; its last tokens are the bottleneck."""
        return _features(self._through(self.stem(x, t, cond), 0, self.encoder_levels))

    def decode(self, features: Features, t: Tensor | float, cond: Condition = None) -> Tensor:
        """The second half, at a time and with a condition that may differ from the encoder's."""
        like = features.bottom.new_empty(()).expand(features.bottom.shape[0], *self.shape)
        state = LayerState(features.bottom, self._embedded(like, t, cond), features.skips)
        return self.head(self._through(state, self.encoder_levels, self.n_layers))

    def refresh(
        self, features: Features, x: Tensor, t: Tensor | float, cond: Condition = None, *, levels: int = 1
    ) -> Features:
        """The features with the tokens of the first ``levels`` layers from x; see ``UNet.refresh``.

        Raises:
            InvalidInputError: Without long skips: then the decoder sees none of them.
        """
        check_levels(levels, self.encoder_levels)
        if not self.long_skips:
            remedy = "Make it with long_skips=True, or use refresh_levels=0."
            raise invalid("ImageTransformer", "levels that are refreshed need long skips", "none", remedy)
        fresh = _features(self._through(self.stem(x, t, cond), 0, levels))
        return Features((*fresh.skips, *features.skips[levels:]), features.bottom)

    def _through(self, state: LayerState, first: int, last: int) -> LayerState:
        for index in range(first, last):
            state = self.layer(index, state)
        return state

    def _embedded(self, x: Tensor, t: Tensor | float, cond: Condition) -> Tensor:
        t = self.checked_time(x, t, self.output.weight)
        embedded: Tensor = self.embedding(t, self._kinds.split(cond, x))
        return embedded

    def _patches(self, x: Tensor) -> Tensor:
        """(B, L, C P P)."""
        (down, along), p = self._grid, self.patch
        cut = x.reshape(x.shape[0], -1, down, p, along, p)
        return cut.permute(0, 2, 4, 1, 3, 5).reshape(x.shape[0], down * along, -1)


def _features(state: LayerState) -> Features:
    return Features(state.skips, state.tokens)


class _Positions(OwnWeights):
    """Adds a learnt vector to every position."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(length, width))

    def draw_weights(self, generator: torch.Generator) -> None:
        drawn = torch.empty(self.table.shape, dtype=torch.float32, device="cpu")
        self.table.data.copy_(drawn.normal_(0, 0.5, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table


class _Block(nn.Module):
    """Attention, then a perceptron, each added to what comes in; the norms are scaled and shifted by the embedding."""

    def __init__(self, width: int, heads: int, joins: bool) -> None:
        super().__init__()
        self.heads, self.channels = heads, width // heads
        self.join = nn.Linear(2 * width, width) if joins else None
        self.film = nn.Linear(width, 4 * width)
        self.norm_mix, self.norm_wide = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, h: Tensor, embedded: Tensor) -> Tensor:
        for_mix, for_wide = self.film(embedded).chunk(2, -1)
        h = h + self.mix(self._seen(scaled_and_shifted(self.norm_mix(h), for_mix)))
        wide: Any = functional.gelu(self.wide(scaled_and_shifted(self.norm_wide(h), for_wide)))
        narrowed: Tensor = self.narrow(wide)
        return h + narrowed

    def _seen(self, h: Tensor) -> Tensor:
        rows, length, width = h.shape
        split = self.ask(h).reshape(rows, length, 3, self.heads, self.channels)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(rows, length, width)
