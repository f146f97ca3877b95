"""What all fields have in common: fast ways that say what the slow ones say."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.fields import LearnedFields
from interpolants.fields.protocol import weighted_sum
from interpolants.paths import OneSidedLinear
from problems.bridges import F64, states


@pytest.mark.parametrize("known", ["velocity", "denoised"])
def test_the_velocity_for_solvers_is_the_velocity(known):
    fields = LearnedFields(OneSidedLinear(), **{known: lambda x, t, cond: torch.sin(x + t[:, None]) + cond})
    x, t, cond = states(5), torch.tensor(0.3, dtype=F64), torch.ones(5, 2, dtype=F64)
    assert_close(fields.velocity_of(cond)(x, t), fields.velocity(x, t, cond))


@pytest.mark.parametrize("first", [1.0, -0.5, torch.tensor(1.0), torch.tensor(-0.5)])
@pytest.mark.parametrize(
    "rest", [(), (3.0,), (torch.tensor(0.25), -2.0), (0.5, torch.tensor(1.5, dtype=F64))]
)
def test_a_weighted_sum_is_the_plain_one_and_leaves_its_terms_alone(first, rest):
    weights = (first, *rest)
    values = [states(4) + k for k in range(len(weights))]
    found = weighted_sum([(value.clone(), weight) for value, weight in zip(values, weights, strict=True)])
    assert_close(found, sum(float(weight) * value for weight, value in zip(weights, values, strict=True)))
    kept = [value.clone() for value in values]
    weighted_sum(list(zip(values, weights, strict=True)))
    assert all(torch.equal(value, before) for value, before in zip(values, kept, strict=True))
