"""Checks of arguments: what they return, and errors with who, rule, value and remedy."""

import math

import numpy as np
import pytest
import torch

from interpolants.foundations.checks import finite, number, one_of, positive, shaped, whole
from interpolants.foundations.errors import InvalidInputError


def refused(check, *args, **options):
    with pytest.raises(InvalidInputError) as caught:
        check("Who", *args, **options)
    return str(caught.value)


@pytest.mark.parametrize("value", [0, 7, np.int32(7), np.int64(0)])
def test_whole_numbers_come_back_as_integers(value):
    found = whole("Who", "n", value)
    assert found == value
    assert type(found) is int


@pytest.mark.parametrize("value", [True, False, 2.0, np.float64(2), "2", None, -1, torch.tensor(2), math.nan])
def test_what_is_no_whole_number_is_refused_and_shown(value):
    assert (
        refused(whole, "n", value)
        == f"Who: n must be a whole number >= 0, got {value if value == '2' else repr(value)}"
    )


def test_the_bounds_of_whole_numbers_are_allowed():
    assert [whole("Who", "n", n, at_least=2, at_most=4) for n in (2, 4)] == [2, 4]
    for n in (1, 5):
        message = refused(whole, "n", n, at_least=2, at_most=4, remedy="Take three.")
        assert message == f"Who: n must be a whole number in [2, 4], got {n}. Take three."


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), torch.tensor(2.0), torch.tensor([2.0])])
def test_numbers_come_back_as_floats(value):
    found = number("Who", "x", value)
    assert found == 2
    assert type(found) is float


@pytest.mark.parametrize(
    "value",
    [True, np.bool_(True), "2", None, math.nan, math.inf, -math.inf, 2j, torch.zeros(2), np.zeros(2), [2.0]],
)
def test_what_is_no_finite_number_is_refused(value):
    assert refused(number, "x", value).startswith("Who: x must be finite, got ")


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "rule"),
    [
        ({"above": 0}, [1e-300, 5], [0, -1], "be finite and > 0"),
        ({"at_least": 0}, [0, 5], [-1e-300], "be finite and >= 0"),
        ({"below": 2}, [-5, 1.999], [2], "be finite and < 2"),
        ({"at_most": 2}, [-5, 2], [2.001], "be finite and <= 2"),
        ({"above": 0, "below": 1}, [0.5], [0, 1], r"lie in (0, 1)"),
        ({"at_least": 0, "below": 0.5}, [0, 0.4], [-0.1, 0.5], r"lie in [0, 0.5)"),
        ({"above": 0, "at_most": 1}, [0.1, 1], [0, 1.1], r"lie in (0, 1]"),
        ({"at_least": 0, "at_most": 1}, [0, 1], [-0.1, 1.1], r"lie in [0, 1]"),
    ],
)
def test_bounds_of_numbers(bounds, inside, outside, rule):
    assert [number("Who", "x", value, **bounds) for value in inside] == inside
    for value in (*outside, math.nan, math.inf):
        assert (
            refused(number, "x", value, remedy="Do.", **bounds) == f"Who: x must {rule}, got {value!r}. Do."
        )


def test_positive_numbers():
    assert positive("Who", "x", 3) == 3.0
    assert refused(positive, "x", 0, "Take 1.") == "Who: x must be finite and > 0, got 0. Take 1."


def test_options_come_back_and_the_closest_is_named():
    assert one_of("Who", "kind", "fast", ("fast", "slow")) == "fast"
    assert one_of("Who", "kind", None, (None, "ode")) is None
    rule = "Who: kind must be one of fast, slow, got 'fats'."
    assert refused(one_of, "kind", "fats", ("fast", "slow")) == f"{rule} Did you mean 'fast'?"
    assert refused(one_of, "kind", "fats", ("fast", "slow"), "Read it.") == f"{rule} Read it."
    assert refused(one_of, "end", 2, (0, 1)) == "Who: end must be one of 0, 1, got 2"
    assert refused(one_of, "end", True, (0, 1)) == "Who: end must be one of 0, 1, got True"
    assert one_of("Who", "end", True, (True, "auto")) is True
    assert "got [5]" in refused(one_of, "kind", [5], {"fast": 1}.keys())


def test_finite_tensors():
    x = torch.ones(3)
    assert finite("Who", "x", x) is x
    for bad in (math.nan, math.inf):
        message = refused(finite, "x", torch.tensor([1.0, bad]), "Drop them.")
        assert message == "Who: x must be finite, got nan or inf. Drop them."


def test_shapes():
    x = torch.ones(3, 2)
    assert shaped("Who", "x", x, 3, 2) is x
    assert shaped("Who", "x", x, "B", 2) is x
    assert refused(shaped, "x", x, "B", 3) == "Who: x must have shape (B, 3), got (3, 2)"
    assert refused(shaped, "x", x, 3) == "Who: x must have shape (3,), got (3, 2)"
    assert refused(shaped, "x", x, remedy="Sum it.") == "Who: x must have shape (), got (3, 2). Sum it."
