"""Allen-Cahn equation with sharp fronts, a benchmark on which plain physics-informed networks fail."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Positive
from interpolants.pde.evolution import Jet
from interpolants.pde.periodic import SemilinearEquation


@dataclass(frozen=True, kw_only=True)
class AllenCahn(SemilinearEquation, Checked):
    """``u_t = diffusion u_xx + reaction (u - u^3)`` on [-1, 1], ``u(0, x) = x^2 cos(pi x)``.

    Fronts between the phases -1 and 1 have width ``sqrt(diffusion / reaction)``. The initial data are continuous across
    the ends of the period, their slope is not.

    Source: Allen & Cahn (1979); these data after Raissi, Perdikaris & Karniadakis (2019).
    """

    names: tuple[str, ...] = field(default=("u",), init=False, repr=False)
    period: tuple[float, float] = field(default=(-1.0, 1.0), init=False, repr=False)

    diffusion: Positive = 1e-4
    """In squared length per time."""
    reaction: Positive = 5.0
    """Rate of the phase separation, in 1 / time."""
    end: Positive = 1.0
    """Last time."""

    def initial_at(self, x: Tensor) -> Tensor:
        """``x^2 cos(pi x)``."""
        return x**2 * torch.cos(math.pi * x)

    def residual_at(self, points: Tensor, u: Jet) -> Tensor:
        """``u_t - diffusion u_xx - reaction (u - u^3)``."""
        value = u()
        return u("t") - self.diffusion * u("xx") - self.reaction * (value - value**3)

    def symbol(self, k: Tensor) -> Tensor:
        """Diffusion and growth of a mode."""
        return self.reaction - self.diffusion * k**2

    def nonlinear(self, u: Tensor) -> Tensor:
        """``-reaction u^3``."""
        return -self.reaction * u**3
