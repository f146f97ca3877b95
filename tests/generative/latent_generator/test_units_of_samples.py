"""One unit for all columns is followed, odd columns are named, and types and seeds are checked."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.latent_generator.latent_generator import LatentGenerator
from odd_columns import check_odd_columns_are_named

X = np.random.default_rng(0).normal(size=(48, 3)) * (1.0, 3.0, 0.2) + (0.0, 5.0, -1.0)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(k=st.integers(-20, 20), shift=st.integers(-8, 8))
def test_one_unit_for_all_columns_is_followed(k, shift):
    scale = 2.0**k
    make = functools.partial(LatentGenerator, 2, first_noise=0.5, steps=3, batch_size=16)
    plain, other = make().fit(X), make().fit((X + shift) * scale)
    np.testing.assert_allclose(other.sample(9) / scale - shift, plain.sample(9), rtol=1e-3, atol=1e-3)
    found = np.asarray(other.log_prob((X[:9] + shift) * scale)) + 3 * np.log(scale)
    np.testing.assert_allclose(found, np.asarray(plain.log_prob(X[:9])), rtol=1e-3, atol=1e-2)


def test_odd_columns_are_named():
    check_odd_columns_are_named(
        lambda x: LatentGenerator(latent=2, steps=5, perturb=0.0, noise=0.1).fit(x1=x)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_no_network_is_learnt_in_half_precision(dtype):
    with pytest.raises(InvalidInputError, match=rf"x1 must be float32 or float64, .* got {dtype}\. Pass x"):
        LatentGenerator(1, steps=2, batch_size=16).fit(torch.ones(40, 2, dtype=dtype))


@pytest.mark.parametrize("seed", [True, 1.5, -1, 2**64, "7", torch.tensor(3)], ids=repr)
def test_a_seed_that_is_no_whole_number_is_refused_by_its_name(seed):
    with pytest.raises(InvalidInputError, match=r"LatentGenerator: seed must be (a whole number|below 2)"):
        LatentGenerator(seed=seed)
