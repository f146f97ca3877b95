"""Key steps: where equal amounts of change lie between them, and the numbers behind the names."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.acceleration.key_steps import key_steps, keys_by_change


@pytest.mark.parametrize("size", [1.0, 0.3, 1e-5, 0.0])
@pytest.mark.parametrize(("changes", "budget"), [(9, 3), (10, 5), (12, 4), (6, 6), (49, 7)])
def test_where_features_change_evenly_keys_are_evenly_spaced(changes, budget, size):
    found = keys_by_change(torch.full((changes,), size), budget)
    assert found == [changes // budget * k for k in range(budget)]


def test_between_keys_lie_equal_amounts_of_change(generator):
    """Up to the change of one step on either side: a key is the first step by which its share has passed."""
    for _ in range(20):
        change = torch.rand(60, generator=generator, dtype=torch.float64)
        keys = keys_by_change(change, 6)
        passed = torch.cat([torch.zeros(1), change.cumsum(0)])
        for k, key in enumerate(keys[1:], 1):
            assert passed[key - 1] < k * change.sum() / 6 <= passed[key] + 1e-6


def test_a_budget_beyond_the_steps_is_refused():
    assert keys_by_change(torch.ones(3), 4) == [0, 1, 2, 3]
    with pytest.raises(InvalidInputError, match="at most the number of steps, 4, got 5"):
        keys_by_change(torch.ones(3), 5)


def test_keys_by_name_and_by_change():
    assert key_steps("stable_diffusion", 50) == [0, 1, 2, 3, 5, 10, 15, 25, 35]
    assert len(key_steps("deepfloyd_1", 100)) == 10 + 14 + 16
    assert key_steps("progressive", 12) == [0, 2, 5, 9]
    assert keys_by_change(torch.tensor([1.0, 1, 1, 1, 0]), 3) == [0, 2, 3]
    assert keys_by_change(torch.zeros(5), 6) == [0, 1, 2, 3, 4, 5]
    assert keys_by_change(torch.tensor([0.0, 0, 0, 9]), 3) == [0, 3, 4]


@pytest.mark.parametrize("n", [1, 2, 3, 9, 10, 35, 36])
def test_distances_of_progressive_keys_grow_by_one(n):
    wanted, key, distance = [], 0, 2
    while key < n:
        wanted.append(key)
        key, distance = key + distance, distance + 1
    assert key_steps("progressive", n) == wanted
