"""Boundary-value problems that are made for a solution which is known: fast waves, alone and on slow ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import OneOf, Positive
from interpolants.pde.box import BoxProblem
from interpolants.pde.evolution import Jet

# Of one coordinate s and the frequency k; in two dimensions the solution is the product, or the sum, over both.
SOLUTIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "sine": lambda s, k: torch.sin(k * s),
    "sine_on_parabola": lambda s, k: torch.sin(k * s) - 2 * (s - 0.5) ** 2,
    "product": lambda s, k: torch.sin(6 * s) * torch.cos(k * s),
    "growing": lambda s, k: s * torch.sin(k * s),
    "multiscale": lambda s, k: torch.sin(s) + 0.1 * torch.sin(k / 5 * s) + 0.05 * torch.cos(k * s),
}


@dataclass(frozen=True, kw_only=True)
class Manufactured(BoxProblem, Checked):
    """``u_xx (+ u_yy) = f`` or ``u_xx (+ u_yy) + u (u^2 - 1) = f`` on a box, with u given on the boundary.

    f follows from the solution by automatic differentiation.

    Source: after Fang et al. (2024), arXiv:2311.04465, section 6.
    """

    equation: Literal["poisson", "allen_cahn"] = "poisson"
    """Left side."""
    solution: Annotated[str, OneOf(lambda: SOLUTIONS)] = "sine"
    """``"sine"`` sin(k s), ``"sine_on_parabola"`` sin(k s) - 2 (s - 1/2)^2, ``"product"`` sin(6 s) cos(k s),
    ``"growing"`` s sin(k s), or ``"multiscale"`` sin(s) + sin(k s / 5) / 10 + cos(k s) / 20."""
    frequency: Positive = 100.0
    """k, in radians per unit of length."""
    dimension: Annotated[int, Interval(ge=1, le=2)] = 1
    """Number of coordinates."""
    join: Literal["product", "sum"] = "product"
    """How the two coordinates go together in two dimensions."""
    low: float = 0.0
    """Lower end of each coordinate."""
    high: float = 1.0
    """Upper end."""

    def check_settings(self) -> None:
        """Refuse ends in the wrong order."""
        if not self.low < self.high:
            raise invalid("low must be below high", (self.low, self.high))

    @property
    def box(self) -> tuple[tuple[float, float], ...]:
        """The same ends for each coordinate."""
        return ((self.low, self.high),) * self.dimension

    def boundary_at(self, points: Tensor) -> Tensor:
        """The solution itself."""
        return self.truth_at(points)

    def truth_at(self, points: Tensor) -> Tensor:
        """U at points ``(N, d)``, ``(N, 1)`` in the type of the points; on the boundary too."""
        each = SOLUTIONS[self.solution](points, self.frequency)
        return each.prod(1, keepdim=True) if self.join == "product" else each.sum(1, keepdim=True)

    def source_at(self, points: Tensor) -> Tensor:
        """F at points, ``(N, 1)``."""
        with torch.enable_grad():
            at = points.detach().clone().requires_grad_(True)
            value = self.truth_at(at)
            (slopes,) = torch.autograd.grad(value.sum(), at, create_graph=True)
            bends = [
                torch.autograd.grad(slopes[:, i].sum(), at, retain_graph=True)[0][:, i]
                for i in range(self.dimension)
            ]
        return self._left(value.detach(), torch.stack(bends).sum(0)[:, None])

    def residual_at(self, points: Tensor, u: Jet) -> Tensor:
        """What is zero for the solution, ``(N, 1)``."""
        bent = torch.stack([u(2 * axis) for axis in self.axes]).sum(0)
        return self._left(u(), bent) - self.source_at(points)

    def _left(self, value: Tensor, laplacian: Tensor) -> Tensor:
        return laplacian if self.equation == "poisson" else laplacian + value * (value.square() - 1)
