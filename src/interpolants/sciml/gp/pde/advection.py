"""A wave that is carried through a box: an equation of first order, with values on the faces where it comes in."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Positive
from interpolants.pde.box import BoxProblem
from interpolants.pde.evolution import Jet


@dataclass(frozen=True, kw_only=True)
class Advection(BoxProblem, Checked):
    """``speed u_x + u_y = 0`` on ``[0, width] x [0, end]`` with the solution ``u = sin(x - speed y)``.

    u is given at x = 0 and y = 0, where the wave comes in; on the other faces it follows from the equation. Along y it
    has ``speed / (2 pi)`` cycles a unit.

    Source: after Fang et al. (2024), arXiv:2311.04465, section 6, who give u on all four faces.
    """

    speed: Positive = 200.0
    """Speed of the wave along x."""
    width: Positive = 2 * math.pi
    """Upper end of x."""
    end: Positive = 1.0
    """Upper end of y, the time."""
    faces = ("x-", "y-")

    @property
    def box(self) -> tuple[tuple[float, float], ...]:
        """Ends of x and y."""
        return (0.0, self.width), (0.0, self.end)

    def truth_at(self, points: Tensor) -> Tensor:
        """The wave at points ``(N, 2)``, ``(N, 1)``."""
        return torch.sin(points[:, :1] - self.speed * points[:, 1:])

    def boundary_at(self, points: Tensor) -> Tensor:
        """The solution itself."""
        return self.truth_at(points)

    def residual_at(self, points: Tensor, u: Jet) -> Tensor:
        """``speed u_x + u_y``, ``(N, 1)``."""
        return self.speed * u("x") + u("y")
