import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.trajectories.zero_mean import ZeroMeanBasis, mean_point, without_mean
from interpolants.foundations.errors import InvalidInputError


def points(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_the_basis_is_orthonormal_and_of_rank_n_less_one():
    basis = ZeroMeanBasis(7)
    eye = torch.eye(6, dtype=torch.float64)
    assert_close(basis.matrix @ basis.matrix.T, eye)
    assert_close(basis.matrix.sum(1), torch.zeros(6, dtype=torch.float64))


def test_coordinates_and_back_are_the_projection():
    x, basis = points(4, 3, 5, 2), ZeroMeanBasis(15)
    assert_close(basis.inverse(basis.forward(x)), without_mean(x).flatten(1, 2))
    assert_close(basis.forward(x + 9.0), basis.forward(x))
    assert_close(basis.forward(x).square().sum((1, 2)), without_mean(x).square().sum((1, 2, 3)))


def test_the_density_of_projected_noise_has_n_less_one_times_d_dimensions():
    """Of ``P N(0, s^2 I)``: by the coordinates, and by the pseudo-determinant of its covariance."""
    n, d, s = 6, 3, 1.7
    x = without_mean(s * points(5, n, d))
    y = ZeroMeanBasis(n).forward(x)
    found = torch.distributions.Normal(0.0, s).log_prob(y).sum((1, 2))
    rank = (n - 1) * d
    expected = -0.5 * x.square().sum((1, 2)) / s**2 - rank * math.log(s * math.sqrt(2 * math.pi))
    assert_close(found, expected)


def test_what_is_not_there_counts_for_nothing():
    x = points(2, 4, 3)
    present = torch.tensor([[True, True, False, False], [True] * 4])
    moved = without_mean(x, present)
    assert_close(moved[0, :2], x[0, :2] - x[0, :2].mean(0))
    assert not moved[0, 2:].any()
    assert_close(mean_point(x, present)[1, 0], x[1].mean(0))
    assert_close(
        mean_point(x, torch.zeros(2, 4, dtype=torch.bool)), torch.zeros(2, 1, 3, dtype=torch.float64)
    )


def test_a_single_point_has_no_subspace():
    with pytest.raises(InvalidInputError, match="n must be a whole number >= 2"):
        ZeroMeanBasis(1)
