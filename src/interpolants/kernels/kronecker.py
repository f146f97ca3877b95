"""Algebra of covariances that are Kronecker products over the axes of a grid, one factor an axis.

A tensor ``U (M_1, ..., M_d)`` of values on a grid has the covariance ``C = C_1 kron ... kron C_d``. Nothing of size
``prod M`` squared is made: products go axis by axis, ``O(prod M sum M)``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def along(matrix: Tensor, values: Tensor, axis: int) -> Tensor:
    """``sum_j matrix_ij values_{.. j ..}`` along one axis: ``(P, M_axis)`` and ``(M_1, ...)`` -> ``(.., P, ..)``."""
    found: Tensor = torch.tensordot(matrix, values, dims=([1], [axis])).movedim(0, axis)
    return found


def product(matrices: Sequence[Tensor], values: Tensor) -> Tensor:
    """``(A_1 kron ... kron A_d) vec(values)`` as a tensor."""
    for axis, matrix in enumerate(matrices):
        values = along(matrix, values, axis)
    return values


def triangular_solve(factors: Sequence[Tensor], values: Tensor, *, transposed: bool = False) -> Tensor:
    """``(L_1 kron ... kron L_d)^{-1} vec(values)`` for lower factors; of their transposes where asked."""
    for axis, factor in enumerate(factors):
        flat = values.movedim(axis, 0)
        matrix = factor.mT if transposed else factor
        solved = torch.linalg.solve_triangular(matrix, flat.reshape(len(flat), -1), upper=transposed)
        values = solved.reshape(flat.shape).movedim(0, axis)
    return values


def log_determinant(factors: Sequence[Tensor]) -> Tensor:
    """``log |C|`` from the lower factors of its parts: ``sum_j (M / M_j) log |C_j|``."""
    total = math.prod(len(factor) for factor in factors)
    parts = [total / len(factor) * 2 * factor.diagonal().log().sum() for factor in factors]
    return torch.stack(parts).sum()


def quadratic(factors: Sequence[Tensor], values: Tensor) -> Tensor:
    """``vec(U)^T C^{-1} vec(U)`` from the lower factors of C's parts."""
    return triangular_solve(factors, values).square().sum()


def rows(matrices: Sequence[Tensor], values: Tensor) -> Tensor:
    """``sum A_1[n, i] ... A_d[n, j] values[i, ..., j]`` for N rows a matrix: ``(N, M_k)`` each -> ``(N,)``."""
    found = matrices[0] @ values.reshape(len(values), -1)
    for matrix in matrices[1:]:
        count, width = matrix.shape
        found = (matrix[:, :, None] * found.reshape(count, width, -1)).sum(1)
    return found.reshape(len(found))
