"""What a dense network does to an input at its initialisation, by layer, to first order in 1 / width."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.checks import number, positive, whole
from interpolants.foundations.errors import invalid
from interpolants.kernels.activation_averages import Averages, activation_of


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of pre-activations z and of the neural tangent kernel H of one input, by layer, each ``(..., depth)``.

    Means are of infinitely wide networks; the others are leading covariances, to be divided by the width n. Indices
    are of neurons of one layer, i and j different.

    Attributes:
        kernel: K: ``E z_i^2``.
        vertex: V: ``n (E z_i^2 z_j^2 - K^2)``. The excess kurtosis of one neuron is ``3 V / (n K^2)``.
        parallel: chi_par of the layer: how a small change of its kernel goes on to the next.
        perpendicular: chi_perp: how the difference of two near inputs goes on, and a gradient.
        tangent: T: ``E H_ii``; H_ij has the mean 0.
        a: A: ``n cov(H_ii, H_jj)``; the variance of one diagonal entry is ``(A + 2 B) / n``.
        b: B: ``n E H_ij^2``.
        d: D: ``n cov(z_i^2, H_jj)``.
        f: F: ``n E z_i z_j H_ij``.
    """

    kernel: Tensor
    vertex: Tensor
    parallel: Tensor
    perpendicular: Tensor
    tangent: Tensor
    a: Tensor
    b: Tensor
    d: Tensor
    f: Tensor

    def spread(self, width: int) -> Tensor:
        """``V / (n K^2)``: relative variance between networks of the mean square of a wide layer."""
        return self.vertex / (width * self.kernel**2)

    def tangent_spread(self, width: int) -> Tensor:
        """``(A + 2 B) / (n T^2)``: relative variance between networks of one diagonal entry of the tangent kernel."""
        return (self.a + 2 * self.b) / (width * self.tangent**2)


def layer_statistics(
    activation: object,
    depth: int,
    *,
    mean_square: Tensor | float,
    weight_variance: float,
    bias_variance: float = 0.0,
    weight_rate: float = 1.0,
    bias_rate: float = 0.0,
    skip: float = 0.0,
) -> LayerStatistics:
    """Recursions over the layers of ``z' = skip z + b + W s(z)``, z of the first layer ``b + W x``.

    Weights have the variance ``C_W / fan_in`` and biases C_b. The tangent kernel is of gradient steps of the size
    ``weight_rate / fan_in`` for weights and ``bias_rate`` for biases::

        K' = skip^2 K + C_b + C_W <s^2>
        V' = chi_par^2 V + C_W^2 (<s^4> - <s^2>^2) + 4 skip^2 K^2 C_W g'(K)
        T' = l_b + l_W <s^2> + chi_perp T
        B' = chi_perp^2 B + C_W^2 <s'^4> T^2
        F' = chi_par^2 F + C_W^2 <s^2 s'^2> T
        D' = chi_par chi_perp D + chi_par h V + C_W (<s^2 S> - <s^2> <S>)
        A' = chi_perp^2 A + 2 h chi_perp D + h^2 V + <S^2> - <S>^2

    with ``S = l_W s^2 + C_W T s'^2`` and h the derivative of ``<S>`` in K. Those of the tangent kernel are of networks
    without skips, and NaN with them.

    Args:
        activation: A name of :data:`interpolants.kernels.ACTIVATIONS`, or a function of a tensor.
        depth: Layers of weights, >= 1.
        mean_square: ``|x|^2 / fan_in`` of the input, a number or any shape, >= 0; > 0 without biases.
        weight_variance: C_W > 0.
        bias_variance: C_b >= 0.
        weight_rate: l_W >= 0.
        bias_rate: l_b >= 0.
        skip: Factor of the skip in each hidden layer.

    Raises:
        InvalidInputError: If a number is out of range, or the kernel leaves the range of numbers.

    Source: Roberts, Yaida & Hanin (2022), arXiv:2106.10165, chapters 4, 5 and 8. V with a skip is derived here.
    """
    who = "layer_statistics"
    whole(who, "depth", depth, at_least=1)
    positive(who, "weight_variance", weight_variance)
    for name, value in (
        ("bias_variance", bias_variance),
        ("weight_rate", weight_rate),
        ("bias_rate", bias_rate),
    ):
        number(who, name, value, at_least=0)
    number(who, "skip", skip)
    x2 = torch.as_tensor(mean_square, dtype=torch.float64)
    if not bool(((x2 >= 0) & x2.isfinite()).all()):
        raise invalid(
            who, "mean_square must be >= 0 and finite", float(x2[~(x2 >= 0) | x2.isinf()].flatten()[0])
        )
    if not bias_variance and bool((x2 == 0).any()):
        raise invalid(who, "mean_square must be positive where there are no biases", 0.0)
    s, settings = (
        activation_of(who, activation),
        _Layer(weight_variance, bias_variance, weight_rate, bias_rate, skip),
    )
    now = settings.first(x2)
    layers = []
    for layer in range(1, depth + 1):
        if not bool(((now["kernel"] > 1e-280) & (now["kernel"] < 1e140)).all()):
            size = float(now["kernel"].flatten()[0])
            remedy = "The network is far from critical; use fewer layers."
            raise invalid(who, "kernels must stay within numbers", f"{size:.3g} in layer {layer}", remedy)
        means = s.averages(now["kernel"])
        now["parallel"] = skip**2 + weight_variance * means.square_slope
        now["perpendicular"] = skip**2 + weight_variance * means.slope
        layers.append(now)
        now = settings.next(now, means)
    return LayerStatistics(**{name: torch.stack([one[name] for one in layers], -1) for name in layers[0]})


