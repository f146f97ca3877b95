"""Networks for solutions of evolution equations, with their derivatives along each axis."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from interpolants.foundations.checks import number, positive, whole
from interpolants.foundations.randomness import generator
from interpolants.foundations.remembered import Remembered
from interpolants.nets.net import give_memory
from interpolants.pde.evolution import SPACE, TIME, Jet
from interpolants.sciml.pinn.taylor import Bundle, Orders, linear, product, tanh


class SolutionNet(Remembered, id="solution_net"):
    """``u(t)`` or ``u(t, x)`` with tanh layers, exact periodicity in x, and exact start where it is given.

    Features are ``s = 2 (t - begin) / length - 1`` and, with a period, ``cos k w x`` and ``sin k w x`` for k = 1 ..
    modes, ``w = 2 pi / period``. With a start, ``u = start + (t - begin) / length N(t)``.

    Modified: ``U = tanh(W_u f)``, ``V = tanh(W_v f)`` of the features f gate each hidden layer,
    ``h <- a U + (1 - a) V`` with ``a = tanh(W h)``.

    Args:
        components: Number of components C.
        begin: First time.
        length: Time from first to last.
        period: Ends of the period in x; None without space.
        modes: Fourier modes of x.
        width: Units of a hidden layer.
        depth: Hidden layers.
        modified: Gate the hidden layers.
        first_scale: Standard deviation of the weights of the time in the first layer; its biases are uniform on
            ``[-first_scale, first_scale]``, so that units bend at all times alike.
        start: State at the first time, C numbers; None to learn it.
        seed: Seed of the initial weights.

    Source: Wang, Sankaran & Perdikaris (2024), arXiv:2203.07404, section 4 and appendix; the first layer is ours.
    """

    def __init__(
        self,
        components: int,
        begin: float,
        length: float,
        *,
        period: Sequence[float] | None = None,
        modes: int = 5,
        width: int = 50,
        depth: int = 2,
        modified: bool = False,
        first_scale: float = 4.0,
        start: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        positive("SolutionNet", "length", length)
        number("SolutionNet", "first_scale", first_scale, above=0)
        for name, value in (("components", components), ("modes", modes), ("width", width), ("depth", depth)):
            whole("SolutionNet", name, value, at_least=1)
        self.begin, self.length = begin, length
        self.period = None if period is None else (float(period[0]), float(period[1]))
        self.modes = modes
        inputs = 1 if period is None else 1 + 2 * modes
        widths = [inputs, *[width] * depth, components]
        self.layers = nn.ModuleList(_layer(a, b) for a, b in pairwise(widths))
        self.gates = nn.ModuleList(_layer(inputs, width) for _ in range(2 if modified else 0))
        source = generator(seed, "solution net")
        for layer in (*self.layers, *self.gates):
            _initialise(layer, source, first_scale if layer.in_features == inputs else 0.0)
        self.start = None if start is None else tuple(float(value) for value in start)

    def forward(self, points: Tensor) -> Tensor:
        """Values at points ``(N, 1)`` or ``(N, 2)``, ``(N, C)``."""
        return self._bundle(points, Orders({}))[0]

    def jet(self, points: Tensor, highest: Mapping[str, int]) -> Jet:
        """Values and derivatives up to the given order along each axis.

        Args:
            points: ``(N, 1)`` or ``(N, 2)``.
            highest: Axis -> order.
        """
        orders = Orders({axis: highest.get(axis, 0) for axis in (TIME, SPACE)[: points.shape[1]]})
        return Jet(orders.derivatives(self._bundle(points, orders)))

    def _bundle(self, points: Tensor, orders: Orders) -> Bundle:
        features = self._features(points, orders)
        *hidden, last = self.layers
        gates = [tanh(_through(gate, features), orders) for gate in self.gates]
        h = features
        for layer in hidden:
            h = tanh(_through(layer, h), orders)
            h = _gated(h, gates, orders) if gates else h
        out = _through(last, h)
        return out if self.start is None else self._anchored(points, out, orders)

    def _features(self, points: Tensor, orders: Orders) -> Bundle:
        """Scaled time and Fourier modes of x, as a bundle."""
        t = points[:, :1]
        parts = [torch.zeros_like(t) for _ in range(orders.size)]
        parts[0] = 2 * (t - self.begin) / self.length - 1
        if orders.highest.get(TIME):
            parts[orders.places[TIME][0]] = torch.full_like(t, 2 / self.length)
        if self.period is None:
            return parts
        waves = [parts[0].new_zeros(len(t), 2 * self.modes) for _ in range(orders.size)]
        for k, at in enumerate((0, *orders.places.get(SPACE, ()))):
            waves[at] = self._waves(points[:, 1:], k)
        return [torch.cat(both, 1) for both in zip(parts, waves, strict=True)]

    def _waves(self, x: Tensor, k: int) -> Tensor:
        """Taylor coefficient k of ``cos j w x`` and ``sin j w x``."""
        assert self.period is not None
        low, high = self.period
        w = 2 * math.pi / (high - low) * torch.arange(1, self.modes + 1, dtype=x.dtype, device=x.device)
        phase = (x - low) * w + k * math.pi / 2
        return torch.cat([phase.cos(), phase.sin()], 1) * torch.cat([w, w]) ** k / math.factorial(k)

    def _anchored(self, points: Tensor, out: Bundle, orders: Orders) -> Bundle:
        share = [torch.zeros_like(points[:, :1]) for _ in range(orders.size)]
        share[0] = (points[:, :1] - self.begin) / self.length
        if orders.highest.get(TIME):
            share[orders.places[TIME][0]] = torch.full_like(share[0], 1 / self.length)
        grown = product(share, out, orders)
        start = torch.tensor(self.start, dtype=points.dtype, device=points.device)
        return [start + grown[0], *grown[1:]]


def _through(layer: nn.Module, h: Bundle) -> Bundle:
    assert isinstance(layer, nn.Linear)
    return linear(h, layer.weight, layer.bias)


def _layer(inputs: int, outputs: int) -> nn.Linear:
    with torch.device("meta"):
        layer = nn.Linear(inputs, outputs, dtype=torch.float32)
    give_memory(layer)
    return layer


@torch.no_grad()
def _initialise(layer: nn.Linear, source: torch.Generator, first: float) -> None:
    """Glorot's normal weights, biases zero; in a first layer time has a scale of its own, and biases spread."""
    spread = (2 / (layer.in_features + layer.out_features)) ** 0.5
    layer.weight.normal_(0, spread, generator=source)
    layer.bias.zero_()
    if first:
        layer.weight[:, 0].normal_(0, first, generator=source)
        layer.bias.uniform_(-first, first, generator=source)


def _gated(a: Bundle, gates: Sequence[Bundle], orders: Orders) -> Bundle:
    """``a U + (1 - a) V = V + a (U - V)``."""
    u, v = gates
    moved = product(a, [p - q for p, q in zip(u, v, strict=True)], orders)
    return [p + q for p, q in zip(v, moved, strict=True)]
