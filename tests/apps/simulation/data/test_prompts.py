import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.simulation.data.prompts import (
    NOTHING,
    NUMBER,
    UNKNOWN,
    PromptVocabulary,
    comma_numbers,
    split_prompt,
)
from interpolants.foundations.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Smoke at x = 0.31 heads north-east.", ["smoke", "at", "x", 0.31, "heads", "north-east"]),
        ("from (0.2, -3) by 1e-3", ["from", 0.2, -3.0, "by", 0.001]),
        ("x=0.5,y=.5", ["x", 0.5, "y", 0.5]),
        ("by -.5 or .5e-1", ["by", -0.5, "or", 0.05]),
        ("by \u22120.5, \u20130.2, 1\u20132", ["by", -0.5, -0.2, 1.0, 2.0]),  # signs and dashes of typography
        ("Gro\u0308\u00dfe\u200b 2", ["größe", 2.0]),  # accents apart, and a space of no width
        ("Größe 2", ["größe", 2.0]),
        ("?!", []),
    ],
)
def test_words_and_numbers_in_their_order(text, parts):
    assert split_prompt(text) == parts


def test_commas_between_digits_are_found():
    assert comma_numbers("1,000 from (0.2,0.3) to 1, 5 and a,3") == ["1,000", "0.2,0.3"]


def test_numbers_keep_their_order_and_words_their_codes():
    known = PromptVocabulary.of(["width 0.2 north", "north 1.0", "width 0.6"])
    codes, numbers = known.encode(["north 0.6 width", None, "south 0.2"], 4, "f")
    north, width = codes[0, 0], codes[0, 2]
    assert codes.tolist() == [
        [north, NUMBER, width, NOTHING],
        [NOTHING] * 4,
        [UNKNOWN, NUMBER, NOTHING, NOTHING],
    ]
    assert_close(numbers[:, 1], torch.tensor([0.5, 0.0, 0.0]))
    assert len(known) == 5
    assert known.unknown("South by north") == ["south", "by"]
    assert known.outside("0.1 and 0.5 and 1.2") == [0.1, 1.2]


def test_prompts_without_words_or_with_too_many_are_refused():
    known = PromptVocabulary.of(["a b"])
    with pytest.raises(InvalidInputError, match="must have words"):
        known.encode(["..."], 4, "f")
    with pytest.raises(InvalidInputError, match="at most 2 words and numbers, got 3 of them"):
        known.encode(["a b a"], 2, "f")
