"""Incomplete gamma functions that are differentiable in both arguments; those of PyTorch have no gradient in the order.

Letters: ``P, Q = 1 - P`` regularised lower and upper function of order ``0 < a <= 10`` at ``z >= 0``; for larger orders
there are too few terms. Scaled by ``exp(z)`` both are free of overflow and of cancellation where they are used.
"""

import torch
from torch import Tensor

# Up to here the series needs less than _TERMS terms for full precision; beyond it the fraction less than _LEVELS.
SWITCH = 8.0
_TERMS, _LEVELS = 60, 60


def scaled_lower(a: Tensor, z: Tensor, skipped: int = 0) -> Tensor:
    """``exp(z) P(a, z)`` without its first terms: ``sum_{n >= skipped} z^(a + n) / Gamma(a + n + 1)``.

    Args:
        a: Order, broadcasts with z.
        z: Argument in (0, 8]; float64.
        skipped: Terms that are left out.

    Source: Abramowitz & Stegun (1964), 6.5.29.
    """
    n = torch.arange(skipped, _TERMS, dtype=torch.float64)
    powers = (a[..., None] + n) * torch.log(z)[..., None] - torch.lgamma(a[..., None] + n + 1)
    return powers.exp().sum(-1)


def scaled_upper(a: Tensor, z: Tensor) -> Tensor:
    """``exp(z) Q(a, z)`` for z >= 8 by Legendre's continued fraction, evaluated from its end.

    Args:
        a: Order, broadcasts with z.
        z: Argument, >= 8; float64.

    Source: Abramowitz & Stegun (1964), 6.5.31, in its even part.
    """
    tail = torch.zeros_like(a + z)
    for n in range(_LEVELS, 0, -1):
        tail = n * (a - n) / (z + (2 * n + 1) - a + tail)
    return torch.exp(a * torch.log(z) - torch.lgamma(a)) / (z + 1 - a + tail)


def lower(a: Tensor, z: Tensor) -> Tensor:
    """``P(a, z)`` for z > 0, by the series or by the fraction."""
    near = torch.exp(-z) * scaled_lower(a, z.clamp_max(SWITCH))
    far = 1 - torch.exp(-z) * scaled_upper(a, z.clamp_min(SWITCH))
    return torch.where(z <= SWITCH, near, far)
