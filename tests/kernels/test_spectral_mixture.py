"""Spectral mixtures: derivatives against finite differences, spectra against Fourier integrals, Gram matrices."""

import math

import pytest
import torch
from scipy.integrate import quad
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.kernels import Matern, Peaks, SpectralMixture
from interpolants.kernels.spectral_mixture import cholesky, nyquist

each = pytest.mark.parametrize("envelope", ["student_t", "gaussian"])


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


PEAKS = Peaks(doubles(0.7, 0.2).log(), doubles(0.4, 1.3), doubles(0.8, 2.0).log())


@each
def test_derivatives_are_those_of_finite_differences(envelope):
    kernel, z, h = SpectralMixture(envelope), torch.linspace(-3, 3, 41, dtype=torch.float64) + 0.013, 1e-5
    for order in (1, 2):
        up, down = (kernel.covariance(z + s * h, PEAKS, order - 1) for s in (1, -1))
        assert_close(kernel.covariance(z, PEAKS, order), (up - down) / (2 * h), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("envelope", "curvature"), [("student_t", 5 / 3), ("gaussian", 1.0)])
def test_the_second_derivative_at_zero_is_that_of_the_sum(envelope, curvature):
    """``-sum w (5 / (3 l^2) + m^2)`` for Student's t, where automatic differentiation through abs gives nonsense."""
    w, mu, scale = PEAKS.log_weight.exp(), PEAKS.frequency, PEAKS.log_lengthscale.exp()
    exact = -(w * (curvature / scale.square() + (2 * math.pi * mu).square())).sum()
    assert_close(SpectralMixture(envelope).covariance(doubles(0.0), PEAKS, 2)[0], exact, rtol=1e-14, atol=0)
    assert float(SpectralMixture(envelope).covariance(doubles(0.0), PEAKS, 1)) == 0.0


def test_one_component_of_frequency_0_is_the_matern_kernel():
    one = Peaks(doubles(0.0), doubles(0.0), doubles(math.log(0.6)))
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)
    assert_close(SpectralMixture().covariance(z, one), Matern(2.5).covariance(z / 0.6))


@each
def test_the_density_is_the_fourier_transform_of_the_kernel(envelope):
    kernel = SpectralMixture(envelope)

    def k(z):
        return float(kernel.covariance(doubles(z), PEAKS))

    for f in (0.0, 0.37, 1.31):
        found, _ = quad(lambda z, f=f: 2 * k(z) * math.cos(2 * math.pi * f * z), 0, 40, limit=2000)
        assert float(kernel.density(doubles(f), PEAKS)) == pytest.approx(found, abs=1e-7)


@each
def test_a_uniform_grid_has_the_gram_matrix_of_all_pairs(envelope):
    kernel, x = SpectralMixture(envelope), torch.linspace(1, 4, 12, dtype=torch.float64)
    for order in (0, 1, 2):
        pairs = kernel.covariance(x[:, None] - x, PEAKS, order)
        assert_close(kernel.gram(x, PEAKS, order), pairs, rtol=0, atol=1e-12)
    bent = x.square()
    assert_close(kernel.gram(bent, PEAKS, 1), kernel.covariance(bent[:, None] - bent, PEAKS, 1))


def test_gradients_at_zero_lag_are_finite():
    peaks = Peaks(*(part.clone().requires_grad_(True) for part in (
        PEAKS.log_weight, PEAKS.frequency, PEAKS.log_lengthscale)))  # fmt: skip
    SpectralMixture().gram(torch.linspace(0, 1, 5, dtype=torch.float64), peaks, 2).sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in (peaks.log_weight, peaks.frequency))


def test_what_is_no_covariance_is_refused_with_its_smallest_eigenvalue():
    bad = torch.diag(doubles(1.0, -0.5))
    with pytest.raises(DivergedError, match=r"solver: axis x is not positive definite .* eigenvalue is -0.5"):
        cholesky(bad, "solver", "axis x")
    nearly = torch.ones(3, 3, dtype=torch.float64)  # singular: the first jitter mends it
    factor = cholesky(nearly, "solver", "axis x")
    assert_close(factor @ factor.T, nearly + 1e-6 * torch.eye(3, dtype=torch.float64))


def test_the_highest_frequency_of_a_grid_is_by_its_spacing():
    assert nyquist(torch.linspace(0, 2 * math.pi, 400, dtype=torch.float64)) == pytest.approx(31.75, abs=0.01)
    with pytest.raises(InvalidInputError, match="strictly increasing"):
        nyquist(doubles(0.0, 1.0, 1.0))


def test_even_peaks_have_unit_variance_and_name_the_strongest():
    peaks = Peaks.even(5, 2.0, 0.5)
    assert float(peaks.variance) == pytest.approx(1.0)
    assert peaks.frequency.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    peaks.log_weight[3] += 1
    assert peaks.strongest == 1.5
    assert float(SpectralMixture().covariance(doubles(0.0), peaks)) == pytest.approx(float(peaks.variance))
