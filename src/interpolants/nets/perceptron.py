"""Perceptron between vectors of different lengths, for decoders and encoders of latent models."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations import randomness
from interpolants.foundations.checks import one_of, positive, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.remembered import Remembered
from interpolants.nets.mlp import ACTIVATIONS
from interpolants.nets.net import materialise


class Perceptron(Remembered, id="perceptron"):
    """``(B, inputs) -> (B, outputs)`` through hidden layers of given widths.

    Args:
        inputs: Length of what comes in.
        outputs: Length of what goes out.
        hidden: Widths of the hidden layers, at least one.
        activation: As for the MLP.
        gain: Standard deviation of the initial weights of all layers, times the root of their inputs; 0.58 is that of
            ``torch.nn.Linear``. What keeps the size of the signal from layer to layer when None.
        seed: Seed of the initial weights, >= 0.

    Raises:
        InvalidInputError: For a setting outside its range.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int] = (64, 64),
        *,
        activation: str = "relu",
        gain: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        who = "Perceptron"
        widths = [whole(who, "width", w, at_least=1) for w in (inputs, *hidden, outputs)]
        if len(widths) < 3:
            raise invalid(who, "hidden must have at least one width", list(hidden))
        one_of(who, "activation", activation, ACTIVATIONS)
        if gain is not None:
            positive(who, "gain", gain)
        self._act = ACTIVATIONS[activation]
        with torch.device("meta"):
            layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
        self.layers = nn.ModuleList(layers)
        inner = layers[1:-1] if gain is None else layers
        gains: dict[nn.Module, Any] = dict.fromkeys(inner, self._act.gain if gain is None else gain)
        materialise(self, seed, gains=gains)
        # With zero biases a network of few inputs is homogeneous: of one positive input, a straight line.
        source = randomness.generator(seed, "biases")
        with torch.no_grad():
            for layer in layers[:-1]:
                draw = torch.empty(layer.bias.shape, device="cpu").uniform_(-1, 1, generator=source)
                layer.bias.copy_(draw * layer.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self._act.call(layer(x))
        out: Tensor = last(x)
        return out
