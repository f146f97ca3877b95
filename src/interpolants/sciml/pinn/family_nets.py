"""Networks for families of boundary-value problems: a Gaussian field given parameters, and parameters given a field."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.checks import positive, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.remembered import Remembered
from interpolants.nets.net import give_memory
from interpolants.sciml.pinn.nets.grid_encoder import GridEncoder
from interpolants.sciml.pinn.taylor import Bundle, Orders, exp, linear, tanh


class FieldNet(Remembered, id="field_net"):
    """Mean, standard deviation and factors of a Gaussian field ``v(x)`` given parameters, with derivatives in x.

    ``v(x_i) = mean(x_i) + C(x_i) e + std(x_i) e_i``: at any set of points a Gaussian with covariance
    ``C C^T + diag(std^2)``. Features are the coordinates in units of [-1, 1], sines and cosines of them, and the
    parameters; layers are tanh.

    Args:
        box: Coordinate -> its range.
        parameters: Number of parameters.
        waves: Sines and cosines of each coordinate, of ``pi / 2`` times 1, 2, ... waves.
        width: Units of a hidden layer.
        depth: Hidden layers.
        rank: Columns of C.
        smallest: Smallest standard deviation.
        largest: Largest one.
        seed: Seed of the initial weights.
    """

    def __init__(
        self,
        box: Mapping[str, Sequence[float]],
        parameters: int,
        *,
        waves: int = 4,
        width: int = 96,
        depth: int = 3,
        rank: int = 2,
        smallest: float = 1e-3,
        largest: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("depth", depth), ("rank", rank), ("parameters", parameters)):
            whole("FieldNet", name, value, at_least=1)
        whole("FieldNet", "waves", waves, at_least=0)
        positive("FieldNet", "smallest", smallest)
        if not smallest < largest:
            raise invalid("FieldNet", "smallest must be below largest", (smallest, largest))
        self.box = {axis: (float(side[0]), float(side[1])) for axis, side in box.items()}
        self.waves, self.rank = waves, rank
        self.middle = (math.log(smallest) + math.log(largest)) / 2
        self.reach = (math.log(largest) - math.log(smallest)) / 2
        widths = [len(box) * (1 + 2 * waves) + parameters, *[width] * depth, 2 + rank]
        with torch.device("meta"):
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        give_memory(self)
        _glorot(self.layers, generator(seed, "field net"))

    def forward(self, points: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and std ``(N,)`` and C ``(N, k)`` at points ``(N, d)`` with parameters ``(N, P)`` in [-1, 1]."""
        mean, std, factor = self.bundles(points, parameters, Orders(dict.fromkeys(self.box, 0)))
        return mean[0][:, 0], std[0][:, 0], factor[0]

    def bundles(self, points: Tensor, parameters: Tensor, orders: Orders) -> tuple[Bundle, Bundle, Bundle]:
        """The same with Taylor coefficients in x, each ``(N, 1)`` or ``(N, k)``."""
        h = self._features(points, parameters, orders)
        *hidden, last = self.layers
        for layer in hidden:
            h = tanh(_through(layer, h), orders)
        out = _through(last, h)
        mean, raw, factor = ([part[:, i:j] for part in out] for i, j in ((0, 1), (1, 2), (2, 2 + self.rank)))
        squashed = [self.reach * part for part in tanh(raw, orders)]
        squashed[0] = squashed[0] + self.middle
        return mean, exp(squashed, orders), factor

    def _features(self, points: Tensor, parameters: Tensor, orders: Orders) -> Bundle:
        """Coordinates, their waves and parameters, as a bundle."""
        columns = [self._of_axis(points, i, orders) for i in range(len(self.box))]
        constant = [parameters, *[torch.zeros_like(parameters)] * (orders.size - 1)]
        return [torch.cat(parts, 1) for parts in zip(*columns, constant, strict=True)]

    def _of_axis(self, points: Tensor, i: int, orders: Orders) -> Bundle:
        axis, (low, high) = list(self.box.items())[i]
        s, rate = (2 * points[:, i : i + 1] - low - high) / (high - low), 2 / (high - low)
        w = math.pi / 2 * torch.arange(1, self.waves + 1, dtype=s.dtype, device=s.device)
        empty = s.new_zeros(len(s), 1 + 2 * self.waves)
        found = [empty] * orders.size
        for k, at in enumerate((0, *orders.places[axis])):
            own = (s, torch.full_like(s, rate))[k] if k < 2 else torch.zeros_like(s)
            phase = s * w + k * math.pi / 2
            grown = (rate * w) ** k / math.factorial(k)
            found[at] = torch.cat([own, phase.sin() * grown, phase.cos() * grown], 1)
        return found


class ParameterNet(Remembered, id="parameter_net"):
    """A Gaussian over parameters given values at scattered points and known parameters.

    Args:
        dimension: Number of coordinates.
        unknown: Number of parameters that are asked for.
        known: Number of those that are given.
        scale: Size of the values, by which they are divided.
        rank: Columns of the factor of the covariance; 0 for a diagonal one.
        width: Units of the hidden layer behind the encoder.
        encoder: Further settings of :class:`~interpolants.sciml.pinn.nets.grid_encoder.GridEncoder`.
        seed: Seed of the initial weights.
    """

    def __init__(
        self,
        dimension: int,
        unknown: int,
        known: int,
        *,
        scale: float = 1.0,
        rank: int = 2,
        width: int = 96,
        encoder: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.unknown, self.rank = unknown, whole("ParameterNet", "rank", rank, at_least=0)
        self.scale = positive("ParameterNet", "scale", scale)
        self.encoder = GridEncoder(dimension, **{**(encoder or {}), "seed": seed})
        features = self.encoder.dense.out_features
        with torch.device("meta"):
            widths = [features + known, width, unknown * (2 + rank)]
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        give_memory(self.layers)
        _glorot(self.layers, generator(seed, "parameter net"))

    def forward(self, points: Tensor, values: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and std ``(B, Z)`` and factor ``(B, Z, k)``, all in units of [-1, 1].

        Args:
            points: ``(B, N, d)`` in units of [-1, 1].
            values: ``(B, N)``.
            known: ``(B, W)`` in units of [-1, 1].
        """
        features = self.encoder(points, values[..., None] / self.scale)
        first, last = self.layers
        out = last(nn.functional.silu(first(torch.cat([features, known], 1))))
        mean, raw, factor = out.split([self.unknown, self.unknown, self.unknown * self.rank], 1)
        # The mean of what lies in a box lies there too; the spread is no narrower than 1e-3, for the density's sake.
        return (
            torch.tanh(mean),
            nn.functional.softplus(raw) + 1e-3,
            factor.reshape(len(out), self.unknown, self.rank),
        )


def _through(layer: nn.Module, h: Bundle) -> Bundle:
    assert isinstance(layer, nn.Linear)
    return linear(h, layer.weight, layer.bias)


@torch.no_grad()
def _glorot(layers: nn.ModuleList, source: torch.Generator) -> None:
    """Glorot's normal weights, biases zero."""
    for layer in layers:
        assert isinstance(layer, nn.Linear)
        layer.weight.normal_(0, (2 / (layer.in_features + layer.out_features)) ** 0.5, generator=source)
        layer.bias.zero_()
