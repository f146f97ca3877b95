"""Each law of methods is seen red: `check_method` finds the fault of a method that somebody else's package brings."""

import dataclasses
import importlib
import sys
from pathlib import Path
from unittest import SkipTest

import pytest

from interpolants.foundations import cards
from interpolants.foundations.errors import InvalidInputError
from interpolants.testing import METHOD_CHECKS, Trial, check_method
from laws import faulty_methods
from plugins import card, write_distribution

# Method -> the law that must find its fault.
FAULTS = [
    ("GlobalDice", "fitted_twice_the_same_bits"),
    ("Clock", "fitted_twice_the_same_bits"),
    ("LostAttribute", "fitted_twice_the_same_bits"),
    ("Remembers", "fitted_twice_the_same_bits"),
    ("Forgetful", "saved_and_loaded_the_same_answers_from_plain_files"),
    ("Dice", "saved_and_loaded_the_same_answers_from_plain_files"),
    ("WritesText", "saved_and_loaded_the_same_answers_from_plain_files"),
    ("HoldsScheme", "its_files_name_members_of_declared_kinds_alone"),
    ("ArrivesEmpty", "pickled_for_another_process_the_same_answers"),
    ("LearnsInPlace", "a_refused_or_stopped_fit_changes_nothing"),
    ("Swallows", "a_misspelt_name_is_answered_with_the_nearest"),
    ("SwallowsArguments", "a_misspelt_name_is_answered_with_the_nearest"),
    ("ChangesData", "a_fit_leaves_the_data_alone"),
    ("ChangesQuery", "a_fit_leaves_the_data_alone"),
    ("LearnsWhenAsked", "a_fit_leaves_the_data_alone"),
    ("KeepsTheCallersRows", "what_was_learnt_outlives_the_data"),
    ("AnswersWithTheQuery", "an_answer_is_the_callers_own"),
    ("AnswersWithItsState", "an_answer_is_the_callers_own"),
    ("OwnOrder", "its_verbs_take_what_they_take_everywhere"),
    ("NeedsMore", "its_verbs_take_what_they_take_everywhere"),
    ("BadClone", "parameters_round_trip"),
    ("HalfChanged", "parameters_round_trip"),
    ("CostsAFit", "settings_of_answers_keep_what_was_learnt"),
    ("Unordered", "any_container_goes_in_and_comes_out"),
    ("BatchStatistics", "a_row_does_not_feel_its_neighbours"),
    ("ByPosition", "a_row_does_not_feel_its_neighbours"),
    ("HiddenCounter", "stopped_in_any_stage_and_resumed_the_same_bits"),
    ("OwnGenerator", "stopped_in_any_stage_and_resumed_the_same_bits"),
    ("Cadence", "stopped_in_any_stage_and_resumed_the_same_bits"),
    ("LostBatches", "stopped_in_any_stage_and_resumed_the_same_bits"),
    ("NoReason", "what_it_cannot_do_it_says_with_a_reason"),
    ("Dice", "answers_do_not_depend_on_global_settings"),
    ("ByThreads", "answers_depend_on_the_number_of_threads_by_rounding_alone"),
    ("DefaultType", "answers_do_not_depend_on_global_settings"),
    ("DrawsInPassing", "answers_do_not_depend_on_global_settings"),
]
RECIPE = {
    "data": {
        "x": {"problem": "rotating_mixture", "n": 150, "jumps": [0.0], "weights": [1.0]},
        "y": {"follows": "x"},
    },
}


def id_of(name):
    """Of a class that is called so."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """The methods of an installed distribution, by name."""
    place = tmp_path_factory.mktemp("site-packages")
    scopes = 'verbs = ["predict"]\n[scopes]\nrows = "bits"\nresume = "bits"\n[proof]'
    files = {"own.py": Path(faulty_methods.__file__).read_text("utf-8")}
    for name in {"Good"} | {name for name, _ in FAULTS}:
        text = card("method", id_of(name), f"faulty.own:{name}")
        files[f"{id_of(name)}.card.toml"] = text.replace("[proof]", scopes)
    write_distribution(place, "faulty", files)
    sys.path.insert(0, str(place))
    cards.refresh()
    yield vars(importlib.import_module("faulty.own"))
    sys.path.remove(str(place))
    cards.refresh()
    for module in [module for module in sys.modules if module.partition(".")[0] == "faulty"]:
        del sys.modules[module]


def recipe(name):
    """Of one of the methods."""
    return RECIPE | {"method": {"kind": id_of(name)}}


def test_a_good_method_keeps_all_laws(faulty):
    assert check_method(faulty["Good"], recipe("Good")) == {}


@pytest.mark.parametrize(("name", "law"), FAULTS, ids=[f"{name}-{law}" for name, law in FAULTS])
def test_the_fault_is_found_by_name(name, law, faulty):
    with pytest.raises(AssertionError, match=rf"(?m)^{name} breaks \d+ of \d+ laws:(.|\n)*^  {law}: "):
        check_method(faulty[name], recipe(name))


def test_a_law_that_is_exempt_is_not_tried(faulty):
    exempt = {"answers_depend_on_the_number_of_threads_by_rounding_alone": "it counts them"}
    assert check_method(faulty["ByThreads"], recipe("ByThreads"), exempt=exempt) == exempt
    with pytest.raises(
        InvalidInputError, match=r"exempt must be one of .* Did you mean 'parameters_round_trip'"
    ):
        check_method(faulty["Good"], recipe("Good"), exempt={"parameter_round_trip": "misspelt"})


def test_scopes_of_the_card_leave_out_laws(faulty):
    trial = Trial.of(faulty["Good"], recipe("Good"))
    apart = Trial(trial.fresh, dataclasses.replace(trial.scopes, rows="set: rows belong together"))
    law = next(law for law in METHOD_CHECKS if law.__name__ == "a_row_does_not_feel_its_neighbours")
    with pytest.raises(SkipTest, match="rows = set: rows belong together"):
        law(apart)


def test_a_class_without_a_card_and_a_recipe_of_another_method_are_refused(faulty):
    with pytest.raises(InvalidInputError, match="a method must have a card"):
        check_method(faulty_methods.Good, recipe("Good"))
    with pytest.raises(InvalidInputError, match=r"a task with method\.kind = 'good', got one of by_threads"):
        check_method(faulty["Good"], recipe("ByThreads"))


def test_every_law_has_a_fault():
    assert {law.__name__ for law in METHOD_CHECKS} == {law for _, law in FAULTS}
