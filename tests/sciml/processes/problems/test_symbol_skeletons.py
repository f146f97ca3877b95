"""Exact laws against all sequences counted one by one."""

import itertools
import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.sciml.processes.problems.symbol_skeletons import (
    SymbolSkeletons,
    hidden_regime,
    stochastic_skeleton,
)

F64 = torch.float64


def every(length):
    """All sequences of a length, ``(2^L, L, 1)``."""
    return torch.tensor([*itertools.product((0.0, 1.0), repeat=length)], dtype=F64)[..., None]


def by_hand(problem, sequence):
    """Probability of one sequence, pattern by pattern and place by place."""
    total = 0.0
    for pattern in problem.patterns:
        for place in range(len(pattern)):
            chance = 1 / len(problem.patterns) / len(pattern)
            for t, symbol in enumerate(sequence):
                letter = pattern[(place + t) % len(pattern)]
                one = problem.chance if letter == "X" else float(letter)
                chance *= one if symbol else 1 - one
            total += chance
    return total


@pytest.mark.parametrize("problem", [stochastic_skeleton(length=7), hidden_regime(length=7)])
def test_probabilities_are_those_of_counting_and_blocks_are_sequences(problem):
    x = every(7)
    expected = torch.tensor([by_hand(problem, one[:, 0].tolist()) for one in x], dtype=F64)
    assert float(expected.sum()) == pytest.approx(1)
    assert_close(problem.log_prob(x).exp(), expected)
    assert_close(problem.block_law(7), expected)
    assert_close(problem.block_law(3), expected.reshape(8, -1).sum(1))


@pytest.mark.parametrize("problem", [stochastic_skeleton(length=7), hidden_regime(length=7)])
def test_a_forecast_is_the_share_of_continuations_with_a_one(problem):
    law = problem.block_law(7).reshape([2] * 7)
    for past in ([1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0]):
        x = torch.tensor(past, dtype=F64)[None, :, None]
        given = law[tuple(int(s) for s in past)]
        given = given / given.sum()
        axes = range(given.ndim)
        expected = [given.sum([a for a in axes if a != k])[1] if given.ndim > 1 else given[1] for k in axes]
        assert_close(problem.forecast(x, 7 - len(past))[0, :, 0], torch.stack(expected))


def test_impossible_pasts_are_forecast_as_without_one():
    problem = stochastic_skeleton()
    x = torch.ones(1, 6, 1, dtype=F64)
    assert bool(problem.log_prob(x).isneginf())
    assert_close(problem.forecast(x, 3)[0, :, 0], torch.full((3,), (1 + 0.3) / 3, dtype=F64))


def test_samples_come_by_the_law_and_begin_anywhere_or_at_the_beginning():
    source = torch.Generator().manual_seed(0)
    problem = hidden_regime(length=6)
    x = problem.sample(40_000, generator=source)
    codes = (x[..., 0].long() * 2 ** torch.arange(5, -1, -1)).sum(1)
    found = torch.bincount(codes, minlength=64).double() / len(x)
    law = problem.block_law(6)
    assert float(((found - law).abs() / (law / len(x)).sqrt().clamp_min(1e-9)).max()) < 4.5
    aligned = stochastic_skeleton(aligned=True).sample(50, generator=source)
    assert bool((aligned[:, ::3] == 1).all())
    assert not aligned[:, 1::3].any()


def test_the_entropy_rate_is_that_of_a_coin_over_the_period():
    coin = -(0.3 * math.log(0.3) + 0.7 * math.log(0.7))
    assert stochastic_skeleton().entropy_rate() == pytest.approx(coin / 3)
    assert hidden_regime().entropy_rate() == pytest.approx(coin / 6)
    problem = stochastic_skeleton()
    gain = [float(torch.special.entr(problem.block_law(n)).sum()) for n in (12, 15)]
    assert (gain[1] - gain[0]) / 3 == pytest.approx(coin / 3, abs=1e-3)


def test_phases_are_found_and_what_breaks_the_skeleton_counts():
    problem = stochastic_skeleton()
    source = torch.Generator().manual_seed(1)
    x = stochastic_skeleton(aligned=True).sample(30, generator=source)
    turned = x.roll(-1, 1)  # begins with the 0
    assert problem.found(x).tolist() == [0] * 30
    assert_close(problem.obeyed(turned[:, :21]), torch.ones(30, dtype=F64))
    assert problem.free(x)[0].nonzero()[:, 0].tolist() == list(range(2, 24, 3))
    broken = x.clone()
    broken[:, 4] = 1.0  # a 0 of the second of eight periods
    assert_close(problem.obeyed(broken), torch.full((30,), 7 / 8, dtype=F64))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"patterns": ("10Y",)}, "patterns must be words of 0, 1 and X"),
        ({"patterns": "10X"}, "patterns must be words of 0, 1 and X"),
        ({"chance": 1.5}, "chance must lie in \\[0, 1\\], got 1.5"),
        ({"length": 0}, "length must be a whole number >= 1"),
    ],
)
def test_bad_settings_are_refused(settings, told):
    with pytest.raises(InvalidInputError, match=told):
        SymbolSkeletons(**settings)


def test_what_are_no_symbols_is_refused():
    with pytest.raises(InvalidInputError, match=r"x must be sequences \(B, T, 1\) of 0 and 1"):
        stochastic_skeleton().log_prob(torch.full((1, 3, 1), 0.5))
