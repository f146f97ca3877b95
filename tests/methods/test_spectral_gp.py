"""Regression with a learnt spectrum: the conditional Gaussian by hand, the periodogram, waves that go on, refusals."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.kernels import Peaks, SpectralMixture
from interpolants.methods.rivals.spectral_gp import SpectralGP, evidence, first_peaks, periodogram


def waves(n=120, noise=0.1):
    """Two waves, 2 and 0.3 cycles a unit, with noise; at places of any spacing."""
    g = torch.Generator().manual_seed(0)
    x = (10 * torch.rand(n, dtype=torch.float64, generator=g)).sort().values
    y = torch.sin(4 * math.pi * x) + 2 * torch.cos(0.6 * math.pi * x) + 5
    return x[:, None], y + noise * torch.randn(n, dtype=torch.float64, generator=g)


def fitted(**settings):
    return SpectralGP(**{"components": 3, "steps": 25, **settings}).fit(*waves())


def test_predictions_are_those_of_the_conditional_gaussian():
    model, (x, y) = fitted(steps=3), waves()
    scale, centre, kernel = y.std(), y.mean(), SpectralMixture()
    new = torch.tensor([[0.35], [7.7], [11.0]], dtype=torch.float64)
    noise = float(model.state["log_noise"].exp())
    noisy = kernel.gram(x[:, 0], model.peaks) + noise * torch.eye(len(x), dtype=torch.float64)
    across = kernel.covariance(new - x[:, 0], model.peaks)
    mean = across @ torch.linalg.solve(noisy, (y - centre) / scale)
    variance = model.peaks.variance - (across * torch.linalg.solve(noisy, across.T).T).sum(1)
    assert_close(model.predict(new).mean.flatten(), centre + scale * mean, rtol=1e-5, atol=1e-5)
    assert_close(model.predict(new).std.flatten(), scale * (variance + noise).sqrt(), rtol=1e-4, atol=1e-5)
    prior = kernel.covariance(new - new[:, 0], model.peaks) + noise * torch.eye(3, dtype=torch.float64)
    together = prior - across @ torch.linalg.solve(noisy, across.T)
    assert_close(model.predict(new, joint=True).covariance[0], scale**2 * together, rtol=1e-4, atol=1e-5)


def test_the_evidence_is_the_density_of_the_values():
    (x, y), peaks = waves(20), Peaks.even(2, 1.0, 2.0)
    covariance = SpectralMixture().gram(x[:, 0], peaks) + 0.05 * torch.eye(20, dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(torch.zeros(20, dtype=torch.float64), covariance)
    found = evidence(x[:, 0], y[:, None], SpectralMixture(), peaks, torch.tensor(0.05).double().log())
    assert float(found) == pytest.approx(float(law.log_prob(y)), rel=1e-4)


def test_the_periodogram_finds_waves_at_places_of_any_spacing():
    x, y = waves()
    f, power = periodogram(x[:, 0], (y - y.mean())[:, None])
    assert float(f[power.argmax()]) == pytest.approx(0.3, abs=0.03)
    found = first_peaks(x[:, 0], (y - y.mean())[:, None], 5).frequency.tolist()
    assert found[0] == 0
    assert min(abs(one - 2.0) for one in found) < 0.05


def test_frequencies_are_learnt_and_waves_go_on_beyond_the_data():
    model = fitted()
    found = model.peaks.frequency.tolist()
    assert min(abs(one - 2.0) for one in found) < 0.005
    assert min(abs(one - 0.3) for one in found) < 0.01
    beyond = torch.linspace(10.2, 11.5, 30, dtype=torch.float64)
    truth = torch.sin(4 * math.pi * beyond) + 2 * torch.cos(0.6 * math.pi * beyond) + 5
    assert float((model.predict(beyond[:, None]).mean.flatten() - truth).square().mean().sqrt()) < 0.25


def test_its_spectrum_has_peaks_there():
    model = fitted()
    density = model.spectrum(torch.tensor([[1.2], [2.0]], dtype=torch.float64))
    assert float(density[1]) > 30 * float(density[0])


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (torch.zeros(5, 2), r"points must have shape \(N, 1\)"),
        (torch.zeros(5, 1), "points must differ"),
        (torch.zeros(3, 1), "N >= 4"),
        (torch.zeros(5001, 1), "at most 5000 entries"),
    ],
)
def test_what_it_cannot_take_is_refused(x, told):
    with pytest.raises(InvalidInputError, match=told):
        SpectralGP().fit(x, torch.zeros(len(x), 1))


def test_gaussian_peaks_are_those_of_gpytorch():
    """The second opinion on the kernel; Student's t peaks are in no other library."""
    gpytorch = pytest.importorskip("gpytorch")
    model, (x, _) = fitted(envelope="gaussian", steps=3), waves()
    peaks = model.peaks
    kernel = gpytorch.kernels.SpectralMixtureKernel(num_mixtures=3).double()
    kernel.mixture_weights = peaks.log_weight.exp()
    kernel.mixture_means = peaks.frequency.reshape(3, 1, 1)
    kernel.mixture_scales = 1 / (2 * math.pi * peaks.log_lengthscale.exp()).reshape(3, 1, 1)
    with torch.no_grad():
        ours = SpectralMixture("gaussian").covariance(x - x[:, 0], peaks)
        assert_close(ours, kernel(x).to_dense())
