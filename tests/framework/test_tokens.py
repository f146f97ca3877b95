"""Roles of tokens: texts and numbers in, in kind out."""

import numpy as np
import pandas as pd
import pytest
import torch

from interpolants.data.arrays import restore
from interpolants.data.bundled import DataInfo, Dataset
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.role import Reading, Role
from interpolants.framework.roles import read
from interpolants.framework.tokens import Tokens

ROLE = Role(name="tokens", kind="tokens")
GAPS = Role(name="tokens", kind="tokens", gaps=True)


def fitted(value, role=ROLE):
    return read((role,), {"tokens": value}, "T.fit")[1]


def asked(value, before, role=ROLE):
    data, came = read((role,), {"tokens": value}, "T.ask", before=before)
    return data["tokens"], came["tokens"]


@pytest.mark.parametrize(
    "texts", [["bad", "cab"], ("bad", "cab"), np.array(["bad", "cab"]), pd.Series(["bad", "cab"])]
)
def test_texts_are_codes_of_their_characters_and_come_back_as_texts(texts):
    codes, given = Tokens().read(texts, ROLE, Reading("T.fit"))
    assert codes.tolist() == [[1, 0, 3], [2, 0, 1]]
    assert given.columns == tuple("abcd")
    assert restore(codes, given) == ["bad", "cab"]
    assert restore(codes[:1], given) == ["bad"]


def test_a_single_text_is_one_row_and_comes_back_alone_where_it_was_asked():
    before = fitted("abcdabcd")
    codes, given = asked("dab", before)
    assert codes.tolist() == [[3, 0, 1]]
    assert restore(codes, given) == "dab"
    assert restore(codes.repeat(2, 1), given) == ["dab", "dab"]
    assert restore(torch.tensor([[1, 2]]), before["tokens"]) == ["bc"]


@pytest.mark.parametrize(
    ("value", "kind"), [([[0, 2], [1, 1]], list), (np.array([[0, 2], [1, 1]], dtype=np.uint8), np.ndarray)]
)
def test_numbers_come_back_as_they_came(value, kind):
    codes, given = asked(value, fitted(value))
    assert codes.dtype == torch.int64
    back = restore(codes, given)
    assert isinstance(back, kind)
    assert np.array_equal(back, value)
    assert getattr(back, "dtype", None) == getattr(value, "dtype", None)


def test_tensors_keep_their_type_and_a_single_row_its_shape():
    row = torch.tensor([0, 2, 1], dtype=torch.int32)
    codes, given = asked(row, fitted(row))
    assert codes.shape == (1, 3)
    assert restore(codes, given).dtype == torch.int32
    assert torch.equal(restore(codes, given), row)
    # numbers about rows are no tokens
    assert torch.equal(restore(torch.tensor([0.5]), given), torch.tensor([0.5]))


def test_gaps_are_the_code_after_the_last_symbol():
    before = fitted("abcd")
    assert asked("a_d", before, GAPS)[0].tolist() == [[0, 4, 3]]
    with pytest.raises(InvalidInputError, match="characters must be among 'abcd', got _"):
        asked("a_d", before)


def test_symbols_come_with_a_data_set_or_with_the_method():
    data = Dataset(
        torch.tensor([[0, 1]]), None, DataInfo("x", (1, 2), "train", "", "", {}, symbols=("y", "z"))
    )
    assert fitted(data)["tokens"].columns == ("y", "z")
    known = Role(name="tokens", kind="tokens", names=("z", "y"))
    assert Tokens().read("zzy", known, Reading("T.fit"))[0].tolist() == [[0, 0, 1]]
    with pytest.raises(InvalidInputError, match=r"symbols must be those of the data, 'yz', got 'zy'"):
        fitted(data, known)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "must not be empty"),
        (["ab", "a"], "texts must have one length"),
        (torch.zeros(2, 2), "integers"),
        (torch.zeros(2, 2, 2).long(), "integers"),
        (torch.tensor([[0, -1]]), r"must be >= 0 and not empty, got -1"),
        ([[0, 1], [1]], "of equal length"),
        (torch.zeros(0, 2).long(), "got none"),
    ],
)
def test_what_is_no_sequence_of_tokens_is_refused(value, words):
    with pytest.raises(InvalidInputError, match=words):
        fitted(value)


def test_codes_beyond_the_symbols_and_text_without_symbols_are_refused():
    with pytest.raises(InvalidInputError, match=r"must be 0 \.\.\. 1, got 2"):
        fitted(torch.tensor([[2]]), Role(name="tokens", kind="tokens", names=("a", "b")))
    with pytest.raises(InvalidInputError, match="text needs a method that knows its symbols"):
        asked("ab", fitted(torch.tensor([[0, 1]])))
