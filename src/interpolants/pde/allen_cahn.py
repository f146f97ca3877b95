"""Allen-Cahn equation with sharp fronts, a benchmark on which plain physics-informed networks fail."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from interpolants.foundations.checks import positive
from interpolants.pde.evolution import Jet
from interpolants.pde.periodic import SemilinearEquation


@dataclass(frozen=True, kw_only=True)
class AllenCahn(SemilinearEquation):
    """``u_t = diffusion u_xx + reaction (u - u^3)`` on [-1, 1], ``u(0, x) = x^2 cos(pi x)``.

    Fronts between the phases -1 and 1 have width ``sqrt(diffusion / reaction)``. The initial data are continuous across
    the ends of the period, their slope is not.

    Args:
        diffusion: In squared length per time; > 0.
        reaction: Rate of the phase separation, in 1 / time; > 0.
        end: Last time, > 0.

    Source: Allen & Cahn (1979); these data after Raissi, Perdikaris & Karniadakis (2019).
    """

    names: tuple[str, ...] = field(default=("u",), init=False, repr=False)
    period: tuple[float, float] = field(default=(-1.0, 1.0), init=False, repr=False)

    diffusion: float = 1e-4
    reaction: float = 5.0
    end: float = 1.0

    def __post_init__(self) -> None:
        for name in ("diffusion", "reaction", "end"):
            positive("AllenCahn", name, getattr(self, name))

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
