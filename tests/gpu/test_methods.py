"""Every method that works on a GPU: fitted and moved there, and fitted there, it answers as on the CPU.

The tolerance is that of float32 in sums of another order; a fit repeats the rounding errors of its steps. A card that
declares a larger one for its rows has it here too.
"""

import pytest
import torch

from gpu.devices import device, pytestmark  # noqa: F401  # the marks of this module
from interpolants.foundations.records import record_of
from interpolants.testing.asking import answers, close
from interpolants.testing.trial import Trial
from laws.instances import instance, method_cards

MOVED, FITTED = 1e-3, 2e-2  # relative to the largest value of an answer


def anywhere(card):
    """Whether a method works on any device."""
    return not card.entry.startswith("rooms.") and not card.load_entry().only_cpu


CARDS = [card for card in method_cards() if anywhere(card)]


def tolerance(card, least):
    declared = card.scopes.rows.rpartition(" ")[2]
    return max(least, float(declared) if declared[:1].isdigit() else 0.0)


def assert_same_answers(card, trial, there, least):
    """All verbs of the method on the device against those of the fitted one; a method that is an answer is asked."""
    here, made, _ = trial.fitted
    expected, found = (_flat(answers(one, made.task, made.probe)) for one in (here, there))
    assert expected.keys() == found.keys()
    for verb, answer in expected.items():
        assert close(found[verb], answer, tolerance(card, least)), verb


def _flat(answers, before=""):
    """Answers by verb; those of a method that is an answer by both verbs."""
    flat = {}
    for verb, answer in answers.items():
        nested = isinstance(answer, dict) and any(map(str.isidentifier, answer)) and record_of(answer) is None
        flat |= _flat(answer, f"{before}{verb}.") if nested else {before + verb: answer}
    return flat


@pytest.fixture(scope="module")
def trials():
    """One trial per method, shared by the tests of this module."""
    return {card.id: Trial(lambda card=card: instance(card), card.scopes) for card in CARDS}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_moved_to_the_device_it_answers_as_on_the_cpu(card, trials):
    trial = trials[card.id]
    with device() as name:
        there = trial.fitted[0].clone().take_over(trial.fitted[0].learnt()).to(name)
        assert there.place == torch.device(name)
        assert_same_answers(card, trial, there, MOVED)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_fitted_on_the_device_it_answers_as_on_the_cpu(card, trials):
    trial = trials[card.id]
    with device() as name:
        there = trial.fit(trial.fresh().method.set_params(device=name))
        assert_same_answers(card, trial, there, FITTED)
