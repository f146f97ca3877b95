"""Nonlinear Poisson equations: heat in a material that conducts better or worse where it is hot."""

from dataclasses import dataclass, field
from itertools import product
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.records import record
from interpolants.pde.evolution import Jet
from interpolants.sciml.pinn.pde.chebyshev import ChebyshevGrid
from interpolants.sciml.pinn.pde.family import PDEFamily, Range

_FLOOR = 0.1
# Points of a side by dimension; steps of the continuation in z; Newton steps and halvings of each, and where they end.
_NODES, _STAGES, _NEWTON, _HALVINGS, _SETTLED = {1: 64, 2: 24}, 4, 30, 8, 1e-9
_AXES = ("x", "y")


@dataclass(frozen=True, kw_only=True)
class NonlinearPoisson(PDEFamily, Checked):
    """``-div(kappa grad u) = w`` on ``[-1, 1]^d``, u = 0 on the boundary, ``kappa = log(1 + exp(u s(x))) + 0.1``.

    ``s = sum_n z_n T_n`` is a sum of Chebyshev polynomials, in two dimensions of their products up to the degree. The z
    are unknown, uniform on [-1, 1]; the source w is known, uniform on [1, 2].

    Source: Vadeboncoeur et al. (2023), arXiv:2301.11040, for the family in one dimension.
    """

    dimension: Annotated[int, Interval(ge=1, le=2)] = 1
    """Coordinates d."""
    degree: Annotated[int, Interval(ge=0, le=20)] = 4
    """Highest degree of s."""
    box: dict[str, Range] = field(init=False, repr=False, compare=False)
    unknown: dict[str, Range] = field(init=False, repr=False, compare=False)
    known: dict[str, Range] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = {
            "box": dict.fromkeys(_AXES[: self.dimension], (-1.0, 1.0)),
            "unknown": {f"z{i}": (-1.0, 1.0) for i in range(len(self._degrees()))},
            "known": {"w": (1.0, 2.0)},
        }
        for name, value in names.items():
            object.__setattr__(self, name, value)

    def _degrees(self) -> list[tuple[int, ...]]:
        """Degrees along each axis of the terms of s."""
        every = product(range(self.degree + 1), repeat=self.dimension)
        return sorted((n for n in every if sum(n) <= self.degree), key=lambda n: (sum(n), n))

    def basis(self, points: Tensor, axis: str = "") -> Tensor:
        """The terms of s ``(N, Z)`` at points ``(N, d)``, or their slopes along an axis."""
        tables = {name: _chebyshev(points[:, i], self.degree) for i, name in enumerate(self.axes)}
        parts = []
        for degrees in self._degrees():
            factors = [tables[a][1 if a == axis else 0][n] for a, n in zip(self.axes, degrees, strict=True)]
            parts.append(torch.stack(factors).prod(0))
        return torch.stack(parts, 1)

    def residual_at(self, points: Tensor, u: Jet, z: Tensor, w: Tensor) -> Tensor:
        """``-sum_a (kappa u_a)_a - w``; kappa depends on the place through u and through s."""
        value, s = u(), (self.basis(points) * z).sum(1, keepdim=True)
        kappa, bend = _conductivity(value, s)
        left = -w
        for axis in self.axes:
            s_slope = (self.basis(points, axis) * z).sum(1, keepdim=True)
            slope = bend * (u(axis) * s + value * s_slope)
            left = left - slope * u(axis) - kappa * u(2 * axis)
        return left

    def solution(self, z: Tensor, w: Tensor) -> "GridFields":
        """Chebyshev collocation and Newton's method with continuation in z.

        Raises:
            DivergedError: If Newton's method does not settle for one of the problems.
        """
        grid = ChebyshevGrid(-1.0, 1.0, _NODES[self.dimension])
        system = _System(self, grid)
        # One problem after the other: the bits of a solution do not depend on the others.
        values = [system.solve(a, b) for a, b in zip(z.double(), w.double(), strict=True)]
        return GridFields(grid, torch.stack(values))


