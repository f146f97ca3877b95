"""Declared kinds: what each takes, what it makes of it, and how it refuses."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from annotated_types import Interval, Lt

from interpolants.foundations.asked import asking
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.kinds import (
    Answer,
    Check,
    Count,
    Each,
    NonNegative,
    OneOf,
    OneOrEach,
    Positive,
    Real,
    Remedy,
    Share,
    Whole,
    checker,
    is_answer,
    plain,
    takes_none,
    words,
)


def even(who: str, value: Any) -> int:
    if value % 2:
        raise invalid(who, "n must be even", value)
    return int(value) // 2


TAKEN = [
    (Whole, 0, 0),
    (Count, np.int64(3), 3),
    (Real, -2, -2.0),
    (NonNegative, 0, 0.0),
    (Positive, torch.tensor(0.5), 0.5),
    (Share, 1, 1.0),
    (Annotated[int, Lt(3)], 2, 2),
    (bool, np.True_, True),
    (bool, 1, True),
    (Literal["a", "b"], "b", "b"),
    (Count | None, None, None),
    (Count | None, 4, 4),
    (Literal["auto"] | Positive, "auto", "auto"),
    (Literal["auto"] | Positive, 2, 2.0),
    (tuple[Count, ...], [1, 2], (1, 2)),
    (tuple[Count, ...], np.array([1, 2]), (1, 2)),
    (tuple[Count, ...], (), ()),
    (tuple[Share, Share], (0, 1), (0.0, 1.0)),
    (OneOrEach[Count], 3, 3),
    (OneOrEach[Count], (3, 4), (3, 4)),
    (OneOrEach[Literal["a", "b"]], "a", "a"),
    (OneOrEach[Literal["a", "b"]], ["a", "b"], ("a", "b")),
    (Annotated[Any, Check(even)], 6, 3),
    (Annotated[str, OneOf(lambda: ("x", "y"))], "x", "x"),
    (Answer[Positive], 1, 1.0),
    (dict | Count, {"a": 1}, {"a": 1}),
]
REFUSED = [
    (Whole, -1, "n must be a whole number >= 0, got -1"),
    (Count, True, "n must be a whole number >= 1, got True"),
    (Count, 2.0, "n must be a whole number >= 1, got 2.0"),
    (Real, float("inf"), "n must be finite, got inf"),
    (Real, "7", "n must be finite, got 7"),
    (NonNegative, -0.1, "n must be finite and >= 0, got -0.1"),
    (Positive, 0, "n must be finite and > 0, got 0"),
    (Share, 1.1, r"n must lie in \[0, 1\], got 1.1"),
    (Annotated[float, Interval(ge=0, lt=1)], 1, r"n must lie in \[0, 1\), got 1"),
    (Annotated[int, Lt(3)], 3, r"n must be a whole number in \[0, 2\], got 3"),
    (bool, "False", "n must be True or False, got 'False'"),
    (Literal["ab", "cd"], "ac", "n must be one of ab, cd, got 'ac'. Did you mean"),
    (Count | None, 0, "n must be a whole number >= 1, got 0"),
    (
        Literal["auto"] | Positive,
        "aut",
        "n must be one of auto, or number > 0, got 'aut'. Did you mean 'auto'",
    ),
    (Literal["auto"] | Positive, -1, "n must be finite and > 0, got -1"),
    (Literal["auto"] | None, 3, "n must be one of auto, got 3"),
    (tuple[Count, ...], 3, "n must be several, as a list, got 3"),
    (tuple[Count, ...], "12", "n must be several, as a list, got 12"),
    (tuple[Count, ...], (1, 0), "every one of n must be a whole number >= 1, got 0"),
    (Annotated[tuple[Count, ...], Each("every lag")], (1, 0), "every lag must be a whole number >= 1, got 0"),
    (tuple[Share, Share], (0.5,), "n must have 2 entries"),
    (OneOrEach[Count], 0, "n must be a whole number >= 1, got 0"),
    (OneOrEach[Count], [], "n must have at least 1"),
    (OneOrEach[Literal["a", "b"]], "c", "n must be one of a, b, got 'c'"),
    (Annotated[Positive, Remedy("Take 1.")], 0, "got 0. Take 1."),
    (Annotated[Any, Check(even)], 5, "n must be even, got 5"),
    (Annotated[str, OneOf(lambda: ("x", "y"))], "z", "n must be one of x, y, got 'z'"),
]


@pytest.mark.parametrize(("kind", "value", "becomes"), TAKEN)
def test_a_value_of_the_kind_is_taken(kind: Any, value: Any, becomes: Any) -> None:
    found = checker(kind)("n", value)  # type: ignore[misc]
    assert found == becomes
    assert type(found) is type(becomes)


@pytest.mark.parametrize(("kind", "value", "said"), REFUSED)
def test_a_value_outside_is_refused_by_who_is_asked(kind: Any, value: Any, said: str) -> None:
    with asking("Ridge.fit"), pytest.raises(InvalidInputError, match=f"^Ridge.fit: .*{said}"):
        checker(kind)("n", value)  # type: ignore[misc]


@pytest.mark.parametrize(
    "kind",
    [
        int,
        float,
        str,
        Any,
        int | None,
        bool | str,
        float | str,
        float | Literal["auto"],
        Literal["auto"] | Any,
        tuple[int, ...],
        Sequence[str],
    ],
)
def test_plain_annotations_are_not_checked(kind: Any) -> None:
    assert checker(kind) is None


def test_an_answer_is_told_from_other_settings() -> None:
    assert is_answer(Answer[Count])
    assert not is_answer(Count)
    assert takes_none(Answer[Count | None])
    assert not takes_none(Answer[Count])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (NonNegative, "number >= 0"),
        (Annotated[float, Interval(ge=0, lt=1)], "number >= 0 and < 1"),
        (Literal["a", 0.5], '"a" | 0.5'),
        (Literal["auto"] | Positive, '"auto" | number > 0'),
        (Count | None, "whole number >= 1 | None"),
        (tuple[Count, ...], "several (whole number >= 1)"),
        (Annotated[Any, Check(even, "an even number")], "an even number"),
        (Any, ""),
    ],
)
def test_a_kind_in_words(kind: Any, said: str) -> None:
    assert words(kind) == said


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (Count, int),
        (Count | None, int | None),
        (Literal["auto"] | Positive, Literal["auto"] | float),
        (tuple[Count, ...], tuple[int, ...]),
        (Answer[Share], float),
        (float | None, float | None),
    ],
)
def test_a_kind_without_its_marks(kind: Any, shown: Any) -> None:
    assert plain(kind) == shown
