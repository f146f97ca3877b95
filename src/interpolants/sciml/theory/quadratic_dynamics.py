"""Gradient descent of a network with quadratic activations, with all of its neurons summed out."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class QuadraticModel:
    """``f(x) = (alpha / N) sum_i phi(w_i . x)``, ``phi(h) = h + (eps / 2) h^2``, written by two moments of its weights.

    ``f(x) = alpha [wbar . x + (eps / 2) x^T M x]`` with ``wbar = mean w_i`` and ``M = mean w_i w_i^T``, and gradient
    descent of all weights moves these two by themselves, exactly, whatever the number of neurons.

    Args:
        alpha: Scale of the output; large is lazy: the function changes while the weights hardly do.
        eps: Weight of the square.
        lr: eta: each weight moves by ``-eta N`` times the gradient of ``mean (f - y)^2 / (2 alpha^2)``.
    """

    alpha: float
    eps: float
    lr: float

    @staticmethod
    def start(dimension: int, neurons: int, source: Generator) -> tuple[Tensor, Tensor]:
        """Moments ``wbar (D,)`` and ``M (D, D)`` of standard normal weights.

        Outputs of the first network have the mean ``alpha eps |x|^2 / 2`` over networks, as ``E M = 1``.
        """
        w = torch.randn(neurons, dimension, dtype=torch.float64, generator=source)
        return w.mean(0), w.T @ w / neurons

    def outputs(self, mean: Tensor, second: Tensor, x: Tensor) -> Tensor:
        """``f`` at rows ``(B, D)``, ``(B,)``."""
        return self.alpha * (x @ mean + 0.5 * self.eps * ((x @ second) * x).sum(1))

    def step(self, mean: Tensor, second: Tensor, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """The moments after one step of gradient descent at residuals ``f - y`` of the rows."""
        rate = self.lr / self.alpha
        weighted = x * (residual / len(x))[:, None]
        g = weighted.sum(0)
        b = torch.eye(len(mean), dtype=mean.dtype) - rate * self.eps * (weighted.T @ x)
        moved = b @ mean
        crossed = rate * torch.outer(moved, g)
        second = b @ second @ b.T - crossed - crossed.T + rate**2 * torch.outer(g, g)
        # Symmetric up to rounding; the rounding would grow.
        return moved - rate * g, 0.5 * (second + second.T)

    def tangent(self, mean: Tensor, second: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Tangent kernel ``mean phi'(w.x) phi'(w.y) x.y`` of rows, ``(A, B)``; outputs move by ``-eta K r / P``."""
        first = (x @ mean)[:, None] + (y @ mean)[None]
        return (x @ y.T) * (1 + self.eps * first + self.eps**2 * (x @ second @ y.T))

    def teacher_loss(self, mean: Tensor, second: Tensor, b: Tensor) -> Tensor:
        """``E (f - (b . x)^2 / 2)^2`` for ``x ~ N(0, 1 / D)`` and ``|b|^2 = D``, in closed form."""
        d = len(b)
        a = self.alpha * self.eps * second - torch.outer(b, b)
        trace = a.diagonal().sum()
        return self.alpha**2 * mean.square().sum() / d + (2 * a.square().sum() + trace**2) / (4 * d**2)
