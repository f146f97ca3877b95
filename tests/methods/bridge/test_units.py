"""Units of a bridge: moments of few rows, and correlations of what a state becomes."""

import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.foundations.tell import DataWarning
from interpolants.methods.bridge.completion import _covariance
from interpolants.methods.bridge.held_out import Ends
from interpolants.methods.bridge.units import _moments, starts_from_gaussians
from interpolants.methods.parts.columns import warn_about_noise

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
    with pytest.warns(DataWarning, match=r"column 0 of x1 has mean .* Leave out standardize=False"):
        bridge.fit(x1=change(x), progress=False)
    bridge.fit(x1=3 * x + 1, progress=False)


@pytest.mark.parametrize(("rows", "starts"), [(19, False), (20, True), (149, True), (150, False)])
def test_few_rows_of_both_ends_are_learnt_beside_gaussians(rows, starts):
    g = torch.Generator().manual_seed(0)
    ends = Ends(torch.randn(rows, 3, generator=g), torch.randn(400, 3, generator=g))
    assert starts_from_gaussians(Bridge("linear"), ends) == starts


def test_noise_that_drowns_a_column_is_told_from_twenty_times_its_deviation():
    x = torch.tensor([[-1.0, -5.0], [1.0, 5.0]])
    warn_about_noise("who", "x1", x, 19.9, "eps")
    with pytest.warns(DataWarning, match="column 0 of x1 is drowned in noise of standard deviation 20.1"):
        warn_about_noise("who", "x1", x, 20.1, "eps")


def test_moments_of_many_rows_are_their_covariance():
    x = torch.randn(5000, 3, generator=torch.Generator().manual_seed(0), **F64) @ torch.diag(
        torch.tensor([1.0, 2.0, 5.0], **F64)
    )
    values = _moments(x)[1]
    assert_close(values.sort().values, torch.linalg.eigvalsh(torch.cov(x.T)), rtol=0.02, atol=0)
