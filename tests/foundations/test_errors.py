"""Errors: the form of the message, and what users may catch."""

import pytest
import torch

from interpolants.foundations.errors import (
    DivergedError,
    InterpolantsError,
    InvalidInputError,
    MissingExtraError,
    NotIdentifiableError,
    invalid,
    nearest,
)


def test_the_message_says_who_rule_value_and_remedy():
    error = invalid("Ruler", "length must be > 0", -2.0, "Use metres.")
    assert str(error) == "Ruler: length must be > 0, got -2.0. Use metres."
    assert type(error) is InvalidInputError


def test_without_a_remedy_the_message_ends_with_the_value():
    assert str(invalid("Ruler", "unit must be known", "furlong")) == "Ruler: unit must be known, got furlong"


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (InvalidInputError, ValueError),
        (NotIdentifiableError, ValueError),
        (MissingExtraError, ImportError),
        (DivergedError, ArithmeticError),
    ],
)
def test_every_error_is_ours_and_is_caught_by_the_usual_builtin(kind, builtin):
    assert issubclass(kind, InterpolantsError)
    with pytest.raises(builtin, match="words"):
        raise kind("words")


def test_nearest_offers_the_closest_name_and_lists_all_when_none_is_close():
    assert nearest("lineer", ["linear", "trigonometric"]) == "Did you mean 'linear'?"
    assert nearest("qqq", ["b", "a"]) == "Known: a, b."


def test_nearest_accepts_an_iterator():
    assert nearest("halve", iter(["half", "halves"])) == "Did you mean 'halves'?"


def test_of_long_values_the_beginning_is_shown(monkeypatch):
    """Thousands of tensors would take seconds to write out, and their message megabytes."""
    written = []
    plain = torch.Tensor.__repr__
    monkeypatch.setattr(torch.Tensor, "__repr__", lambda self: written.append(1) or plain(self))
    told = str(invalid("Ruler", "marks must be few", tuple(torch.zeros(50_000)), "Use metres."))
    assert 0 < len(written) < 1000
    assert "got (tensor(0.), tensor(0.), " in told
    assert told.endswith("tensor(0.), ...). Use metres.")
    assert len(told) < 2200
    assert "(5000 characters)" in str(invalid("Ruler", "it must be short", "x" * 5000))
    shown = {"b": [1, 2], "a": {"c": None}}
    assert str(invalid("Ruler", "it must be flat", shown)).endswith(repr(shown))
    assert str(invalid("Ruler", "it must be flat", {})).endswith("got {}")
    assert str(invalid("Ruler", "few", dict.fromkeys(range(200)))).endswith("99: None, ...}")
