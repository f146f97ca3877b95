"""A Gaussian process on a product grid that must solve an equation: its objective, and the best values for a kernel.

Letters: ``M_j`` points along axis j of d, ``K_j = L_j L_j^T`` covariance along it, ``K_j^(k)`` its k-th derivative,
``U (M_1, ..., M_d)`` values on the grid, ``v = (L_1 kron ... kron L_d)^{-1} U``. A derivative of the process given its
values on the grid is a product along axes: ``D_j U`` with ``D_j = K_j^(k) K_j^{-1}``, or ``G_j v`` with
``G_j = K_j^(k) L_j^{-T}``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from interpolants.kernels.kronecker import along, log_determinant, product, triangular_solve
from interpolants.kernels.spectral_mixture import Peaks, SpectralMixture, cholesky
from interpolants.pde.product_grid import ProductGrid


@dataclass(frozen=True, eq=False)
class Factors:
    """Matrices of one axis.

    Attributes:
        factor: L.
        derivatives: Order k -> ``G = K^(k) L^{-T}``; order 0 is L itself.
    """

    factor: Tensor
    derivatives: Mapping[int, Tensor]

    @classmethod
    def of(
        cls, kernel: SpectralMixture, peaks: Peaks, x: Tensor, orders: Sequence[int], axis: str
    ) -> "Factors":
        """Factors for the derivatives that are needed; differentiable in the peaks."""
        factor = cholesky(kernel.gram(x, peaks), "GPSolver", f"the covariance along {axis}")
        found = {0: factor}
        for k in sorted(set(orders) - {0}):
            matrix = kernel.gram(x, peaks, k).mT
            found[k] = torch.linalg.solve_triangular(factor, matrix, upper=False).mT
        return cls(factor, found)

    @cached_property
    def maps(self) -> dict[int, Tensor]:
        """Order -> ``D = G L^{-1}``, which maps values to derivatives."""
        return {
            k: torch.linalg.solve_triangular(self.factor, g, upper=False, left=False)
            for k, g in self.derivatives.items()
        }

    @cached_property
    def precision(self) -> Tensor:
        """``K^{-1}``."""
        return torch.cholesky_inverse(self.factor)


@dataclass(frozen=True, eq=False)
class System:
    """The grid with the factors of one kernel, and how much boundary and equation count.

    Attributes:
        grid: The grid.
        factors: Of each axis.
        precisions: ``lambda tau_1`` of boundary values and ``tau_2`` of the residual.
    """

    grid: ProductGrid
    factors: Sequence[Factors]
    precisions: tuple[float, float] = field(default=(1.0, 1.0))

    def derivatives(self, v: Tensor) -> dict[str, Tensor]:
        """Values and derivatives on the grid for whitened values."""
        return {
            name: product([f.derivatives[k] for f, k in zip(self.factors, orders, strict=True)], v)
            for name, orders in self.grid.orders.items()
        }

    def log_joint(self, v: Tensor, log_precisions: Tensor, boundary_weight: float) -> Tensor:
        """Log density of values, boundary and equation, up to a constant; differentiable in kernel and precisions.

        Source: Fang et al. (2024), eq. 10.
        """
        found = self.derivatives(v)
        miss = torch.where(self.grid.given, found[""] - self.grid.boundary, 0.0).square().sum()
        left = self.grid.residual(found).square().sum()
        tau = log_precisions.exp()
        prior = -0.5 * log_determinant([f.factor for f in self.factors]) - 0.5 * v.square().sum()
        edge = 0.5 * int(self.grid.given.sum()) * log_precisions[0] - 0.5 * tau[0] * miss
        return prior + boundary_weight * edge + 0.5 * v.numel() * log_precisions[1] - 0.5 * tau[1] * left

    def improved(self, u: Tensor, tolerance: float, most: int) -> Tensor:
        """Whitened values of one Gauss-Newton step from values u: the best ones where the equation is linear."""
        values = {name: self._mapped(u, orders) for name, orders in self.grid.orders.items()}
        left, slopes = self.grid.linearised(values)
        target = sum((slopes[name] * values[name] for name in values), -left)
        if len(self.factors) == 1:
            return self._direct(slopes, target)
        return self._iterated(u, slopes, target, tolerance, most)

    def _mapped(self, u: Tensor, orders: Sequence[int], *, transposed: bool = False) -> Tensor:
        """A derivative of values on the grid, or the transpose of that map."""
        for axis, (factors, k) in enumerate(zip(self.factors, orders, strict=True)):
            if k:
                u = along(factors.maps[k].mT if transposed else factors.maps[k], u, axis)
        return u

    def _direct(self, slopes: Mapping[str, Tensor], target: Tensor) -> Tensor:
        """Whitened values on an interval: ``(I + w B^T B + tau_2 J^T J) v = w B^T g + tau_2 J^T t``, by a dense solve.

        ``w = lambda tau_1``.
        """
        edge, equation = self.precisions
        given, (factors,) = self.grid.given, self.factors
        b = factors.factor[given]
        j = torch.stack([s[:, None] * factors.derivatives[self.grid.orders[n][0]] for n, s in slopes.items()])
        rows = j.sum(0)
        matrix = torch.eye(len(rows), dtype=rows.dtype) + edge * b.mT @ b + equation * rows.mT @ rows
        right = edge * b.mT @ self.grid.boundary[given] + equation * rows.mT @ target
        return torch.cholesky_solve(right[:, None], torch.linalg.cholesky(matrix))[:, 0]

    def _iterated(
        self, u: Tensor, slopes: Mapping[str, Tensor], target: Tensor, tolerance: float, most: int
    ) -> Tensor:
        """Whitened values on a product grid: the same equations for U, by conjugate gradients."""
        edge, equation = self.precisions
        inverses = [f.precision for f in self.factors]
        orders = self.grid.orders

        def back(left: Tensor) -> Tensor:
            parts = [self._mapped(slopes[name] * left, orders[name], transposed=True) for name in orders]
            return equation * torch.stack(parts).sum(0)

        def matrix(w: Tensor) -> Tensor:
            left = torch.stack([slopes[n] * self._mapped(w, orders[n]) for n in orders]).sum(0)
            return product(inverses, w) + edge * torch.where(self.grid.given, w, 0.0) + back(left)

        right = edge * self.grid.boundary + back(target)
        found = conjugate_gradients(matrix, right, u, self._preconditioner(slopes), tolerance, most)
        return triangular_solve([f.factor for f in self.factors], found)

    def _preconditioner(self, slopes: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """Inverse of a sum over axes that bounds the matrix within small factors, by one eigenbasis for each axis.

        ``R_j = lambda tau_1 E_j + tau_2 sum_k c_k^2 D_j^T D_j`` with mean squared slopes ``c_k^2`` and E_j the ends
        that are given; cross terms of a square of a sum are at most as large as the squares, and are left out.
        """
        equation = self.precisions[1]
        bases, levels, priors = [], [], []
        for axis, factors in enumerate(self.factors):
            base, level = self._along_axis(axis, slopes)
            bases.append(base)
            levels.append(level)
            priors.append((base * (factors.precision @ base)).sum(0))
        scale = _outer_sum(levels) + equation * slopes[""].square().mean() + _outer_product(priors)
        turned = [base.mT for base in bases]
        return lambda r: product(bases, product(turned, r) / scale)

    def _along_axis(self, axis: int, slopes: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        edge, equation = self.precisions
        name, factors = self.grid.problem.axes[axis], self.factors[axis]
        ends = torch.zeros(len(factors.factor), dtype=torch.float64)
        for face in self.grid.problem.given_faces():
            if face[0] == name:
                ends[-1 if face[1] == "+" else 0] = edge
        total = torch.diag(ends)
        for key, orders in self.grid.orders.items():
            if orders[axis] and sum(orders) == orders[axis]:
                d = factors.maps[orders[axis]]
                total = total + equation * slopes[key].square().mean() * d.mT @ d
        level, base = torch.linalg.eigh(total)
        return base, level.clamp_min(0)


def _outer_sum(parts: Sequence[Tensor]) -> Tensor:
    found = parts[0]
    for part in parts[1:]:
        found = found[..., None] + part
    return found


def _outer_product(parts: Sequence[Tensor]) -> Tensor:
    found = parts[0]
    for part in parts[1:]:
        found = found[..., None] * part
    return found


def conjugate_gradients(
    matrix: Callable[[Tensor], Tensor],
    right: Tensor,
    start: Tensor,
    preconditioner: Callable[[Tensor], Tensor],
    tolerance: float,
    most: int,
) -> Tensor:
    """Solution of ``A x = b`` for a positive definite A.

    Args:
        matrix: A.
        right: b.
        start: First x.
        preconditioner: About ``A^{-1}``, positive definite.
        tolerance: Of the residual in the preconditioner's norm, relative to that of b.
        most: Most steps.
    """
    x, left = start, right - matrix(start)
    step = z = preconditioner(left)
    size, enough = float((left * z).sum()), tolerance**2 * float((right * preconditioner(right)).sum())
    for _ in range(most):
        if not size > enough:
            break
        moved = matrix(step)
        alpha = size / float((step * moved).sum())
        x, left = x + alpha * step, left - alpha * moved
        z = preconditioner(left)
        size, before = float((left * z).sum()), size
        step = z + size / before * step
    return x
