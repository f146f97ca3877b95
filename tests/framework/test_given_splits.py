"""Splits by words, by groups and by shares: every row is in a part, and in one alone."""

import re

import pytest
import torch

from interpolants import Bridge
from interpolants.foundations.errors import InvalidInputError
from interpolants.framework.role import Role
from interpolants.framework.task import Split, Task

ROLES = (Role(name="x"),)
X = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
GIVEN = Split(by="given", role="part")


def parts_of(words):
    return {k: v.tolist() for k, v in Task.of(ROLES, {"x": X, "part": words}, GIVEN).rows["row"].items()}


@pytest.mark.parametrize("word", ["val", "valid", "validation", "held", "dev", " Valid "])
def test_rows_for_validation_are_held_out(word):
    words = ["train"] * 12 + [word] * 5 + ["test"] * 3
    assert parts_of(words) == {"train": [*range(12)], "held": [*range(12, 17)], "test": [17, 18, 19]}
    mixed = ["Training"] * 12 + [word] * 4 + ["held", "TEST", "testing", "test"]
    assert parts_of(mixed)["held"] == [*range(12, 17)]


def test_a_word_that_is_no_part_is_refused_with_its_rows():
    words = ["train"] * 12 + ["spare"] * 5 + ["test"] * 3
    with pytest.raises(InvalidInputError, match=re.escape("train, held, test, got 'spare' in 5 rows")):
        parts_of(words)
    with pytest.raises(InvalidInputError, match="train and test must both have rows"):
        parts_of([0] * 12 + [1] * 8)


@pytest.mark.parametrize("given", [{"test": 1.0}, {"test": 2.5}, {"train": 1.0}, {"train": 3.5}])
def test_what_is_neither_a_share_nor_a_number_of_rows_is_refused(given):
    name = next(iter(given))
    with pytest.raises(
        InvalidInputError, match=f"{name} must be a fraction below 1 or an integer number of rows"
    ):
        Split(**given)


def test_numbers_of_rows_are_taken():
    assert len(Task.of(ROLES, {"x": X}, Split(test=1)).test["x"]) == 1
    assert len(Task.of(ROLES, {"x": X}, Split(test=4.0)).test["x"]) == 4
    assert len(Task.of(ROLES, {"x": X}, Split(test=0.25, train=1)).train["x"]) == 1


@pytest.mark.parametrize("by", ["group", "given"])
def test_persons_of_both_ends_are_on_one_side(by):
    """Rows of unpaired ends about the same 100 persons."""
    persons = torch.arange(100)
    ends = {"x0": torch.randn(100, 2) + persons[:, None], "x1": torch.randn(100, 2) - persons[:, None]}
    drawn = torch.rand(100, generator=torch.Generator().manual_seed(0)) < 0.2
    labels = {
        "group": [f"person {i}" for i in range(100)],
        "given": ["test" if one else "train" for one in drawn],
    }
    task = Task.of(Bridge(path="linear").roles(), {**ends, "who": labels[by]}, Split(by=by, role="who"))
    assert task.rows["x0"]["test"].tolist() == task.rows["x1"]["test"].tolist()
    assert not set(task.rows["x1"]["test"].tolist()) & set(task.rows["x0"]["train"].tolist())
    assert len(task.test["x0"]) == (20 if by == "group" else int(drawn.sum()))


def test_a_role_to_split_by_that_is_not_there_is_refused():
    with pytest.raises(
        InvalidInputError, match="values of part, by which the rows are split, must be passed"
    ):
        Task.of(ROLES, {"x": X}, GIVEN)


def test_words_that_belong_to_no_rows_or_to_some_are_told():
    roles = Bridge(path="linear").roles()
    ends = {"x0": torch.randn(30, 2), "x1": torch.randn(20, 2)}
    words = ["train"] * 15 + ["test"] * 5
    with pytest.warns(
        UserWarning, match="part has 20 rows and x0 has 30, so that these rows are split at random"
    ):
        Task.of(roles, {**ends, "part": words}, GIVEN)
    with pytest.raises(
        InvalidInputError, match="part must have as many rows as the data, got 3; x0 has 30, x1 has 20"
    ):
        Task.of(roles, {**ends, "part": ["train", "test", "held"]}, GIVEN)
