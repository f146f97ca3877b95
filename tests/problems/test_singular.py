"""Distributions on thin sets, and what likelihood does to them."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.metrics import bures_wasserstein, codimension_slope
from interpolants.problems import ClosedCurve, SubspaceGaussian
from interpolants.problems.singular import ppca
from interpolants.training.instance_noise import InstanceNoise

F64 = torch.float64


def distribution(generator):
    return SubspaceGaussian(torch.randn(10, 2, generator=generator, dtype=F64))


def test_points_lie_on_the_curve_and_noise_leaves_it(generator):
    x = ClosedCurve().sample(500, generator=generator)
    assert_close(x[:, 0].square() + x[:, 1].square(), torch.ones(500, dtype=F64))
    assert_close(x[:, 2], 0.5 * (2 * x[:, 0].square() - 1))
    radius = ClosedCurve(noise=0.01).sample(20_000, generator=generator)[:, :2].norm(dim=1)
    assert float(radius.std()) == pytest.approx(0.01, rel=0.05)


def test_exact_data_have_no_noise_and_an_unbounded_likelihood(generator):
    """X = W Z, d = 2, D = 10, n = 2,000: s is zero to rounding, and there is no density."""
    x = distribution(generator).sample(2000, generator=generator)
    found = ppca(x, 2)
    assert found.noise < 1e-6
    with pytest.raises(DivergedError, match="without noise the distribution has no density"):
        SubspaceGaussian(found.loading).log_prob(x)
    # the likelihood of the fitted subspace with noise s grows like -8 log s
    tiny = [float(SubspaceGaussian(found.loading, s, found.mean).log_prob(x).mean()) for s in (1e-3, 1e-4)]
    assert (tiny[1] - tiny[0]) / math.log(10) == pytest.approx(8, abs=0.02)


def test_the_noise_of_exact_data_is_zero_to_rounding_on_whichever_side_of_zero(generator):
    for _ in range(20):
        assert ppca(distribution(generator).sample(50, generator=generator), 2).noise < 1e-6


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_data_with_noise_give_the_noise_and_the_distribution_back(level, generator):
    """s within 2 % of the noise; Gaussian W2 of the distribution without noise at most 0.1 |W|. Seed 0."""
    truth = distribution(generator)
    x = InstanceNoise(level).draw(truth.sample(2000, generator=generator), generator=generator)
    found = ppca(x, 2)
    assert found.noise == pytest.approx(level, rel=0.02)
    reported = found.loading @ found.loading.T
    distance = bures_wasserstein(found.mean, reported, truth.mean, truth.covariance)
    assert distance < 0.1 * float(truth.loading.norm())


def test_the_codimension_of_a_plane_in_ten_dimensions_is_eight(generator):
    x = distribution(generator).sample(2000, generator=generator)
    levels = (0.01, 0.02, 0.04)
    noisy = [InstanceNoise(s).draw(x, generator=generator) for s in levels]
    slope = codimension_slope(levels, [float(ppca(y, 2).log_prob(y).mean()) for y in noisy])
    assert slope.value == pytest.approx(8, abs=0.05)


def test_the_density_is_that_of_torch(generator):
    found = SubspaceGaussian(torch.randn(4, 2, generator=generator, dtype=F64), 0.3, torch.ones(4, dtype=F64))
    x = found.sample(6, generator=generator)
    truth = torch.distributions.MultivariateNormal(found.mean, found.covariance).log_prob(x)
    assert_close(found.log_prob(x), truth)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SubspaceGaussian(torch.ones(2, 3)), r"loading must be \(D, d\) with d <= D, got \(2, 3\)"),
        (lambda: SubspaceGaussian(torch.ones(3, 1), -0.1), "noise must be finite and >= 0, got -0.1"),
        (lambda: ppca(torch.zeros(5, 3), 3), r"latent must lie in \[1, 2\], got 3"),
        (lambda: ppca(torch.full((5, 3), math.nan), 1), "x must be finite, got nan or inf"),
    ],
)
def test_bad_input_is_refused_with_its_value(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.parametrize("size", range(1, 60, 3))
def test_data_alike_in_all_directions_have_no_loading_rather_than_none_to_rounding(size):
    x = torch.cat([torch.eye(4, dtype=F64), -torch.eye(4, dtype=F64)]) * math.sqrt(size / 10)
    assert float(ppca(x, 1).loading.abs().max()) < 1e-6
