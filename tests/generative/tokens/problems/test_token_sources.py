"""Distributions of tokens: a Markov source is a joint table written another way; both against direct sums."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.problems.token_sources import (
    MarkovTokens,
    TokenTable,
    random_markov,
    random_table,
)


def as_table(source):
    """The joint table of a Markov source, sequence by sequence."""
    shape = (source.vocabulary,) * source.length
    empty = TokenTable(torch.ones(shape))
    return TokenTable(source.log_prob(empty.sequences()).exp().reshape(shape))


def by_hand(table, evidence):
    """Marginals by a plain sum over all sequences."""
    sequences, weights = table.sequences(), table.table.flatten()
    found = torch.zeros(evidence.shape, dtype=torch.float64)
    for row, seen in enumerate(evidence):
        chance = weights * torch.stack(
            [seen[place][sequences[:, place]] for place in range(table.length)]
        ).prod(0)
        for place in range(table.length):
            found[row, place].index_add_(0, sequences[:, place], chance)
    return found / found.sum(-1, keepdim=True)


def evidence_of(rows, length, vocabulary, generator):
    """Masks, visible tokens and vague ones, mixed."""
    vague = torch.rand(rows, length, vocabulary, dtype=torch.float64, generator=generator)
    kind = torch.randint(3, (rows, length, 1), generator=generator)
    seen = torch.nn.functional.one_hot(
        torch.randint(vocabulary, (rows, length), generator=generator), vocabulary
    )
    return torch.where(kind == 0, 1.0, torch.where(kind == 1, seen.double(), vague))


def test_marginals_of_a_table_are_plain_sums(generator):
    table = random_table(4, 3, seed=1)
    evidence = evidence_of(20, 4, 3, generator)
    assert_close(table.posterior(evidence), by_hand(table, evidence))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_markov_source_is_the_table_of_its_sequences(order, generator):
    source = random_markov(6, 3, order=order, concentration=0.7, seed=order)
    table = as_table(source)
    evidence = evidence_of(30, 6, 3, generator)
    assert_close(source.posterior(evidence), table.posterior(evidence))
    assert source.entropy() == pytest.approx(table.entropy(), rel=1e-12)
    assert float(source.log_prob(table.sequences()).exp().sum()) == pytest.approx(1, abs=1e-12)


def test_the_stationary_start_stays(generator):
    source = random_markov(5, 4, order=2, seed=3)
    assert_close(source._advance(source.initial), source.initial, atol=1e-12, rtol=0)
    alternating = MarkovTokens(torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64), 3)
    assert_close(alternating.initial, torch.full((2,), 0.5, dtype=torch.float64))


@pytest.mark.parametrize(
    "distribution",
    [random_table(3, 3, seed=2), random_markov(3, 3, order=2, seed=2), random_markov(5, 2, order=2, seed=2)],
    ids=["table", "markov", "longer"],
)
def test_samples_have_the_frequencies_of_the_distribution(distribution, generator):
    n = 50_000
    table = distribution if isinstance(distribution, TokenTable) else as_table(distribution)
    p = table.table.flatten()
    drawn = table.index(distribution.sample(n, generator=generator))
    share = torch.bincount(drawn, minlength=len(p)).double() / n
    assert ((share - p).abs() <= 4.5 * (p * (1 - p) / n).sqrt() + 1e-9).all()
    assert_close(table.log_prob(table.sequences()), p.log())


@pytest.mark.slow
def test_a_source_with_the_frequencies_of_a_text_finds_the_transitions_again(generator):
    true = random_markov(100_000, 3, order=2, concentration=1.0, seed=5)
    text = true.sample(1, generator=generator)[0]
    found = MarkovTokens.from_tokens(text, 8, 3, order=2)
    visits = 100_000 * true.initial
    allowed = 5 * (true.transition * (1 - true.transition) / visits[..., None]).sqrt()
    assert ((found.transition - true.transition).abs() <= allowed + 1e-4).all()


def test_evidence_that_the_distribution_excludes_is_answered_evenly():
    certain = TokenTable(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    impossible = torch.tensor([[[0.0, 1.0], [1.0, 1.0]]], dtype=torch.float64)
    assert_close(certain.posterior(impossible), torch.full((1, 2, 2), 0.5, dtype=torch.float64))


def test_a_long_source_does_not_underflow():
    source = random_markov(400, 6, order=1, seed=1)
    x = source.sample(2, generator=torch.Generator().manual_seed(1))
    evidence = torch.nn.functional.one_hot(x, 6).double()
    evidence[:, ::2] = 1.0
    distributions = source.posterior(evidence)
    assert bool(torch.isfinite(distributions).all())
    assert_close(distributions.sum(-1), torch.ones(2, 400, dtype=torch.float64))
    assert float(source.log_prob(x)[0]) < math.log(1e-40)


def test_random_distributions_follow_their_seed_and_their_concentration():
    assert torch.equal(random_table(seed=4).table, random_table(seed=4).table)
    assert not torch.equal(random_markov(seed=4).transition, random_markov(seed=5).transition)
    # Dirichlet of concentration a over K entries: E sum p^2 = (1 + a) / (1 + K a).
    squares = [float(random_table(4, 3, concentration=0.5, seed=s).table.square().sum()) for s in range(40)]
    mean = sum(squares) / 40
    spread = torch.tensor(squares).std() / 40**0.5
    assert abs(mean - 1.5 / (1 + 40.5)) <= 4 * float(spread)


def test_texts_are_counted_one_by_one():
    found = MarkovTokens.from_tokens(torch.tensor([[0, 1, 0], [1, 1, 1]]), 4, 2, order=1, smoothing=0)
    # No pair reaches from one text into the next: 0 is followed by 1 once, 1 by 0 once and by 1 twice.
    assert_close(found.transition, torch.tensor([[0, 1], [1 / 3, 2 / 3]], dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TokenTable(torch.ones(2, 3)), r"table must have L axes of one length V.* got \(2, 3\)"),
        (lambda: TokenTable(-torch.ones(2, 2)), r"probabilities must be >= 0 and finite, not all 0, got -1"),
        (
            lambda: random_table(3, 2).log_prob(torch.zeros(1, 1).long()),
            r"must have shape \(B, 3\), got \(1, 1\)",
        ),
        (lambda: random_table(concentration=0.0), r"concentration must be finite and > 0, got 0"),
        (lambda: random_table(3, 0), r"random_table: vocabulary must be a whole number >= 2, got 0"),
        (lambda: random_markov(3, -1), r"random_markov: vocabulary must be a whole number >= 2, got -1"),
        (
            lambda: random_markov(3, 10**6),
            r"random_markov: the table must have at most 1048576 entries, got 10",
        ),
        (
            lambda: random_table(10**7),
            r"random_table: the table must have at most 1048576 entries, got 3\^10000000",
        ),
        (lambda: MarkovTokens(torch.ones(2, 2), 4), r"probabilities must sum to 1"),
        (lambda: MarkovTokens(torch.full((2, 2, 2), 0.5), 1), r"length must be a whole number >= 2, got 1"),
        (
            lambda: MarkovTokens(torch.full((2, 2), 0.5), 3, torch.full((2, 2), 0.25)),
            r"initial must have shape \(2,\), got \(2, 2\)",
        ),
        (lambda: MarkovTokens.from_tokens(torch.tensor([1, 0]), 4, 2), r"texts longer than 2, .* got \(2,\)"),
        (lambda: random_markov(4, 2).posterior(torch.ones(1, 5, 2)), r"sequences must have length 4, got 5"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


@pytest.mark.parametrize("distribution", [random_table(3, 2), random_markov(3, 2, order=1)])
@pytest.mark.parametrize("tokens", [[0, 0, 2], [-1, 0, 1]])
def test_tokens_outside_of_the_vocabulary_have_no_probability_of_others(distribution, tokens):
    with pytest.raises(InvalidInputError, match=r"tokens must be 0 ... 1, got (0 ... 2|-1 ... 1)"):
        distribution.log_prob(torch.tensor([tokens]))


@pytest.mark.parametrize("tokens", [[0, 1, 0, 2], [-1, 0, 1, 0]])
def test_tokens_outside_of_the_vocabulary_are_not_counted_as_others(tokens):
    with pytest.raises(InvalidInputError, match=r"tokens must be 0 ... 1, got (0 ... 2|-1 ... 1)"):
        MarkovTokens.from_tokens(torch.tensor(tokens), 5, 2, order=1)
