"""The distance of n-gram frequencies: by hand, against a closed form, and its error over repetitions."""

import pytest
import torch

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.metrics.ngrams import ngram_distance
from interpolants.generative.tokens.problems.token_sources import random_markov


def test_counts_by_hand():
    x, y = torch.tensor([[0, 1, 0], [1, 1, 0]]), torch.tensor([[0, 1, 2, 2], [0, 0, 0, 0]])
    # x: 01 10 11 10; y: 01 12 22 00 00 00. Shares of 01, 10, 11, 12, 22, 00.
    gaps = [1 / 4 - 1 / 6, 1 / 2, 1 / 4, 1 / 6, 1 / 6, 1 / 2]
    assert ngram_distance(x, y).value == pytest.approx(sum(gaps) / 2)
    assert ngram_distance(x, y, n=1).value == pytest.approx(
        (abs(3 / 6 - 5 / 8) + abs(3 / 6 - 1 / 8) + 2 / 8) / 2
    )
    assert ngram_distance(x, x).value == 0


def test_between_two_sources_it_is_the_distance_of_their_pairs(generator):
    sources = [random_markov(40, 4, order=1, concentration=1.0, seed=s) for s in (1, 2)]
    pairs = [source.initial[:, None] * source.transition for source in sources]
    wanted = 0.5 * float((pairs[0] - pairs[1]).abs().sum())
    found = ngram_distance(*(s.sample(4000, generator=generator) for s in sources), generator=generator)
    assert abs(found.value - wanted) <= 4 * found.error + 1e-3
    assert str(found).startswith("2-gram distance: ")


def test_the_error_is_the_spread_over_repetitions(generator):
    sources = [random_markov(20, 4, order=1, concentration=1.0, seed=s) for s in (1, 2)]
    found = [
        ngram_distance(*(s.sample(200, generator=generator) for s in sources), generator=generator)
        for _ in range(60)
    ]
    spread = float(torch.tensor([f.value for f in found]).std())
    error = sum(f.error for f in found) / 60
    # A standard deviation of 60 values is known to nine per cent, one of 30 redraws to thirteen each.
    assert error == pytest.approx(spread, rel=0.35)


@pytest.mark.parametrize(
    ("x", "n", "message"),
    [
        (torch.rand(3, 4), 2, r"x must be two or more sequences \(N, L\) of integer tokens.*torch.float32"),
        (torch.zeros(1, 4, dtype=torch.int64), 2, r"of shape \(1, 4\)"),
        (torch.zeros(3, 2, dtype=torch.int64), 3, r"L >= 3, got torch.int64 of shape \(3, 2\)"),
        (torch.zeros(3, 4, dtype=torch.int64), 0, r"n must be a whole number >= 1, got 0"),
        (torch.full((3, 9), 1 << 30), 3, r"n must be small enough to number the n-grams, got 3"),
    ],
)
def test_bad_input_is_refused(x, n, message):
    with pytest.raises(InvalidInputError, match=message):
        ngram_distance(x, torch.zeros(3, 4, dtype=torch.int64), n=n)


def test_negative_tokens_are_refused():
    """Numbered as if they were tokens, (0, -2) and (-1, 3) would be n-grams."""
    for wrong in ([[0, -2]] * 2, [[-1, 3]] * 2):
        x, y = torch.tensor(wrong), torch.tensor([[1, 3]] * 2)
        for pair in ((x, y), (y, x)):
            with pytest.raises(
                InvalidInputError, match="must contain tokens >= 0, with -1 behind their end only"
            ):
                ngram_distance(*pair)


def test_the_end_is_a_token_where_lengths_differ():
    x, y = torch.tensor([[0, 1, -1], [1, -1, -1]]), torch.tensor([[0, 1], [0, 0]])
    # With the end as e, x: 01 1e 1e; y: 01 1e 00 0e.
    assert ngram_distance(x, y).value == pytest.approx(
        (abs(1 / 3 - 1 / 4) + abs(2 / 3 - 1 / 4) + 1 / 4 + 1 / 4) / 2
    )
    # By itself it is none: 0, 1, 1 and 0, 1, 0, 0.
    assert ngram_distance(x, y, n=1).value == pytest.approx(3 / 4 - 1 / 3)
    # x: 01e; y: 01e 00e.
    assert ngram_distance(x, y, n=3).value == pytest.approx(1 / 2)
    with pytest.raises(InvalidInputError, match="x must have a sequence of at least 2 tokens"):
        ngram_distance(torch.tensor([[0, -1], [1, -1]]), y, n=3)
