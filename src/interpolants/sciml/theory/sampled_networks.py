"""Statistics of networks that are drawn, to hold the theory of finite width against."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import positive, whole
from interpolants.foundations.randomness import generator
from interpolants.kernels.activation_averages import Activation
from interpolants.metrics.estimate import Estimate

# Most float64 numbers that a batch of weight matrices or tangent kernels holds.
_MOST_NUMBERS = 2**22
NAMES = ("kernel", "vertex", "tangent", "a", "b", "d", "f")


@dataclass(frozen=True)
class Ensemble:
    """Dense networks ``z' = b + W s(z)`` with independent Gaussian weights and biases, all hidden layers equally wide.

    Args:
        activation: The activation.
        depth: Layers of weights.
        width: Neurons of each, >= 2.
        weight_variance: C_W: weights have the variance ``C_W / fan_in``.
        bias_variance: C_b.
        weight_rate: l_W of the tangent kernel.
        bias_rate: l_b of the tangent kernel.
    """

    activation: Activation
    depth: int
    width: int
    weight_variance: float
    bias_variance: float = 0.0
    weight_rate: float = 1.0
    bias_rate: float = 0.0

    def statistics(self, mean_square: float, networks: int, seed: int = 0) -> dict[str, list[Estimate]]:
        """Estimates over drawn networks of what `kernels.layer_statistics` predicts, by name, one a layer.

        Pairs of different neurons are used for covariances, so none is biased by the neurons' own variance. Errors are
        between networks, in the first order of products of means.

        Args:
            mean_square: ``|x|^2 / fan_in`` of the input.
            networks: Networks, >= 2.
            seed: Seed of all weights.
        """
        positive("Ensemble.statistics", "mean_square", mean_square)
        whole("Ensemble.statistics", "networks", networks, at_least=2)
        parts = [list(self._moments(mean_square, n, source)) for n, source in self._batches(networks, seed)]
        return _estimates([_joined(layer) for layer in zip(*parts, strict=True)], self.width)

    def _batches(self, networks: int, seed: int) -> Iterator[tuple[int, Generator]]:
        size = max(1, _MOST_NUMBERS // self.width**2)
        for k, first in enumerate(range(0, networks, size)):
            yield min(size, networks - first), generator(seed, "sampled networks", k)

    def _moments(self, mean_square: float, networks: int, source: Generator) -> Iterator[dict[str, Tensor]]:
        """Means over neurons and pairs of neurons of one layer, by network."""
        n, normal = self.width, _Normal(source)
        std, bias = math.sqrt(self.weight_variance / n), math.sqrt(self.bias_variance)
        # Only the norm of the input matters to the first layer.
        z = normal(networks, n) * math.sqrt(self.weight_variance * mean_square) + bias * normal(networks, n)
        own = self.bias_rate + self.weight_rate * mean_square
        tangent = own * torch.eye(n, dtype=torch.float64).expand(networks, n, n)
        yield _of_layer(z, tangent)
        for _ in range(self.depth - 1):
            weight = std * normal(networks, n, n)
            s, slope = self.activation.call(z), self.activation.derivative(z)
            scaled = weight * slope[:, None, :]
            tangent = scaled @ tangent @ scaled.mT
            added = self.bias_rate + self.weight_rate * s.square().mean(1)
            tangent.diagonal(dim1=1, dim2=2).add_(added[:, None])
            z = (weight @ s[..., None])[..., 0] + bias * normal(networks, n)
            yield _of_layer(z, tangent)


@dataclass(frozen=True)
class _Normal:
    """Standard normal numbers in float64."""

    source: Generator

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=self.source)


def _of_layer(z: Tensor, tangent: Tensor) -> dict[str, Tensor]:
    """Means over neurons i and pairs i != j, one a network."""
    n, diagonal = z.shape[1], tangent.diagonal(dim1=1, dim2=2)
    z2, pairs = z.square(), z.shape[1] * (z.shape[1] - 1)

    def different(x: Tensor, y: Tensor) -> Tensor:
        return (x.sum(1) * y.sum(1) - (x * y).sum(1)) / pairs

    crossed = torch.einsum("bi,bij,bj->b", z, tangent, z) - (z2 * diagonal).sum(1)
    return {
        "z2": z2.mean(1),
        "h": diagonal.sum(1) / n,
        "z2z2": different(z2, z2),
        "hh": different(diagonal, diagonal),
        "h_ij2": (tangent.square().sum((1, 2)) - diagonal.square().sum(1)) / pairs,
        "z2h": different(z2, diagonal),
        "zzh": crossed / pairs,
    }


def _joined(layer: tuple[dict[str, Tensor], ...]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in layer]) for name in layer[0]}


def _estimates(layers: list[dict[str, Tensor]], width: int) -> dict[str, list[Estimate]]:
    """Means and covariances with their errors."""
    found: dict[str, list[Estimate]] = {name: [] for name in NAMES}
    for m in layers:
        found["kernel"].append(_mean(m["z2"]))
        found["tangent"].append(_mean(m["h"]))
        found["vertex"].append(_covariance(m["z2z2"], m["z2"], m["z2"], width))
        found["a"].append(_covariance(m["hh"], m["h"], m["h"], width))
        found["d"].append(_covariance(m["z2h"], m["z2"], m["h"], width))
        found["b"].append(_mean(width * m["h_ij2"]))
        found["f"].append(_mean(width * m["zzh"]))
    return found


def _mean(values: Tensor) -> Estimate:
    n = len(values)
    return Estimate(float(values.mean()), float(values.std()) / math.sqrt(n), n, "mean over networks")


def _covariance(product: Tensor, x: Tensor, y: Tensor, width: int) -> Estimate:
    """``n (E xy - E x E y)``; the error is that of its first-order expansion."""
    n, value = len(product), float(product.mean() - x.mean() * y.mean())
    terms = product - y.mean() * x - x.mean() * y
    error = float(terms.std()) / math.sqrt(n)
    return Estimate(width * value, width * error, n, "covariance over networks")
