"""A common unit is followed; columns of unlike size and odd columns are named; types are checked."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.randomness import generator
from interpolants.foundations.tell import DataWarning
from interpolants.generative.schrodinger.entropic_sb import EntropicSB
from interpolants.generative.schrodinger.interpolant_sb import InterpolantSB
from interpolants.generative.schrodinger.light_sb import LightSB
from odd_columns import check_odd_columns_are_named, odd_rows

F64 = torch.float64
SMALL = {"kind": "mlp", "width": 8, "depth": 1}
QUICK = {"net": SMALL, "steps": 10, "batch_size": 32}
SOURCE = generator(0, "units")
X0 = torch.randn(64, 2, dtype=F64, generator=SOURCE)
X1 = torch.randn(64, 2, dtype=F64, generator=SOURCE) / 2 + torch.rand(64, 1, dtype=F64, generator=SOURCE) + 1


def test_a_common_unit_does_not_matter():
    fits = {k: InterpolantSB(eps=0.5 * k**2, **QUICK).fit(X0 * k, X1 * k) for k in (1.0, 2.0**12)}
    made = [fit.sample(8, seed=0, n_steps=4) / k for k, fit in fits.items()]
    assert_close(made[0], made[1], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(k=st.integers(-20, 20).map(lambda power: 2.0**power))
def test_a_common_unit_of_light_bridges_does_not_matter(k):
    x0, x1 = X0.numpy(), X1.numpy()
    light = [LightSB(eps=0.5 * s**2, n_components=3, steps=5).fit(x0 * s, x1 * s) for s in (1.0, k)]
    np.testing.assert_allclose(
        light[1].transport(x0[:9] * k, seed=0) / k, light[0].transport(x0[:9], seed=0), rtol=1e-3, atol=1e-3
    )


def test_columns_of_unlike_size_are_named_where_distances_are_the_problem():
    with pytest.warns(DataWarning, match=r"column 1 of x1 varies by .* distances see the larger alone"):
        InterpolantSB(eps=0.5, **QUICK).fit(X0, X1 * torch.tensor([1.0, 1e3], dtype=F64))


def test_odd_columns_are_named():
    check_odd_columns_are_named(lambda x: InterpolantSB(eps=0.5, **QUICK).fit(odd_rows(1), x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("method", [EntropicSB, InterpolantSB])
def test_no_network_is_learnt_in_half_precision(method, dtype):
    with pytest.raises(InvalidInputError, match=rf"x\d must be float32 or float64, .* got {dtype}\. Pass x"):
        method(net=SMALL).fit(torch.zeros(40, 2, dtype=dtype), torch.ones(40, 2, dtype=dtype))
