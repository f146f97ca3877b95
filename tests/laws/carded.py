"""Bad members for the laws that are tests of their own: a class gets the card of a toy and becomes its instance."""

import dataclasses
import inspect

import pytest

from interpolants.foundations import trees
from interpolants.foundations.cards import load_cards
from interpolants.framework import model_card
from interpolants.framework.task import Task
from interpolants.testing.trial import Instance
from laws import trials
from laws.faulty_methods import Good
from rooms import episodes


@pytest.fixture
def carded(monkeypatch):
    """Gives a class the card of `one_task`, as if it were that member, and makes it the instance of the laws."""

    def give(kind):
        (card,) = (card for card in load_cards("rooms") if card.id == "one_task")
        _, values = episodes.quick_one_task()
        scopes = dataclasses.replace(card.scopes, rows="bits")
        mine = dataclasses.replace(card, entry=f"{kind.__module__}:{kind.__qualname__}", scopes=scopes)
        task = Task.of(Good().roles(), values)
        monkeypatch.setattr(trials, "fresh", lambda card: Instance(kind(), task))
        known = {mine.entry: mine}
        found = trees.card_of

        def card_of(entry):
            return known.get(f"{entry.__module__}:{entry.__qualname__}") or found(entry)

        for module in (trees, model_card):
            monkeypatch.setattr(module, "card_of", card_of)
        loaded = {("one_task", "method"): Carded(kind)}
        find = trees.find_card
        monkeypatch.setattr(
            trees, "find_card", lambda id, sort, who: loaded.get((id, sort)) or find(id, sort, who)
        )
        return mine

    yield give
    trials.trial.cache_clear()


@dataclasses.dataclass(frozen=True)
class Carded:
    """A card as the store reads it."""

    entry: type

    def load_entry(self):
        return self.entry


def arguments(law):
    return inspect.signature(law).parameters


def obey(law, card, tmp_path):
    given = {"card": card, "tmp_path": tmp_path}
    law(**{name: value for name, value in given.items() if name in arguments(law)})
