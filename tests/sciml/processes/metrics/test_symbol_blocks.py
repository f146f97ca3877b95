"""Divergence of blocks: counts by hand, its size for blocks by their law, and what is refused."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes.metrics.symbol_blocks import symbol_block_divergence

COIN = torch.full((4,), 0.25, dtype=torch.float64)


def test_counts_by_hand():
    x = torch.tensor([[0, 1, 1, 0]])  # 01, 11, 10: with half a count each 1.5, 1.5, 1.5 and 0.5 of 5
    expected = math.log(0.25) - 0.25 * (3 * math.log(1.5 / 5) + math.log(0.5 / 5))
    found = symbol_block_divergence(x, COIN)
    assert found.value == pytest.approx(expected)
    assert found.n == 1


def test_blocks_by_their_law_have_the_divergence_of_their_number():
    source = torch.Generator().manual_seed(0)
    found = [
        symbol_block_divergence(torch.randint(2, (2000, 2), generator=source), COIN, generator=source)
        for _ in range(60)
    ]
    values = torch.tensor([one.value for one in found])
    expected, error = 3 / (2 * 2000), float(values.std()) / 60**0.5
    assert abs(float(values.mean()) - expected) < 4 * error
    assert 0 < found[0].error < 20 * expected


def test_a_block_that_never_comes_costs_more_the_more_there_are():
    few, many = (symbol_block_divergence(torch.zeros(n, 2).long(), COIN).value for n in (10, 1000))
    assert 0.5 < few < many
    law = torch.tensor([1.0, 0, 0, 0])
    assert_close(symbol_block_divergence(torch.zeros(1000, 2).long(), law).value, math.log(1002 / 1000.5))


@pytest.mark.parametrize(
    ("x", "law", "told"),
    [
        (torch.zeros(3, 5).long(), COIN[:3] * 4 / 3, "law must have a power of 2 entries"),
        (torch.zeros(3, 5).long(), COIN * 2, "law must be probabilities that sum to 1"),
        (torch.zeros(3, 1).long(), COIN, "L >= 2"),
        (torch.zeros(3, 5), COIN, "sequences .* of integers"),
        (torch.full((3, 5), 2), COIN, "symbols must be 0 ... 1, got 2"),
    ],
)
def test_bad_input_is_refused(x, law, told):
    with pytest.raises(InvalidInputError, match=told):
        symbol_block_divergence(x, law)
