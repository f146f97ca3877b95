"""Draws from finite distributions: the right frequencies, the right ends of the line, and refusals."""

import re

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.categorical import categorical_sample

P = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05, 0.0], dtype=torch.float64)
BELOW_ONE = torch.tensor(1.0, dtype=torch.float64).nextafter(torch.tensor(0.0, dtype=torch.float64))


@pytest.mark.parametrize("method", ["inverse_cdf", "race"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_frequencies_are_those_of_the_distribution(method, dtype, generator):
    n = 200_000
    drawn = categorical_sample(P.to(dtype).expand(n, -1), method=method, generator=generator)
    share = torch.bincount(drawn, minlength=len(P)).double() / n
    # Four standard errors each; classes without mass are never drawn.
    assert ((share - P).abs() <= 4 * (P * (1 - P) / n).sqrt() + 1e-7).all()
    assert share[P == 0].sum() == 0


def test_the_inverse_of_the_cumulated_distribution_by_hand_and_at_both_ends():
    u = torch.tensor([0.0, 0.4999, 0.5, 0.7999, 0.8001, 0.96, float(BELOW_ONE)], dtype=torch.float64)
    drawn = categorical_sample(P.expand(len(u), -1), uniform=u)
    assert drawn.tolist() == [0, 0, 2, 2, 3, 4, 4]


def test_the_largest_uniform_never_leaves_the_classes_that_have_mass(generator):
    p = torch.rand(2000, 7, dtype=torch.float64, generator=generator)
    p[:, 5:] = 0
    p /= p.sum(1, keepdim=True) * (1 + 5e-5 * torch.rand(2000, 1, dtype=torch.float64, generator=generator))
    assert int(categorical_sample(p, uniform=BELOW_ONE.expand(2000)).max()) <= 4


def test_classes_far_below_the_resolution_of_float32_are_drawn(generator):
    # 1e-9 is a sixteenth of the step 2^-24 of float32 uniforms: with those the class is never drawn, or 60 times too
    # often, according to which end it lies at.
    p = torch.tensor([1e-9, 1 - 2e-9, 1e-9], dtype=torch.float64)
    u = torch.tensor([0.9e-9, 1.1e-9, 1 - 1.1e-9, 1 - 0.9e-9], dtype=torch.float64)
    assert categorical_sample(p.expand(4, -1), uniform=u).tolist() == [0, 1, 1, 2]


def test_race_and_inverse_take_uniforms_of_their_own_shapes():
    p = P.expand(3, 2, -1)
    with pytest.raises(InvalidInputError, match=re.escape("uniform must have shape (3, 2), got (3, 2, 6)")):
        categorical_sample(p, uniform=torch.rand(3, 2, 6))
    assert categorical_sample(p, method="race", uniform=torch.rand(3, 2, 6)).shape == (3, 2)


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (P.half(), r"probabilities must be float32 or float64, got torch.float16\. Upcast the logits"),
        (P.bfloat16(), r"probabilities must be float32 or float64, got torch.bfloat16"),
        (P * 1.001, r"probabilities must sum to 1 within 0.0001, got 1\.001"),
        (P - 0.01, r"probabilities must be >= 0, got -0\.01\. Pass a softmax"),
        (P * torch.nan, r"probabilities must be >= 0, got nan"),
    ],
)
def test_what_is_no_distribution_is_refused(p, message):
    with pytest.raises(InvalidInputError, match=message):
        categorical_sample(p)


def test_an_unknown_method_is_refused():
    with pytest.raises(InvalidInputError, match="method must be one of inverse_cdf, race, got 'gumbel'"):
        categorical_sample(P, method="gumbel")
