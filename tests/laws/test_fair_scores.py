"""Every score of ensembles with a form that does not favour small ones."""

import inspect
import math

import pytest
import torch

from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import InvalidInputError


def has_fair_form(entry):
    named = inspect.signature(entry).parameters if inspect.isfunction(entry) else {}
    return "fair" in named and named["fair"].default is True


SCORES = {
    card.id: card.load_entry()
    for card in load_cards()
    if card.kind == "metric" and has_fair_form(card.load_entry())
}


def test_some_are_found():
    assert {"crps", "energy_score"} < set(SCORES)


@pytest.mark.parametrize("name", SCORES)
def test_the_fair_form_of_a_single_member_is_refused(name, generator):
    """Its spread is unknown: the answer was that of the other form, without a warning."""
    x, y = (torch.rand(shape, generator=generator, dtype=torch.float64) for shape in ((5, 1, 3), (5, 3)))
    x, y = x.round(), y.round()  # 0 and 1 are events too
    with pytest.raises(InvalidInputError, match=f"{name}: the fair form needs at least two members, got 1"):
        SCORES[name](x, y)
    assert math.isfinite(SCORES[name](x, y, fair=False).value)
