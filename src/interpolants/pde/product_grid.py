"""A product grid in a box with an equation on it: residuals there, and how they change with u and its derivatives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from interpolants.pde.box import BoxProblem
from interpolants.pde.evolution import Jet


@dataclass(frozen=True, eq=False)
class ProductGrid:
    """Points along each axis, and what a problem says on their product.

    Attributes:
        problem: The problem.
        orders: Derivatives that its residual reads, with their order along each axis.
        x: Points along each axis.
    """

    problem: BoxProblem
    orders: Mapping[str, tuple[int, ...]]
    x: Sequence[Tensor]

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each axis."""
        return tuple(map(len, self.x))

    @cached_property
    def points(self) -> Tensor:
        """All points, ``(prod M, d)``."""
        return torch.cartesian_prod(*self.x).reshape(-1, len(self.x))

    @cached_property
    def given(self) -> Tensor:
        """Where u is given, bool, of the grid's shape."""
        return self.problem.on_boundary(self.points).reshape(self.shape)

    @cached_property
    def boundary(self) -> Tensor:
        """Values there; 0 elsewhere."""
        values = self.problem.boundary_at(self.points).reshape(self.shape).to(self.points)
        return torch.where(self.given, values, 0.0).detach()

    def residual(self, values: Mapping[str, Tensor]) -> Tensor:
        """Residual on the grid of u with these derivatives; differentiable."""
        jet = Jet({name: value.reshape(-1, 1) for name, value in values.items()})
        return self.problem.residual_at(self.points, jet).reshape(self.shape).to(self.points)

    def linearised(self, values: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The residual of u with these derivatives, and its slope in each of them, point by point."""
        with torch.enable_grad():
            leaves = {name: value.detach().requires_grad_(True) for name, value in values.items()}
            found = self.residual(leaves)
            slopes = torch.autograd.grad(found.sum(), [*leaves.values()], allow_unused=True)
        kept = zip(leaves.items(), slopes, strict=True)
        return found.detach(), {name: torch.zeros_like(leaf) if s is None else s for (name, leaf), s in kept}
