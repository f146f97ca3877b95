"""What a user may hand in as tokens ends in the right answer or in a message.

The fits take a few steps, and what is tested holds for any weights.
"""

import functools

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.tokens.token_bridge import TokenBridge

FEW = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 4, (40, 5))
TRANSFORMER = {"width": 16, "depth": 1, "attention_heads": 2}


def learnt(tokens, **more):
    return TokenBridge(net=TRANSFORMER, steps=2, batch_size=8, **more).fit(tokens, progress=False)


@functools.cache
def tokens_learnt():
    return learnt(TOKENS)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint16", "uint32", "int32", "uint64", ">i4"])
def test_whole_numbers_of_any_type_are_the_same_tokens(kind):
    found = tokens_learnt().nelbo(TOKENS.astype(kind)).per_sequence
    np.testing.assert_array_equal(found, tokens_learnt().nelbo(TOKENS).per_sequence)
    np.testing.assert_array_equal(learnt(TOKENS.astype(kind)).sample(3), tokens_learnt().sample(3))


@pytest.mark.parametrize("kind", ["bool", "float32", "float64", "complex64", "U1", "object", "M8[s]"])
def test_what_is_no_whole_number_is_no_token(kind):
    for door in (tokens_learnt().nelbo, learnt):
        with pytest.raises(InvalidInputError, match=r"must be integers|text needs a method"):
            door(TOKENS.astype(kind))


@FEW
@given(
    place=st.tuples(st.integers(0, 39), st.integers(0, 4)),
    token=st.sampled_from([-1, -(2**40), 4, 255, 2**40]),
)
def test_a_token_that_the_vocabulary_has_not_is_refused(place, token):
    other = TOKENS.copy()
    other[place] = token
    with pytest.raises(InvalidInputError, match=r"must be (>= 0|tokens 0)"):
        tokens_learnt().nelbo(other)


@FEW
@given(code=st.integers(2_000, 2**40))
def test_codes_that_are_no_numbering_do_not_become_a_network_that_no_memory_holds(code):
    years = np.where(TOKENS == 1, code, TOKENS)
    with pytest.raises(InvalidInputError, match="V near the 4 different ones"):
        learnt(years)


def test_missing_tokens_are_never_numbers():
    gaps = np.ma.masked_equal(TOKENS, 1), np.where(TOKENS == 1, np.nan, TOKENS)
    for x in gaps:
        for door in (tokens_learnt().nelbo, tokens_learnt().complete, learnt):
            with pytest.raises(InvalidInputError, match="must be integers"):
                door(x)


@FEW
@given(order=st.permutations("abcde"))
def test_named_columns_are_no_places_of_a_sequence(order):
    """They would be taken in whatever order the table has them."""
    table = pandas.DataFrame(TOKENS, columns=list("abcde"))[order]
    for door in (tokens_learnt().nelbo, learnt):
        with pytest.raises(InvalidInputError, match="must have no names of columns"):
            door(table)
    np.testing.assert_array_equal(learnt(pandas.DataFrame(TOKENS)).sample(3), tokens_learnt().sample(3))


def test_what_works_on_the_cpu_alone_says_why():
    with pytest.raises(InvalidInputError, match="TokenBridge: device must be 'cpu': its batches"):
        TokenBridge(device="meta")
    assert TokenBridge(device="auto").place.type == "cpu"
    with pytest.raises(InvalidInputError, match=r"TokenBridge.to: device must be 'cpu'"):
        TokenBridge().to("meta")


def test_a_former_name_is_refused_with_what_takes_its_place():
    with pytest.raises(AttributeError, match=r"complete\(x\)"):
        getattr(TokenBridge(), "infill")  # noqa: B009
