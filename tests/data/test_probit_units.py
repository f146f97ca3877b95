import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.data.column_transforms import Interval
from interpolants.foundations.errors import InvalidInputError


def test_a_uniform_column_becomes_normal_with_the_slope_of_autograd():
    x = torch.tensor([-1 + 1e-12, -0.9, 0.3, 2.5, 3 - 1e-9], dtype=torch.float64, requires_grad=True)
    probit = Interval(low=-1.0, high=3.0, shape="probit").fit(x.detach())
    z = probit.forward(x)
    normal = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)
    assert_close(normal.cdf(z[1:4]), (x[1:4] + 1) / 4)
    (slope,) = torch.autograd.grad(z[1:4].sum(), x)
    assert_close(probit.log_slope(x.detach())[1:4], slope[1:4].log())
    assert_close(probit.inverse(z.detach()), x.detach(), rtol=0, atol=1e-13)
    assert bool(torch.isfinite(z).all())


def test_one_bound_has_no_probit():
    with pytest.raises(InvalidInputError, match="shape='probit' needs two finite bounds"):
        Interval(low=0.0, high=math.inf, shape="probit")