@record("grid_fields")
@dataclass(frozen=True, eq=False)
class GridFields:
    """Fields on the points of a Chebyshev grid, the same along all axes; polynomials between them.

    Attributes:
        grid: The grid of one axis.
        values: ``(B, n)`` or ``(B, n, n)``.
    """

    grid: ChebyshevGrid
    values: Tensor

    def at(self, points: Tensor) -> Tensor:
        """Values at points ``(B, N, d)`` of each field, ``(B, N)``."""
        found = self.values[:, None]
        for axis in range(points.shape[-1]):
            weights = self.grid.interpolation(points[..., axis])
            found = (weights.reshape(*weights.shape, *[1] * (found.ndim - 3)) * found).sum(2)
        return found


class _System:
    """Discrete equations of a family on a grid."""

    def __init__(self, family: NonlinearPoisson, grid: ChebyshevGrid) -> None:
        d, eye = family.dimension, torch.eye(grid.n, dtype=torch.float64)
        slope, axes = grid.derivative, [grid.x] * family.dimension
        self.slopes = [slope] if d == 1 else [torch.kron(slope, eye), torch.kron(eye, slope)]
        self.points = torch.cartesian_prod(*axes).reshape(-1, d)
        self.basis, self.shape = family.basis(self.points), (grid.n,) * d
        self.inside = torch.nonzero((self.points.abs() < 1 - 1e-12).all(1))[:, 0]

    def solve(self, z: Tensor, w: Tensor) -> Tensor:
        """Values on the grid, from those of a material that conducts alike everywhere."""
        s = self.basis @ z
        alike = self._newton(torch.zeros(len(self.points), dtype=torch.float64), 0 * s, w)
        try:
            return self._newton(alike, s, w).reshape(self.shape)
        except DivergedError:  # too far in one go
            for stage in range(1, _STAGES + 1):
                alike = self._newton(alike, s * stage / _STAGES, w)
            return alike.reshape(self.shape)

    def _newton(self, u: Tensor, s: Tensor, w: Tensor) -> Tensor:
        left = self._residual(u, s, w)
        for _ in range(_NEWTON):
            if float(left.abs().max()) < _SETTLED * float(w):
                return u
            step = torch.zeros_like(u)
            step[self.inside] = torch.linalg.solve(self._jacobian(u, s), left)
            u, left = self._shortened(u, step, s, w, float(left.norm()))
        if float(left.abs().max()) < 1e3 * _SETTLED * float(w):  # the roundings of many points
            return u
        raise DivergedError("NonlinearPoisson: Newton's method did not settle. Use a smaller range of z.")

    def _shortened(
        self, u: Tensor, step: Tensor, s: Tensor, w: Tensor, before: float
    ) -> tuple[Tensor, Tensor]:
        """A step of Newton, halved until the residual falls."""
        for k in range(_HALVINGS):
            there = u - step / 2**k
            left = self._residual(there, s, w)
            if float(left.norm()) < before:
                break
        return there, left

    def _residual(self, u: Tensor, s: Tensor, w: Tensor) -> Tensor:
        kappa, _ = _conductivity(u, s)
        flux = torch.stack([slope @ (kappa * (slope @ u)) for slope in self.slopes]).sum(0)
        return (-flux - w)[self.inside]

    def _jacobian(self, u: Tensor, s: Tensor) -> Tensor:
        kappa, bend = _conductivity(u, s)
        rows = []
        for slope in self.slopes:
            flux = kappa[:, None] * slope[:, self.inside]
            flux[self.inside, range(len(self.inside))] += (bend * s * (slope @ u))[self.inside]
            rows.append(slope[self.inside] @ flux)
        return -torch.stack(rows).sum(0)


def _conductivity(u: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """kappa, and its slope in ``u s``."""
    return torch.nn.functional.softplus(u * s) + _FLOOR, torch.sigmoid(u * s)


def _chebyshev(x: Tensor, degree: int) -> tuple[list[Tensor], list[Tensor]]:
    """Chebyshev polynomials of degrees 0 to ``degree``, and their slopes: ``T_n' = n U_{n-1}``."""
    first, second = [torch.ones_like(x), x], [torch.ones_like(x), 2 * x]
    for _ in range(degree):
        first.append(2 * x * first[-1] - first[-2])
        second.append(2 * x * second[-1] - second[-2])
    slopes = [torch.zeros_like(x), *(n * second[n - 1] for n in range(1, degree + 1))]
    return first[: degree + 1], slopes
