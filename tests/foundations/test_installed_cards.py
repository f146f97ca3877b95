"""Cards of other distributions: found by their entry point, and never able to stop the library."""

import sys
import warnings

import pytest

from interpolants.foundations.cards import catalogue, load_cards
from interpolants.foundations.registry import build, kinds, names
from interpolants.foundations.tell import FileWarning
from plugins import card

MEMBER = "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Thirds:\n    size: int = 3\n"


def test_members_of_another_distribution_are_members(install):
    files = {
        "thirds.py": MEMBER,
        "thirds.card.toml": card("toy_fraction", "thirds", "others_a.thirds:Thirds"),
    }
    install("others_a", files)
    assert names("toy_fraction") == ("thirds",)
    assert "toy_fraction" in kinds()
    assert "others_a.thirds" not in sys.modules
    assert build("toy_fraction", "thirds", size=6).size == 6
    assert catalogue().packages == ("interpolants", "others_a")
    assert catalogue().faults == ()
    assert load_cards("interpolants") == tuple(c for c in load_cards() if c.id != "thirds")


def test_a_package_that_cannot_be_imported_is_named_once_and_stops_nothing(install):
    install("others_b", {"__init__.py": "raise RuntimeError('no licence found')\n"})
    with pytest.warns(FileWarning) as told:
        found = load_cards()
    (warning,) = told
    assert "entry point mine = 'others_b' of others_b: RuntimeError: no licence found" in str(warning.message)
    assert found == load_cards("interpolants")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_cards()


def test_a_bad_card_is_left_out_and_its_neighbours_stay(install):
    good = card("toy_fraction", "thirds", "others_c.thirds:Thirds")
    files = {
        "thirds.card.toml": good,
        "deep/fourths.card.toml": good.replace("thirds", "fourths").replace("limits", "limit"),
        "fifths.card.toml": "id = ",
        "linear.card.toml": card("path", "linear", "others_c.thirds:Thirds"),
        "twins.card.toml": good,
    }
    install("others_c", files)
    with pytest.warns(FileWarning):
        assert names("toy_fraction") == ("thirds",)
    told = [str(fault) for fault in catalogue().faults]
    assert len(told) == 4
    for place, why in (
        ("deep/fourths.card.toml", "got 'limit'. Did you mean 'limits'"),
        ("fifths.card.toml", "must be valid TOML"),
        ("linear.card.toml", "id must be unique among its kind, and interpolants has it, got path 'linear'"),
        ("twins.card.toml", "and others_c: thirds.card.toml has it, got toy_fraction 'thirds'"),
    ):
        (fault,) = [text for text in told if f"others_c: {place}" in text and why in text]
        assert fault.startswith("entry point mine = 'others_c' of others_c: ")
    assert build("path", "linear").__class__.__module__ == "interpolants.paths.linear"
