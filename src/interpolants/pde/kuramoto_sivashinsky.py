"""Kuramoto-Sivashinsky equation: flame fronts and thin films, regular at first and then chaotic."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.checks import positive
from interpolants.pde.evolution import Jet
from interpolants.pde.periodic import SemilinearEquation


@dataclass(frozen=True, kw_only=True)
class KuramotoSivashinsky(SemilinearEquation):
    """``u_t + advection u u_x + growth u_xx + damping u_xxxx = 0`` on [-1, 1], ``u(0, x) = -sin(pi x)``.

    Waves longer than ``2 pi sqrt(damping / growth)`` grow, shorter ones decay, and advection passes energy from one to
    the other. The mean of u stays 0, and u stays odd in x.

    Args:
        advection: In 1 / u x length / time; > 0.
        growth: Negative diffusion, in squared length per time; > 0.
        damping: In length to the fourth per time; > 0.
        end: Last time, > 0. The default ends when the front has steepened; chaos comes after several times that.

    Source: Kuramoto & Tsuzuki (1976), Sivashinsky (1977); these data after Wang, Sankaran & Perdikaris (2024).
    """

    names: tuple[str, ...] = field(default=("u",), init=False, repr=False)
    period: tuple[float, float] = field(default=(-1.0, 1.0), init=False, repr=False)
    is_flux: ClassVar[bool] = True

    advection: float = 5.0
    growth: float = 0.5
    damping: float = 0.005
    end: float = 0.1

    def __post_init__(self) -> None:
        for name in ("advection", "growth", "damping", "end"):
            positive("KuramotoSivashinsky", name, getattr(self, name))

    def initial_at(self, x: Tensor) -> Tensor:
        """``-sin(pi x)``."""
        return -torch.sin(math.pi * x)

    def residual_at(self, points: Tensor, u: Jet) -> Tensor:
        """The left side of the equation."""
        return u("t") + self.advection * u() * u("x") + self.growth * u("xx") + self.damping * u("xxxx")

    def symbol(self, k: Tensor) -> Tensor:
        """Growth and decay of a mode."""
        return self.growth * k**2 - self.damping * k**4

    def nonlinear(self, u: Tensor) -> Tensor:
        """The flux ``-advection u^2 / 2``."""
        return -0.5 * self.advection * u.square()