def kernels(
    activation: object, depth: int, mean_square: Tensor, *, weight_variance: float, bias_variance: float = 0.0
) -> Tensor:
    """The variances K of `layer_statistics` alone, at many inputs: ``(...)`` gives ``(..., depth)``."""
    s = activation_of("kernels", activation)
    found = [bias_variance + weight_variance * mean_square]
    for _ in range(depth - 1):
        found.append(bias_variance + weight_variance * s.squares(found[-1]))
    return torch.stack(found, -1)


@dataclass(frozen=True)
class _Layer:
    """Variances, rates and skip of every layer."""

    weight: float
    bias: float
    weight_rate: float
    bias_rate: float
    skip: float

    def first(self, x2: Tensor) -> dict[str, Tensor]:
        """The first layer: Gaussian, so nothing fluctuates but what its weights do."""
        zero = torch.zeros_like(x2)
        none = torch.full_like(x2, float("nan")) if self.skip else zero
        tangent = none + self.bias_rate + self.weight_rate * x2
        kernel = self.bias + self.weight * x2
        return {"kernel": kernel, "vertex": zero, "tangent": tangent, **dict.fromkeys("abdf", none)}

    def next(self, now: dict[str, Tensor], means: Averages) -> dict[str, Tensor]:
        """From one layer to the next; ``par`` and ``perp`` are the two susceptibilities."""
        c, rate, tangent, vertex = self.weight, self.weight_rate, now["tangent"], now["vertex"]
        par, perp, skipped = now["parallel"], now["perpendicular"], self.skip**2
        # Means of S, s^2 S and S^2, and the slope of the first in K.
        own = rate * means.square + c * tangent * means.slope
        with_square = rate * means.fourth + c * tangent * means.mixed
        squared = rate * with_square + c * tangent * (rate * means.mixed + c * tangent * means.slope_fourth)
        h = rate * means.square_slope + c * tangent * means.slope_slope
        grown = c**2 * (means.fourth - means.square**2)
        through = 4 * skipped * now["kernel"] ** 2 * c * means.square_slope
        return {
            "kernel": skipped * now["kernel"] + self.bias + c * means.square,
            "vertex": par**2 * vertex + grown + through,
            "tangent": self.bias_rate + rate * means.square + perp * tangent,
            "a": perp**2 * now["a"] + 2 * h * perp * now["d"] + h**2 * vertex + squared - own**2,
            "b": perp**2 * now["b"] + c**2 * means.slope_fourth * tangent**2,
            "d": par * perp * now["d"] + par * h * vertex + c * (with_square - means.square * own),
            "f": par**2 * now["f"] + c**2 * means.mixed * tangent,
        }
