"""Kronecker algebra against dense matrices on a 6 x 5 x 4 grid."""

import torch
from torch.testing import assert_close

from interpolants.kernels import Peaks, SpectralMixture, kronecker

GRIDS = [torch.linspace(0, 2, n, dtype=torch.float64) for n in (6, 5, 4)]
KERNEL, PEAKS = SpectralMixture(), Peaks.even(3, 1.0, 0.7)


def parts(order=0):
    return [KERNEL.gram(x, PEAKS, order) + (0.1 * torch.eye(len(x)) if order == 0 else 0) for x in GRIDS]


def dense(matrices):
    found = matrices[0]
    for matrix in matrices[1:]:
        found = torch.kron(found, matrix)
    return found


def values():
    return torch.randn(6, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def near(found, exact):
    assert_close(found, exact, rtol=1e-10, atol=1e-10)


def test_log_determinant_and_quadratic_form():
    factors, u = [torch.linalg.cholesky(c) for c in parts()], values()
    c = dense(parts())
    near(kronecker.log_determinant(factors), torch.linalg.slogdet(c)[1])
    near(kronecker.quadratic(factors, u), u.flatten() @ torch.linalg.solve(c, u.flatten()))


def test_solves_with_factors_and_with_their_transposes():
    factors, u = [torch.linalg.cholesky(c) for c in parts()], values()
    whole = dense(factors)
    near(kronecker.triangular_solve(factors, u).flatten(), torch.linalg.solve(whole, u.flatten()))
    back = kronecker.triangular_solve(factors, u, transposed=True)
    near(back.flatten(), torch.linalg.solve(whole.T, u.flatten()))


def test_a_derivative_along_one_axis_is_a_mode_product():
    u, second = values(), parts(2)[1]
    eyes = [torch.eye(n, dtype=torch.float64) for n in (6, 5, 4)]
    near(kronecker.along(second, u, 1).flatten(), dense([eyes[0], second, eyes[2]]) @ u.flatten())
    near(kronecker.product(parts(2), u).flatten(), dense(parts(2)) @ u.flatten())


def test_rows_are_those_of_the_dense_product():
    u, source = values(), torch.Generator().manual_seed(1)
    a = [torch.randn(7, n, dtype=torch.float64, generator=source) for n in (6, 5, 4)]
    exact = torch.einsum("ni,nj,nk,ijk->n", *a, u)
    near(kronecker.rows(a, u), exact)
    near(kronecker.rows(a[:1], u[:, 0, 0]), a[0] @ u[:, 0, 0])
