"""Initialisation at which signals and gradients of a deep network neither grow nor fade, whatever its depth."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from interpolants.foundations.errors import InvalidInputError
from interpolants.kernels.activation_averages import Activation, Averages, activation_of

Universality = Literal["scale_invariant", "zero", "half_stable"]

# Variances that are searched for a fixed point, and halvings of the interval of a root.
_LOWEST, _HIGHEST, _POINTS, _HALVINGS = -3.0, 3.0, 400, 60
# Small variances at which the kernel of an activation through 0 is seen to fade, not to grow.
_SMALL = (1e-4, 2e-4)
_VERTEX_AT_ZERO = 2 / 3  # limit of V l / (K^2 l^2) where the kernel fades as 1 / l


class NotCriticalError(InvalidInputError):
    """No initialisation makes a network of this activation critical."""


@dataclass(frozen=True)
class CriticalPoint:
    """Variances of weights and biases at which ``chi_par = chi_perp = 1``.

    Attributes:
        weight_variance: C_W: weights have the variance ``C_W / fan_in``.
        bias_variance: C_b.
        kernel: Variance K* of the pre-activations that is kept; 0 where it fades as ``1 / (decay l)``, NaN where every
            one is kept.
        universality: ``"scale_invariant"``: every variance is kept; ``"zero"``: it fades slowly, to 0;
            ``"half_stable"``: K* is kept, attracts from one side and repels on the other, both slowly.
        decay: Minus the relative change of K in one layer, over K, for ``"zero"`` and smooth activations; else NaN.
        vertex_growth: nu: ``V / (n K^2)``, the relative variance between networks, grows as ``nu l / n``.
    """

    weight_variance: float
    bias_variance: float
    kernel: float
    universality: Universality
    decay: float
    vertex_growth: float


def critical_point(activation: Activation | str | object) -> CriticalPoint:
    """The critical initialisation of a dense network with this activation.

    With ``g(K) = <s^2>``, the variance of pre-activations goes from layer to layer as ``K' = C_b + C_W g(K)``, a small
    change of it as ``chi_par = C_W g'(K)``, and the difference of two near inputs, or the gradient, as ``chi_perp = C_W
    <s'^2>``. Critical is a fixed point with both 1.

    Args:
        activation: A name of :data:`interpolants.kernels.ACTIVATIONS`, or a function of a tensor, entry by entry.

    Raises:
        NotCriticalError: If there is no such point with K in [0.001, 1000].
        InvalidInputError: If the activation is unknown or not finite.

    Example:
        >>> critical_point("relu").weight_variance
        2.0

    Source: Roberts, Yaida & Hanin (2022), arXiv:2106.10165, chapter 5.
    """
    s = activation_of("critical_point", activation)
    found = _scale_invariant(s) or _at_zero(s) or _isolated(s)
    if found is None:
        rule = "some initialisation must keep signals and gradients"
        raise NotCriticalError(
            f"critical_point: {rule}, got {s.name!r}: chi_par and chi_perp are both 1 nowhere on K in [0.001, 1000]."
            " Use another activation, or layers with skips."
        )
    return found


def _scale_invariant(s: Activation) -> CriticalPoint | None:
    """For ``s(c z) = c s(z)``, c > 0: a straight line on either side of 0."""
    z = torch.tensor([-8.0, -1.0, -0.125, 0.125, 1.0, 8.0], dtype=torch.float64)
    slopes = s.call(z) / z
    below, above = slopes[:3], slopes[3:]
    if not (torch.equal(below, below[:1].expand(3)) and torch.equal(above, above[:1].expand(3))):
        return None
    size = float(above[0].square() + below[0].square())
    if size == 0:
        return None
    growth = _growth(s.averages(1.0), 1.0, 2 / size)
    return CriticalPoint(2 / size, 0.0, math.nan, "scale_invariant", math.nan, growth)


def _at_zero(s: Activation) -> CriticalPoint | None:
    """For s(0) = 0 and a slope there, if the kernel fades at ``C_b = 0``."""
    zero = torch.zeros(1, dtype=torch.float64)
    slope = float(s.derivative(zero))
    if float(s.call(zero)) != 0 or slope == 0:
        return None
    weight = 1 / slope**2
    k = torch.tensor(_SMALL, dtype=torch.float64)
    first, second = ((weight * s.averages(k).square / k - 1) / k).tolist()
    if first >= 0:
        return None
    smooth = abs(second / first - 1) < 0.05
    return CriticalPoint(
        weight, 0.0, 0.0, "zero", -(2 * first - second) if smooth else math.nan, _VERTEX_AT_ZERO
    )


def _isolated(s: Activation) -> CriticalPoint | None:
    """The smallest K with ``g'(K) = <s'^2>`` and biases of a variance >= 0."""
    k = torch.logspace(_LOWEST, _HIGHEST, _POINTS, dtype=torch.float64)
    gap = _gap(s, k)
    for i in ((gap[:-1] * gap[1:]) < 0).nonzero().flatten().tolist():
        at = _root(s, float(k[i]), float(k[i + 1]))
        means = s.averages(at)
        weight = 1 / float(means.slope)
        bias = at - weight * float(means.square)
        if bias >= 0:
            return CriticalPoint(weight, bias, at, "half_stable", math.nan, _growth(means, at, weight))
    return None


def _gap(s: Activation, k: Tensor) -> Tensor:
    means = s.averages(k)
    return means.square_slope - means.slope


def _root(s: Activation, low: float, high: float) -> float:
    """Bisection in the logarithm."""
    rising = float(_gap(s, torch.tensor(high))) > 0
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        if (float(_gap(s, torch.tensor(middle, dtype=torch.float64))) > 0) == rising:
            high = middle
        else:
            low = middle
    return math.sqrt(low * high)


def _growth(means: Averages, kernel: float, weight: float) -> float:
    """``C_W^2 (<s^4> - <s^2>^2) / K^2`` of one layer at a kernel that stays."""
    return float(weight**2 * (means.fourth - means.square**2) / kernel**2)


def heuristic_aspect_ratio(point: CriticalPoint, outputs: int = 1) -> float:
    """The depth over width that is best by an estimate of the book: ``4 / ((20 + 3 outputs) nu)``. A heuristic.

    It is where a truncated expansion of a mutual information is largest; its cubic term was not derived again here.

    Args:
        point: The critical point.
        outputs: Entries of the network's output.
    """
    return 4 / ((20 + 3 * outputs) * point.vertex_growth)
