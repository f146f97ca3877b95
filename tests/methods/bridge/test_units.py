"""Units of a bridge: moments of few rows, and correlations of what a state becomes."""

import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.methods.bridge.completion import _covariance
from interpolants.methods.bridge.units import _moments
from interpolants.methods.parts.columns import ColumnsWarning

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


@pytest.mark.parametrize("change", [lambda x: x * 1e5, lambda x: x * 1e-5, lambda x: x + 1e4])
def test_learning_far_from_the_unit_is_told(change):
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0), **F64)
    bridge = Bridge(
        "one_sided_linear", standardize=False, steps=2, net={"kind": "mlp", "width": 4, "depth": 1}
    )
    with pytest.warns(ColumnsWarning, match=r"column 0 of x1 has mean .* Leave out standardize=False"):
        bridge.fit(x1=change(x), progress=False)
    bridge.fit(x1=3 * x + 1, progress=False)
