"""Closures ``z_2 = F(|z_1|^2 / c^2) z_1^2 / c`` of the orientation of rods in two dimensions.

A closure that sees the order alone and turns and mirrors with it has this form, with one real function F: 1 for rods
that are as aligned as their order allows (quadratic), 1/2 to first order in weak order. Any density has
``2 - 1 / s <= F <= 1 / s``, with ``s = |z_1|^2 / c^2``.
"""

import functools
from collections.abc import Callable

import torch
from numpy.polynomial import chebyshev
from torch import Tensor

from interpolants.foundations.remembered import Remembered
from interpolants.nets.perceptron import Perceptron

_DEGREE, _HALVINGS = 60, 70

Factor = Callable[[Tensor], Tensor]


def closed(factor: Factor, c: Tensor, z: Tensor) -> Tensor:
    """z_2 ``(R, n, n)`` of c and moments ``(R, 1, n, n)``, as ``ActiveFluid`` asks.

    Args:
        factor: F of s.
        c: Concentration.
        z: z_1 is the first of its moments.
    """
    first = z[:, 0]
    size = (first.real.square() + first.imag.square()) / c.square()
    return factor(size) * first.square() / c


def quadratic(s: Tensor) -> Tensor:
    """F = 1, the smallest fourth moment that a density with this order may have."""
    return torch.ones_like(s)


def isotropic(s: Tensor) -> Tensor:
    """F = 0: the fourth moment of rods without order."""
    return torch.zeros_like(s)


def bingham(s: Tensor) -> Tensor:
    """F of ``psi ~ exp(b cos 2 phi)``, the density of the largest entropy with this order.

    ``F = r_2 / r_1^2`` with ``r_n = I_n(b) / I_0(b)`` at ``r_1^2 = s``, by a Chebyshev series to 1e-12.

    Source: Chaubal & Leal (1998).
    """
    x, coefficients = 2 * s.clamp(0, 1) - 1, _bingham_series()
    after, value = torch.zeros_like(x), torch.zeros_like(x)
    for one in reversed(coefficients[1:]):  # Clenshaw
        after, value = value, one + 2 * x * value - after
    return coefficients[0] + x * value - after


@functools.cache
def _bingham_series() -> list[float]:
    nodes = chebyshev.chebpts1(_DEGREE + 1)
    values = _bingham_at(torch.as_tensor(nodes + 1) / 2).numpy()
    found: list[float] = chebyshev.chebfit(nodes, values, _DEGREE).tolist()
    return found


def _bingham_at(s: Tensor) -> Tensor:
    """F at some s in (0, 1), with b by bisection of its logarithm."""
    low, high = torch.full_like(s, -20.0), torch.full_like(s, 20.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = _order(middle.exp()) < s.sqrt()
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    b = (low + high).div(2).exp()
    return (1 - 2 * _order(b) / b) / s  # I_2 = I_0 - 2 I_1 / b


def _order(b: Tensor) -> Tensor:
    """``I_1(b) / I_0(b)``."""
    found: Tensor = torch.special.i1e(b) / torch.special.i0e(b)
    return found


class OrderFactor(Remembered, id="order_factor"):
    """F as a small network in float64, within the bounds of densities whatever its weights.

    Args:
        width: Neurons of two hidden layers.
        seed: Seed of the weights.
    """

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        self.body = Perceptron(1, 1, (width, width), activation="tanh", seed=seed).double()

    def forward(self, s: Tensor) -> Tensor:
        """F of s, any shape."""
        free = self.body(2 * s[..., None] - 1)[..., 0]
        # 1 + room tanh(free / room): the middle of the bounds and half of their distance; weak order leaves room.
        room = (1 / s.clamp_min(1e-6) - 1).clamp_min(1e-9)
        found: Tensor = 1 + room * torch.tanh((free - 0.25) / room)
        return found


FACTORS: dict[str, Factor] = {"bingham": bingham, "quadratic": quadratic, "isotropic": isotropic}
