"""Kuramoto-Sivashinsky equation: flame fronts and thin films, regular at first and then chaotic."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Positive
from interpolants.pde.evolution import Jet
from interpolants.pde.periodic import SemilinearEquation


@dataclass(frozen=True, kw_only=True)
class KuramotoSivashinsky(SemilinearEquation, Checked):
    """``u_t + advection u u_x + growth u_xx + damping u_xxxx = 0`` on [-1, 1], ``u(0, x) = -sin(pi x)``.

    Waves longer than ``2 pi sqrt(damping / growth)`` grow, shorter ones decay, and advection passes energy from one to
    the other. The mean of u stays 0, and u stays odd in x.

    Source: Kuramoto & Tsuzuki (1976), Sivashinsky (1977); these data after Wang, Sankaran & Perdikaris (2024).
    """

    names: tuple[str, ...] = field(default=("u",), init=False, repr=False)
    period: tuple[float, float] = field(default=(-1.0, 1.0), init=False, repr=False)
    is_flux: ClassVar[bool] = True

    advection: Positive = 5.0
    """In 1 / u x length / time."""
    growth: Positive = 0.5
    """Negative diffusion, in squared length per time."""
    damping: Positive = 0.005
    """In length to the fourth per time."""
    end: Positive = 0.1
    """Last time. The default ends when the front has steepened; chaos comes after several times that."""

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
