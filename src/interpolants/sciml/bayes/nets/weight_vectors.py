"""Perceptrons whose weights are a vector, evaluated for many such vectors at once.

Bayesian methods treat all weights of a network as one random vector: draws of a prior, chains, posteriors of tasks.
Here B vectors of P weights are B networks, whose layers are batched matrix products.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Count, Each, OneOf
from interpolants.nets.mlp import ACTIVATIONS

ActivationName = Annotated[str, OneOf(lambda: ACTIVATIONS)]


@dataclass(frozen=True, kw_only=True)
class WeightVectors(Checked):
    """``h <- act(h W / sqrt(n_in) + b)``, then a linear layer; W and b of all layers are one vector of P numbers.

    With the scaling of the layers, weights of variance 1 give values of about 1 whatever the widths.

    Raises:
        InvalidInputError: For a setting out of range.
    """

    inputs: Count
    """Length of what comes in."""
    outputs: Count
    """Length of what goes out."""
    hidden: Annotated[tuple[Count, ...], Each("every width of hidden")] = (50,)
    """Widths of the hidden layers; none for a linear function."""
    activation: ActivationName = "tanh"
    """As for the MLP."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths from the input to the output."""
        return (self.inputs, *self.hidden, self.outputs)

    @property
    def sizes(self) -> list[int]:
        """Numbers of the parts of a vector: weights and biases of the first layer, of the second, ..."""
        return [size for a, b in pairwise(self.widths) for size in (a * b, b)]

    @property
    def count(self) -> int:
        """Length P of a vector."""
        return sum(self.sizes)

    def spread(self, parts: Tensor) -> Tensor:
        """A number for each part, ``(..., parts)``, as one for each weight, ``(..., P)``."""
        return parts.repeat_interleave(torch.tensor(self.sizes), -1)

    def __call__(self, w: Tensor, x: Tensor) -> Tensor:
        """Values of every network.

        Args:
            w: ``(B, P)``.
            x: Points, ``(B, n, inputs)``, or ``(n, inputs)`` for all networks.

        Returns:
            ``(B, n, outputs)``.

        Raises:
            InvalidInputError: If a vector has another length.
        """
        if w.ndim != 2 or w.shape[1] != self.count:
            raise invalid(f"w must have shape (B, {self.count})", tuple(w.shape))
        act, parts = ACTIVATIONS[self.activation].call, torch.split(w, self.sizes, 1)
        h = x if x.ndim == 3 else x.expand(len(w), *x.shape)
        for k, (a, b) in enumerate(pairwise(self.widths)):
            weight, bias = parts[2 * k].reshape(-1, a, b), parts[2 * k + 1]
            h = torch.baddbmm(bias[:, None], h, weight, alpha=1 / math.sqrt(a))
            h = act(h) if k < len(self.hidden) else h
        return h
