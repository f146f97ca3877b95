"""Stein's identity as a test of samples: it passes those of the density and names what does not belong."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.likelihood.stein import check_samples


def normal(n, mean, seed=0):
    """Rows of N(mean, 0.25), (n, 2) float64."""
    draws = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return mean + 0.5 * draws


def density(mean, inverse_temperature=1.0):
    return lambda x: -inverse_temperature * 2 * (x - mean).square().sum(1)


@pytest.mark.parametrize("mean", [0.0, 30.0])
@pytest.mark.parametrize("seed", range(5))
def test_samples_of_the_density_pass_wherever_they_lie(mean, seed):
    check_samples("test", "f0", density(mean), normal(2000, mean, seed))


@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_a_wrong_temperature_is_refused_wherever_the_samples_lie(mean):
    with pytest.raises(
        InvalidInputError, match=r"test: the mean of \(x - mean\) times the gradient of f0 must be -1"
    ):
        check_samples("test", "f0", density(mean, 1.5), normal(2000, mean))


def test_a_shift_is_refused_with_its_column():
    with pytest.raises(
        InvalidInputError, match=r"the mean gradient of f1 .* must vanish, got .* in column 1"
    ):
        check_samples("test", "f1", density(torch.tensor([0.0, 0.3])), normal(2000, 0.0))


def test_a_function_without_a_gradient_is_refused():
    with pytest.raises(InvalidInputError, match="f0 must have a gradient for the test of its samples"):
        check_samples("test", "f0", lambda x: torch.zeros(len(x)), normal(10, 0.0))
