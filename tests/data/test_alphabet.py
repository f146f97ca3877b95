import pytest
import torch

from interpolants.data import Alphabet
from interpolants.foundations.errors import InvalidInputError

LETTERS = Alphabet(tuple(" abc"))


def test_texts_survive_and_blanks_become_the_mask():
    rows = LETTERS.encode_rows(["a cab", "ccc__"], blank="_")
    assert rows.tolist() == [[1, 0, 3, 1, 2], [3, 3, 3, 4, 4]]
    assert LETTERS.decode(rows) == ["a cab", "ccc__"]
    assert Alphabet.of("banana").symbols == ("a", "b", "n")
    assert len(LETTERS) == 4
    assert LETTERS.decode(torch.tensor([[4]]), blank="?") == ["?"]


def test_a_blank_that_is_a_letter_stays_one():
    own = Alphabet(tuple("_a"))
    assert own.encode("a_", blank="_").tolist() == [1, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Alphabet(("ab", "c")), r"symbols must be two or more single characters, got \['ab'\]"),
        (lambda: Alphabet(("a",)), r"two or more single characters, got \('a',\)"),
        (lambda: Alphabet(tuple("aba")), r"symbols must all be different, got \['a'\]"),
        (lambda: LETTERS.encode("a dab"), r"characters must be among ' abc', got d"),
        (lambda: LETTERS.encode("a?b", blank="_"), r"got \?\. Use '_' for what is to be filled in"),
        (lambda: LETTERS.encode_rows(["a", "ab"]), r"texts must have one length, got \[1, 2\]"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()
