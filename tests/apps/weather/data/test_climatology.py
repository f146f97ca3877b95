"""Mean and deviation by day of the year: by hand, across the turn of the year, refusals."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.weather.data.climatology import GridClimatology
from interpolants.data.gridded import Grid, Gridded
from interpolants.foundations.errors import InvalidInputError


def fields(values, days=None):
    """``(N, M, 1, L)`` at days of 2021."""
    x = torch.as_tensor(values, dtype=torch.float64)
    axes = Grid(dims=("point",), sizes=(x.shape[-1],), variables=("t",))
    cases = (
        torch.arange(len(x)).double()
        if days is None
        else 1609459200.0 + 86400.0 * torch.as_tensor(days).double()
    )
    return Gridded(values=x, grid=axes, cases=cases, dated=days is not None)


def test_one_climatology_of_the_year_is_mean_and_deviation_of_all_members():
    x = torch.randn(50, 3, 1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = GridClimatology.fit(fields(x))
    assert_close(found.mean[0], x.flatten(0, 1).mean(0))
    assert_close(found.std[0], x.flatten(0, 1).std(0))
    v = found.encode(fields(x))
    assert_close(v.flatten(0, 1).std(0), torch.ones(1, 4, dtype=torch.float64))
    assert_close(found.decode(v, fields(x)), x)
    assert found.seasonal(fields(x)) is None


def test_a_window_goes_across_the_turn_of_the_year():
    days = [0, 2, 363, 100]
    values = torch.tensor([[1.0, 2], [3, 4], [5, 6], [9, 8]])[:, :, None, None]
    found = GridClimatology.fit(fields(values, days), 7)
    assert float(found.mean[0]) == 3.5  # days 0, 2 and 363 are within 3 days
    assert float(found.mean[362]) == pytest.approx((1 + 2 + 5 + 6) / 4)  # 0 and 363
    assert float(found.mean[99]) == 8.5
    with pytest.raises(InvalidInputError, match="none near day 51 of the year"):
        found.encode(fields(values[:1], [50]))
    with pytest.raises(InvalidInputError, match="needs cases with dates"):
        GridClimatology.fit(fields(values), 7)


def test_a_point_that_does_not_vary_is_named():
    x = torch.randn(5, 2, 1, 3, generator=torch.Generator().manual_seed(0))
    x[..., 1] = 7.0
    with pytest.raises(InvalidInputError, match="deviation > 0, got 0 for t at point 1"):
        GridClimatology.fit(fields(x))
    x[..., 1] = math.nan
    with pytest.raises(InvalidInputError, match="got no value for t at point 1"):
        GridClimatology.fit(fields(x))
