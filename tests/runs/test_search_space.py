"""Search spaces of a command line: values, ranges of integers and of floats, and what is refused."""

import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.runs.search_space import Range, corners, read_space


def test_ranges_and_values_are_read():
    space = read_space(
        ["method.steps=10..20", "method.ema=none,0.9", "method.lr=1e-4..1e-2:log", "a.b=.5..2"]
    )
    assert space == {
        "method.steps": Range(10, 20),
        "method.ema": [None, 0.9],
        "method.lr": Range(1e-4, 1e-2, log=True),
        "a.b": Range(0.5, 2.0),
    }
    assert list(space) == ["method.steps", "method.ema", "method.lr", "a.b"]
    assert (space["method.steps"].is_integer, space["a.b"].is_integer) == (True, False)
    for bad in (["a=2..1"], ["a=0..1:log"], ["a=1..2", "a=1,2"], []):
        with pytest.raises(InvalidInputError, match="--over"):
            read_space(bad)


def test_corners_hold_every_value_and_both_bounds():
    space = {"a": [1, 2, 3], "b": Range(0.5, 2.0)}
    assert list(corners(space)) == [{"a": 1, "b": 0.5}, {"a": 2, "b": 2.0}, {"a": 3, "b": 2.0}]
