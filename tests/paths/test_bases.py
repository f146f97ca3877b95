"""Bases: orthonormal, and what each one promises about powers and diagonal operators."""

import pytest
import torch
from scipy.fft import dctn
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.paths import CosineBasis, FourierBasis, MatrixBasis
from interpolants.paths.bases import find_basis

F64 = torch.float64


def images(n, generator, shape=(3, 6, 5)):
    return torch.randn(n, *shape, generator=generator, dtype=F64)


def rotation(size, generator):
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=F64)).Q


@pytest.mark.parametrize("kind", ["fft", "dct", "pca", "matrix"])
def test_a_basis_keeps_inner_products_and_comes_back(kind, generator):
    x, y = images(4, generator), images(4, generator)
    basis = MatrixBasis(rotation(90, generator)) if kind == "matrix" else find_basis(kind, x)
    u, v = basis.forward(x), basis.forward(y)
    assert u.shape == x.shape
    assert_close(basis.inverse(u), x)
    assert_close((u * v).flatten(1).sum(1), (x * y).flatten(1).sum(1))


@pytest.mark.parametrize("shape", [(3, 6, 5), (1, 8, 8), (2, 7, 7)])
def test_operators_diagonal_in_the_complex_transform_are_diagonal_in_the_real_one(shape, generator):
    basis, x = FourierBasis(), images(4, generator, shape)
    gains = basis.pool(torch.rand(shape, generator=generator, dtype=F64))
    wanted = torch.fft.ifft2(gains * torch.fft.fft2(x))
    assert float(wanted.imag.abs().max()) < 1e-12  # pooled gains keep real states real
    assert_close(basis.inverse(gains * basis.forward(x)), wanted.real)


def test_pooled_power_is_that_of_the_complex_coefficient(generator):
    basis, x = FourierBasis(), images(50, generator)
    wanted = torch.fft.fft2(x, norm="ortho").abs().square().mean(0)
    assert_close(basis.pool(basis.forward(x).square().mean(0)), wanted)


def test_cosines_are_those_of_scipy(generator):
    x = images(3, generator)
    wanted = torch.from_numpy(dctn(x.numpy(), axes=(-2, -1), norm="ortho"))
    assert_close(CosineBasis().forward(x), wanted)


@pytest.mark.parametrize("kind", ["fft", "dct", "pca"])
@pytest.mark.parametrize("shape", [(5,), (4, 6), (3, 4, 6)])
def test_the_coordinates_of_a_state_do_not_depend_on_other_states(kind, shape, generator):
    x = images(4, generator, shape)
    basis = find_basis(kind, x)
    assert_close(basis.forward(x), torch.cat([basis.forward(row[None]) for row in x]))


def test_principal_axes_diagonalise_the_second_moment(generator):
    x = (
        images(400, generator, (4,))
        @ torch.diag(torch.tensor([3.0, 1.0, 2.0, 0.5], dtype=F64))
        @ rotation(4, generator)
    )
    u = MatrixBasis.principal(x).forward(x)
    moment = u.mT @ u / len(u)
    assert_close(moment, moment.diagonal().diag(), atol=1e-9, rtol=0)
    assert bool((moment.diagonal().diff() < 0).all())


def test_half_precision_is_computed_in_single(generator):
    x = images(2, generator).bfloat16()
    for basis in (FourierBasis(), CosineBasis(), MatrixBasis(rotation(90, generator))):
        assert basis.forward(x).dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MatrixBasis(torch.zeros(2, 3)), r"matrix must be square.*got \(2, 3\)"),
        (lambda: MatrixBasis(2 * torch.eye(2)), r"must be orthogonal, got rows off by 3"),
        (
            lambda: MatrixBasis(torch.eye(3)).forward(torch.zeros(2, 4)),
            r"must have 3 entries, got shape \(4,\)",
        ),
        (
            lambda: find_basis("fff", torch.zeros(2, 4)),
            r"one of fft, dct, pca, got 'fff'. Did you mean 'fft'",
        ),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
