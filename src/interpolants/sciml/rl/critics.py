"""Ensembles of critics: each gives the value of a state, and power and scale of its temporal-difference error."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

# The largest power of the law of errors, and that with which training begins: a Gaussian.
LARGEST_POWER, _FIRST_POWER = 8.0, 2.0
_LEAST_SCALE = 1e-3  # in units of the values
_FIRST_SCALE = math.log(math.e - 1)  # softplus of it is 1


@dataclass(frozen=True)
class Heads:
    """What an ensemble says of states; all ``(B, E)``.

    Attributes:
        value: Expected discounted sum of rewards.
        power: Power of the law of its errors.
        scale: Scale of that law.
    """

    value: Tensor
    power: Tensor
    scale: Tensor


class Critics(nn.Module):
    """E networks of equal shape and different weights, evaluated together.

    Args:
        inputs: Width of a state.
        hidden: Widths of the hidden layers; none for linear critics, which on one-hot states are tables.
        members: E.
        source: Draws the weights, uniform in ``+-1 / sqrt(inputs)`` of each layer; linear critics begin at 0.
        fixed_scale: Whether the scale is 1, so that the power alone is learnt.
        least_power: Powers lie between this and 8.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        members: int,
        source: Generator,
        *,
        fixed_scale: bool = False,
        least_power: float = 1.0,
    ) -> None:
        super().__init__()
        self.fixed_scale, self.least_power = fixed_scale, least_power
        self._span = math.log(least_power), math.log(LARGEST_POWER)
        share = (math.log(_FIRST_POWER) - self._span[0]) / (self._span[1] - self._span[0])
        self._first = math.log(share / (1 - share))
        widths = [inputs, *hidden, 3]
        bounds = [0.0 if not hidden else width**-0.5 for width in widths[:-1]]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for before, after, bound in zip(widths, widths[1:], bounds, strict=False):
            drawn = torch.rand(members, before, after, generator=source, dtype=torch.float32)
            self.weights.append(nn.Parameter(bound * (2 * drawn - 1)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, after, dtype=torch.float32)))

    def forward(self, x: Tensor) -> Heads:
        """Heads of states ``(B, D)``."""
        h = x.expand(len(self.weights[0]), *x.shape)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = torch.baddbmm(bias, torch.tanh(h) if number else h, weight)
        value, raw_power, raw_scale = h.unbind(2)
        low, high = self._span
        power = (low + (high - low) * torch.sigmoid(raw_power + self._first)).exp()
        scale = _LEAST_SCALE + nn.functional.softplus(raw_scale + _FIRST_SCALE)
        return Heads(value.T, power.T, torch.ones_like(scale.T) if self.fixed_scale else scale.T)

    def tree(self) -> dict[str, Any]:
        """Its tensors, as a file holds them."""
        weights, biases = ([p.detach().clone() for p in part] for part in (self.weights, self.biases))
        settings = {"fixed_scale": self.fixed_scale, "least_power": self.least_power}
        return {"weights": weights, "biases": biases, "settings": settings}

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> "Critics":
        """Inverse of :meth:`tree`."""
        weights = tree["weights"]
        hidden = [w.shape[2] for w in weights[:-1]]
        made = cls(weights[0].shape[1], hidden, len(weights[0]), torch.Generator(), **tree["settings"])
        for own, stored in zip((*made.weights, *made.biases), (*weights, *tree["biases"]), strict=True):
            own.data = stored.clone()
        return made
