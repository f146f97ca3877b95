"""Each law of settings is seen red: methods of which one value of a setting is wrong, and the law that must find it."""

import pytest
import torch

from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.framework.capabilities import capability
from laws import test_setting_laws as laws
from laws.carded import carded, obey
from laws.closed_lists import closed_lists
from laws.test_data_laws_can_fail import Standard

__all__ = ["carded"]
pytestmark = pytest.mark.usefixtures("rooms")

SIZES = laws.test_every_value_answers_in_the_size_of_the_data
GUESSES = laws.test_no_value_loses_to_a_guess_that_the_default_does_not_lose_to


class Listed(Standard):
    """Least squares in units of the rows; with either value every law holds."""

    ways = ("plain", "rounded")

    way: str = "plain"

    def check_settings(self):
        one_of("Listed", "way", self.way, self.ways)

    @capability(like="y")
    def predict(self, x):
        return self.changed(super().predict.__wrapped__(self, x))

    def changed(self, y):
        return y if self.way == "plain" else y.round(decimals=3)


class AThousandTimes(Listed):
    """One value forgets the units."""

    def changed(self, y):
        return y if self.way == "plain" else 1000 * y


class OtherSign(Listed):
    """One value answers in the size of the data, and the wrong way round."""

    def changed(self, y):
        return y if self.way == "plain" else 2 * self.state["y"][0] - y


class NoNumbers(Listed):
    def changed(self, y):
        return y if self.way == "plain" else y * torch.nan


class BreaksDown(Listed):
    """One value ends in an error that is no message of the library's."""

    def changed(self, y):
        return y if self.way == "plain" else y.reshape(-1, 7919)


class ListsWhatItRefuses(Listed):
    def check_settings(self):
        super().check_settings()
        one_of("Listed", "way", self.way, ("plain",))


class Told(AThousandTimes):
    """What is refused with a reason is no fault."""

    def check_settings(self):
        super().check_settings()
        if self.way != "plain":
            raise invalid("Listed", "way='rounded' needs rows of whole numbers", self.way, "Take 'plain'.")


FAULTS = [
    (AThousandTimes, SIZES),
    (NoNumbers, SIZES),
    (BreaksDown, SIZES),
    (ListsWhatItRefuses, SIZES),
    (OtherSign, GUESSES),
]


@pytest.fixture
def member(carded):
    """The card of a class, of which nothing is known from another one."""
    yield carded
    for cached in (laws.default, laws.lists, laws.tried):
        cached.cache_clear()


@pytest.mark.parametrize("law", [SIZES, GUESSES], ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", [Listed, Told])
def test_a_good_method_obeys(kind, law, member, tmp_path):
    obey(law, member(kind), tmp_path)


def test_both_values_are_found_and_judged_beside_a_guess(member):
    card = member(Listed)
    assert [(one.name, one.own, one.values) for one in closed_lists(Listed())] == [
        ("way", "plain", ("plain", "rounded"))
    ]
    assert [one.value for one in laws.tried(card)] == ["rounded", "default"]
    assert laws.judged_by_guess(card) == {"predict"}


@pytest.mark.parametrize(("kind", "law"), FAULTS, ids=[kind.__name__ for kind, _ in FAULTS])
def test_the_fault_is_found(kind, law, member, tmp_path):
    card = member(kind)
    with pytest.raises(AssertionError, match="way = 'rounded'"):
        obey(law, card, tmp_path)
