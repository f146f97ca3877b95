"""Multilayer perceptron in the form of a U-Net: widths go down, then up again beside copies of the way down."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.types import Condition
from interpolants.nets.embeddings import ConditionKinds
from interpolants.nets.film import Embedding, scaled_and_shifted
from interpolants.nets.net import Net, materialise
from interpolants.nets.split import check_levels
from interpolants.nets.unet import Features


class MLPUNet(Net):
    """Dense layers ``h <- silu(FiLM(norm(W h)))`` of widths ``w_0 ... w_{L-1}`` and back, with a skip at each width.

    ``net(x, t, cond)`` is ``net.decode(net.encode(x, t, cond), t, cond)``. The last layer starts at zero.

    Args:
        shape: Event shape D of the state, a tuple or a number.
        widths: w_l, two or more.
        heads: K outputs of shape D on one trunk.
        time_features: Number of Fourier features of t, even; 0 makes the network ignore t.
        n_classes: Number of labels of the condition, if there are any.
        cond_dim: Length of the condition's vector, if there is one.
        seed: Seed of the initial weights, >= 0.

    Raises:
        InvalidInputError: For a setting outside its range.
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        widths: Sequence[int] = (256, 192, 128),
        heads: int = 1,
        time_features: int = 32,
        n_classes: int | None = None,
        cond_dim: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(shape, heads)
        if len(widths) < 2:
            raise invalid(
                "MLPUNet", "widths must have at least two levels", widths, "For one level use an MLP."
            )
        own = [whole("MLPUNet", "every width", width, at_least=1) for width in widths]
        given = {"heads": heads, "time_features": time_features, "n_classes": n_classes, "cond_dim": cond_dim}
        self.settings = {
            "name": "mlp_unet",
            "shape": list(self.shape),
            "widths": list(own),
            **given,
            "seed": seed,
        }
        self._size = math.prod(self.shape)
        self._kinds = ConditionKinds(who="MLPUNet", n_classes=n_classes, cond_dim=cond_dim)
        self._out_shape = self.shape if heads == 1 else (heads, *self.shape)
        embedded = own[0]
        with torch.device("meta"):
            self.embedding = Embedding(embedded, time_features, self._kinds)
            self.downs = nn.ModuleList(_Layer(a, b, embedded) for a, b in pairwise([self._size, *own]))
            self.middle = _Layer(own[-1], own[-1], embedded)
            wide = [own[-1], *own[::-1]]
            self.ups = nn.ModuleList(_Layer(a + b, b, embedded) for a, b in pairwise(wide))
            self.output = nn.Linear(own[0], heads * self._size)
        materialise(self, seed, gains={self.output: 0.0})

    @property
    def encoder_levels(self) -> int:
        """Number of widths."""
        return len(self.downs)

    def forward(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Evaluate: ``x (B, *D)``, ``t`` 0-d or ``(B,)`` -> ``(B, *D)``, or ``(B, K, *D)`` for K > 1 heads."""
        embedded = self._embedded(x, t, cond)
        return self._decoded(self._encoded(x, embedded), embedded)

    def encode(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Features:
        """The way down: a skip of each width, and the bottleneck."""
        return self._encoded(x, self._embedded(x, t, cond))

    def decode(self, features: Features, t: Tensor | float, cond: Condition = None) -> Tensor:
        """The way up, at a time and with a condition that may differ from the encoder's."""
        top = features.skips[0]
        like = top.new_empty(()).expand(top.shape[0], *self.shape)
        return self._decoded(features, self._embedded(like, t, cond))

    def refresh(
        self, features: Features, x: Tensor, t: Tensor | float, cond: Condition = None, *, levels: int = 1
    ) -> Features:
        """The features with the skips of the first ``levels`` widths from x; see ``UNet.refresh``."""
        check_levels(levels, self.encoder_levels)
        fresh = self._descend(x, self._embedded(x, t, cond), levels)
        return Features((*fresh, *features.skips[levels:]), features.bottom)

    def _embedded(self, x: Tensor, t: Tensor | float, cond: Condition) -> Tensor:
        t = self.checked_time(x, t, self.output.weight)
        embedded: Tensor = self.embedding(t, self._kinds.split(cond, x))
        return embedded

    def _descend(self, x: Tensor, embedded: Tensor, levels: int) -> list[Tensor]:
        h, skips = x.reshape(x.shape[0], self._size), []
        for layer in self.downs[:levels]:
            h = layer(h, embedded)
            skips.append(h)
        return skips

    def _encoded(self, x: Tensor, embedded: Tensor) -> Features:
        skips = self._descend(x, embedded, self.encoder_levels)
        return Features(tuple(skips), self.middle(skips[-1], embedded))

    def _decoded(self, features: Features, embedded: Tensor) -> Tensor:
        h = features.bottom
        for layer, skip in zip(self.ups, reversed(features.skips), strict=True):
            h = layer(torch.cat([h, skip], 1), embedded)
        out: Tensor = self.output(h)
        return out.reshape(out.shape[0], *self._out_shape)


class _Layer(nn.Module):
    """``silu(FiLM(norm(W h + c)))``."""

    def __init__(self, inside: int, outside: int, embedded: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inside, outside), nn.LayerNorm(outside)
        self.film = nn.Linear(embedded, 2 * outside)

    def forward(self, h: Tensor, embedded: Tensor) -> Tensor:
        return functional.silu(scaled_and_shifted(self.norm(self.linear(h)), self.film(embedded)))
