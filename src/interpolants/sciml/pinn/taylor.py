"""Taylor coefficients along each axis of points, through the layers of a network.

A *bundle* is a list of tensors ``(N, W)``: the value, then for each axis the coefficients ``c_k = u^(k) / k!`` of the
function along that axis, k = 1, 2, ... There are no mixed ones. All orders cost one network of as many rows more, and
one graph to differentiate; nested forward mode costs several.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Bundle = list[Tensor]


@dataclass(frozen=True)
class Orders:
    """Highest derivative along each axis, and where its coefficients are in a bundle.

    Attributes:
        highest: Axis -> order >= 0.
    """

    highest: Mapping[str, int]

    @property
    def size(self) -> int:
        """Tensors of a bundle."""
        return 1 + sum(self.highest.values())

    @property
    def places(self) -> dict[str, range]:
        """Places of the coefficients of each axis."""
        found, begin = {}, 1
        for axis, order in self.highest.items():
            found[axis] = range(begin, begin + order)
            begin += order
        return found

    def derivatives(self, bundle: Sequence[Tensor]) -> dict[str, Tensor]:
        """Derivatives by name, such as ``""``, ``"t"`` and ``"xx"``."""
        found = {"": bundle[0]}
        for axis, places in self.places.items():
            found |= {axis * k: math.factorial(k) * bundle[at] for k, at in enumerate(places, start=1)}
        return found


def tanh(z: Bundle, orders: Orders) -> Bundle:
    """Hyperbolic tangent: from ``y' = (1 - y^2) z'`` follows ``k y_k = sum_j j z_j (1 - y^2)_{k-j}``."""
    y = [torch.tanh(z[0]), *z[1:]]
    slope = 1 - y[0].square()
    for places in orders.places.values():
        inner, own, slopes = [z[i] for i in places], [y[0]], [slope]
        for k in range(1, len(places) + 1):
            terms = [(j / k) * inner[j - 1] * slopes[k - j] for j in range(1, k)]
            own.append(_total([inner[k - 1] * slope, *terms]))
            slopes.append(-_total([own[i] * own[k - i] for i in range(k + 1)]) if k < len(places) else slope)
        for i, value in zip(places, own[1:], strict=True):
            y[i] = value
    return y


def exp(z: Bundle, orders: Orders) -> Bundle:
    """Exponential function: ``k y_k = sum_j j z_j y_{k-j}``."""
    y = [torch.exp(z[0]), *z[1:]]
    for places in orders.places.values():
        inner, own = [z[i] for i in places], [y[0]]
        for k in range(1, len(places) + 1):
            own.append(_total([(j / k) * inner[j - 1] * own[k - j] for j in range(1, k + 1)]))
        for i, value in zip(places, own[1:], strict=True):
            y[i] = value
    return y


def of_function(function: Callable[[Tensor], Tensor], points: Tensor, orders: Orders) -> Bundle:
    """Coefficients of a function of points ``(N, d)`` in torch, by nested forward mode; cheap for closed forms."""
    found = [function(points)]
    for axis, places in enumerate(orders.places.values()):
        along = torch.zeros_like(points)
        along[:, axis] = 1.0
        slope = function
        for k in range(1, len(places) + 1):
            slope = _slope(slope, along)
            found.append(slope(points) / math.factorial(k))
    return found


def _slope(function: Callable[[Tensor], Tensor], along: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda points: torch.func.jvp(function, (points,), (along,))[1]


def product(a: Bundle, b: Bundle, orders: Orders) -> Bundle:
    """Coefficients of a product: ``c_k = sum_i a_i b_{k-i}`` along each axis."""
    found = [a[0] * b[0], *a[1:]]
    for places in orders.places.values():
        left, right = ([one[0], *(one[i] for i in places)] for one in (a, b))
        for k, at in enumerate(places, start=1):
            found[at] = _total([left[i] * right[k - i] for i in range(k + 1)])
    return found


def linear(h: Bundle, weight: Tensor, bias: Tensor) -> Bundle:
    """A linear layer: one product for all coefficients; the bias belongs to the value alone."""
    z = list((torch.stack(h) @ weight.t()).unbind())
    return [z[0] + bias, *z[1:]]


def _total(terms: Sequence[Tensor]) -> Tensor:
    total, *rest = terms
    for term in rest:
        total = total + term
    return total
