"""Units of a bridge: moments of few rows, and correlations of what a state becomes."""

import torch
from torch.testing import assert_close

from interpolants.methods.bridge.completion import _covariance
from interpolants.methods.bridge.units import _moments

F64 = {"dtype": torch.float64}


def test_moments_of_few_rows_do_not_depend_on_the_unit():
    x = torch.randn(12, 6, generator=torch.Generator().manual_seed(0), **F64) @ torch.diag(
        torch.arange(1.0, 7, **F64)
    )
    for unit in (1e-4, 1e4):
        (mean, values, _), (scaled_mean, scaled, _) = _moments(x), _moments(unit * x)
        assert_close(scaled_mean, unit * mean)
        assert_close(scaled, unit**2 * values)


def test_the_covariance_of_states_in_data_units_is_that_of_their_matrix():
    matrix = torch.tensor([[2.0, 0.0], [1.0, 3.0]], **F64)
    assert_close(_covariance(lambda u: u @ matrix.T, (2,)), matrix @ matrix.T)
    assert _covariance(lambda u: u * torch.tensor([2.0, 3.0], **F64), (2,)) is None
