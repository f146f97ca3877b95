"""Features of a kernelised interpolant, and the linear systems for their weights.

Notation: ``J(x) (P, D)`` holds the gradients of P features; ``K = E[J J^T]`` and ``r = E[J y]`` are means over draws of
x_t with target y. ``J^T w`` with ``K w = r`` is the projection of ``E[y | x_t]`` on the features. J itself is never
formed for plane waves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

# Rows whose features are in memory at a time.
_ROWS = 4096


class Features(Protocol):
    """Gradients of features as two operations."""

    @property
    def count(self) -> int:
        """Number of features P."""
        ...

    def moments(self, x: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of ``J J^T``, ``(P, P)``, and ``J y``, ``(P,)``, over rows ``(B, D)`` at one time."""
        ...

    def combined(self, x: Tensor, t: Tensor, weights: Tensor) -> Tensor:
        """``J^T w``, ``(B, D)``, with weights ``(P,)`` for all rows or ``(B, P)``."""
        ...


@dataclass(frozen=True, eq=False)
class FourierFeatures:
    """Plane waves ``cos(x @ frequencies + phases)`` with random frequencies; without one, ``J^T w`` is 0.

    Attributes:
        frequencies: ``(D, P)``.
        phases: ``(P,)``, in radians.

    Source: Rahimi & Recht (2007), Random features for large-scale kernel machines.
    """

    frequencies: Tensor
    phases: Tensor

    @property
    def count(self) -> int:
        """Number of features P."""
        return len(self.phases)

    def moments(self, x: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients are ``-sin(.) w``, so ``J J^T`` is a product of two Gram matrices, entry by entry."""
        sines = torch.sin(x @ self.frequencies + self.phases)
        gram = self.frequencies.T @ self.frequencies
        return gram * (sines.T @ sines), -(sines * (y @ self.frequencies)).sum(0)

    def combined(self, x: Tensor, t: Tensor, weights: Tensor) -> Tensor:
        """``J^T w``, ``(B, D)``."""
        return -(torch.sin(x @ self.frequencies + self.phases) * weights) @ self.frequencies.T

    def divergence(self, x: Tensor, weights: Tensor) -> Tensor:
        """Divergence of :meth:`combined`, ``(B,)``."""
        lengths = self.frequencies.square().sum(0)
        return -(torch.cos(x @ self.frequencies + self.phases) * weights) @ lengths


@dataclass(frozen=True, eq=False)
class FieldFeatures:
    """Given fields in place of gradients: only ``J`` enters, so they need not be gradients of anything.

    Attributes:
        fields: P functions ``f(x (B, D), t ()) -> (B, D)``.
    """

    fields: Sequence[Callable[[Tensor, Tensor], Tensor]]

    @property
    def count(self) -> int:
        """Number of features P."""
        return len(self.fields)

    def _values(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.stack([field(x, t) for field in self.fields], 1)

    def moments(self, x: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Inner products of the fields with each other, and with the target."""
        values = self._values(x, t)
        return torch.einsum("bpd,bqd->pq", values, values), torch.einsum("bpd,bd->p", values, y)

    def combined(self, x: Tensor, t: Tensor, weights: Tensor) -> Tensor:
        """``J^T w``, ``(B, D)``."""
        return (self._values(x, t) * weights[..., None]).sum(1)


@dataclass(frozen=True, eq=False)
class System:
    """``K w = r`` at one time, as means over draws.

    Attributes:
        k: ``(P, P)``, symmetric and not negative.
        r: ``(P,)``.
    """

    k: Tensor
    r: Tensor

    @classmethod
    def of(cls, features: Features, x: Tensor, t: Tensor, y: Tensor) -> "System":
        """The means over rows ``x (B, D)`` with targets y; K and r of the same draws.

        Separate draws would leave a residual that is not orthogonal to the features: an exact field among them
        would not get the weight 1.
        """
        count = features.count
        k, r = x.new_zeros(count, count), x.new_zeros(count)
        for first in range(0, len(x), _ROWS):
            rows = slice(first, first + _ROWS)
            more_k, more_r = features.moments(x[rows], t, y[rows])
            k += more_k
            r += more_r
        return cls(k / len(x), r / len(x))

    def solve(self, ridge: float) -> tuple[Tensor, float]:
        """Weights of ``K + ridge tr(K)/P`` and the effective number of features, ``tr K (K + ridge tr(K)/P)^-1``.

        Equal features share one weight, as in the solution with the smallest norm.
        """
        if not len(self.r) or not float(self.k.trace()) > 0:
            return torch.zeros_like(self.r), 0.0
        added = ridge * float(self.k.trace()) / len(self.r)
        factor = torch.linalg.cholesky(self.k + added * torch.eye(len(self.r)).to(self.k))
        weights = torch.cholesky_solve(self.r[:, None], factor)[:, 0]
        return weights, len(self.r) - added * float(torch.cholesky_inverse(factor).trace())

    def loss(self, weights: Tensor) -> float:
        """``E|y - J^T w|^2`` less ``E|y|^2``: what the features explain, with the sign of a loss."""
        return float(weights @ self.k @ weights - 2 * weights @ self.r)
