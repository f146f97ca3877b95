"""A shifted score where the state says nothing of the data."""

import pytest
import torch

from interpolants.guidance import ShiftedScore
from interpolants.problems import GaussianMixtureBridge
from problems.bridges import F64, PATHS, RHO1, states

EXACT = [
    name
    for name, path in PATHS.items()
    if path.is_one_sided and path.base.is_gaussian and path.basis is None and path.ends.start_is_exact
]


class Learnt(ShiftedScore):
    """A shift that does not vanish at the start, as one that is learnt."""

    def shift(self, x, t, cond):
        return torch.ones_like(x)


@pytest.mark.parametrize("name", EXACT)
def test_the_flow_leaves_the_base_as_without_a_shift(name):
    path = PATHS[name]
    fields, x = GaussianMixtureBridge(path.base, RHO1).fields(path), states(4)
    names, start = ("velocity", "mean_rate", "denoised", "endpoint0"), torch.zeros((), dtype=F64)
    plain, shifted = (one.evaluate(x, start, names) for one in (fields, Learnt(fields)))
    for quantity in names:
        assert torch.equal(shifted[quantity], plain[quantity]), quantity
    later = torch.full((), 0.5, dtype=F64)
    plain, shifted = (one.evaluate(x, later, names) for one in (fields, Learnt(fields)))
    assert all(bool((shifted[quantity] != plain[quantity]).any()) for quantity in names)
