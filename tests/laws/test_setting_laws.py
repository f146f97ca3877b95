"""Every value of a setting with a closed list gives answers: of the size of the data, and no worse than a guess.

The lists are read off what refuses a word that cannot be among them, see ``closed_lists``. Each value is fitted on the
small instance of the method, which is far too short to be good: so answers are judged by their size, and beside guesses
that learn nothing only where the default value does not lose to them. A value that is refused, or warned of by the name
of its setting, is told. What is not tried is exempt with a reason, and a test prints how many there are.
"""

import dataclasses
import functools
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from interpolants.foundations.errors import InterpolantsError
from interpolants.framework.capabilities import Capability, leading_arguments
from interpolants.framework.method import Method
from interpolants.framework.roles import count, take
from interpolants.framework.settings import settings_of
from interpolants.testing import Instance, asking
from interpolants.testing.asking import able, call, inputs, plain
from interpolants.training.settings import TrainSettings
from laws import trials
from laws.answer_sizes import Gap, gap, same_answers, size_faults
from laws.closed_lists import ClosedList, closed_lists, with_value
from laws.instances import method_cards

pytestmark = [pytest.mark.usefixtures("rooms"), pytest.mark.slow]

# Of several instances of one method the first: each would try the same values once more.
METHODS = [*{card.entry: card for card in reversed(method_cards())}.values()][::-1]
each = pytest.mark.parametrize("card", METHODS, ids=lambda card: card.id)

# Kinds of members with laws of their own, whatever the method.
OWN_LAWS = {
    "path": "tests/laws/test_path_laws.py and tests/laws/test_truth.py",
    "coupling": "tests/couplings",
    "solver": "tests/solvers",
}
# Kinds of members, and the setting that takes them, that one method is tried with for all.
SHARED = {"time_sampler": "times", "aggregate": "aggregate", "column_transform": "transform"}
TRAINING = "training"
# What takes a minute.
SLOW = {
    "gplearn": "a genetic search: tests/sciml/symbolic",
    "reverberation": "draws rooms first: tests/apps/speech",
    "compile": "compiles for a minute: tests/test_compiled_networks.py",
}
# What answers NaN where there is nothing to say, as the documentation of the setting tells.
NOTHING_TO_SAY = {("head", "squared"): "squared errors have no law, so none of its spread and power"}
# Draws of so few numbers are learnt in a second, by so many steps: enough for most methods to beat a guess.
FEW, LONG = 4, 200
# Rows that verbs with a number of answers are asked with, where they are told some.
MOST = 64


@dataclasses.dataclass
class Tried:
    """One value of a setting: what was said of it, and what is wrong with its answers; without a name the default."""

    setting: str
    value: Any
    outcome: str
    faults: list[str] = dataclasses.field(default_factory=list)
    gaps: dict[str, Gap] = dataclasses.field(default_factory=dict)


def exempt(card: Any, listed: ClosedList, value: Any) -> str:
    """Why a value is not tried; empty where it is."""
    if listed.kind in OWN_LAWS:
        return f"a {listed.kind}: {OWN_LAWS[listed.kind]}"
    if slow := SLOW.get(value if isinstance(value, str) else listed.name):
        return slow
    of = TRAINING if listed.name in TrainSettings.__dataclass_fields__ else listed.kind
    if of in (TRAINING, *SHARED) and card.id != stands_for_all().get(of, card.id):
        return f"{of.replace('_', ' ')}, which all methods share: judged on {stands_for_all()[of]}"
    return ""


@functools.cache
def stands_for_all() -> dict[str, str]:
    """The method that what all methods share is judged on: of those that take it the one that has least to answer."""
    found: dict[str, str] = {}
    library = [card for card in METHODS if not card.entry.startswith("rooms.")]
    for card in sorted(library, key=lambda card: (len(card.verbs), card.id)):
        names = {field.name for field in settings_of(card.load_entry())}
        known = lists(card) if names & {*SHARED.values()} else ()
        takes = {listed.kind for listed in known if SHARED.get(listed.kind) == listed.name}
        for of in takes | ({TRAINING} if {"optimizer", "schedule"} <= names else set()):
            found.setdefault(of, card.id)
    return found


@functools.cache
def default(card: Any) -> tuple[Method, Instance, dict[str, Any]]:
    """The fitted method with the values that the instance has, and its answers."""
    one = trials.fresh(card)
    if "sample" in card.verbs and is_small(one) and one.method.params().get("steps", LONG) < LONG:
        one = dataclasses.replace(one, method=with_value(one.method, "steps", LONG))
        method = one.method.clone().fit_roles(one.task.for_fit(one.method))
    else:
        method, one, _ = trials.fitted(card)
    return method, one, asked(method, one)


def is_small(one: Instance) -> bool:
    """Whether all rows that are learnt from hold few numbers."""
    rows = [plain(one.task.train[role.name]) for role in one.method.roles() if role.name in one.task.train]
    return all(isinstance(x, torch.Tensor) and x.shape[1:].numel() <= FEW for x in rows)


def given_to(ability: Capability, method: Method, one: Instance) -> tuple[dict[str, Any], dict[str, int]]:
    """What a verb is asked with, test rows before made-up ones, and how many answers it is asked for."""
    given = inputs(ability, method, one.task, one.probe)
    if leading_arguments(ability.verb) != ("n",):  # of one block: a second one costs as much
        many = {n for n, value in given.items() if hasattr(value, "__len__") and len(value) == asking.MOST}
        return {n: take(value, slice(MOST)) if n in many else value for n, value in given.items()}, {}
    rows = {
        name: one.task.test[source] for name in given if (source := ability.source(name)) in one.task.test
    }
    most = min([MOST, *(count(value) for value in rows.values())])
    if not rows or rows.keys() < given.keys():
        return given, {}
    return {name: take(value, slice(most)) for name, value in rows.items()}, {"n": most}


def asked(method: Method, one: Instance) -> dict[str, Any]:
    """All answers by verb, but methods that are answers."""
    found = {}
    for ability in able(method):
        given, sized = given_to(ability, method, one)
        answer = call(method, ability, given, **sized)
        if not isinstance(answer, Method):
            found[ability.verb] = plain(answer)
    return found


@functools.cache
def lists(card: Any) -> tuple[ClosedList, ...]:
    """The closed lists of a method."""
    return tuple(closed_lists(trials.fresh(card).method))


@functools.cache
def tried(card: Any) -> tuple[Tried, ...]:
    """All values of all lists of a method that are not exempt, and the default."""
    found = [
        trial(card, listed.name, value)
        for listed in lists(card)
        for value in listed.others
        if not exempt(card, listed, value)
    ]
    if found:
        method, one, answers = default(card)
        found.append(
            Tried("", "default", "answers", judged(card, method, answers), gaps(method, one, answers))
        )
    return tuple(found)


def trial(card: Any, name: str, value: Any) -> Tried:
    """Make, fit and ask with one value."""
    method, one, before = default(card)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            twin = with_value(one.method, name, value)
            if name in type(method).answering:
                twin.take_over(method.learnt())
            else:
                twin.fit_roles(one.task.for_fit(twin))
            answers = asked(twin, one)
        except InterpolantsError as refusal:
            listed = (
                [f"listed, and then {refusal}"]
                if re.search(rf"\b{name} must be one of", str(refusal))
                else []
            )
            return Tried(name, value, f"refused: {refusal}", listed)
        except (RuntimeError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            return Tried(name, value, "fails", [f"{type(error).__name__}: {error}"])
    if told := [str(one.message) for one in said if re.search(rf"\b{name}\b", str(one.message))]:
        return Tried(name, value, f"told: {told[0]}")
    if same_answers(answers, before):
        return Tried(name, value, "changes no answer of the instance")
    faults = judged(card, twin, answers, nothing=(name, value) in NOTHING_TO_SAY)
    return Tried(name, value, "answers", faults, gaps(twin, one, answers))


def judged(card: Any, method: Method, answers: Mapping[str, Any], *, nothing: bool = False) -> list[str]:
    """What is wrong with the size of answers."""
    before = default(card)[2]
    return [
        fault
        for ability in able(method)
        if ability.verb in answers
        for fault in size_faults(
            method, ability, answers[ability.verb], before.get(ability.verb), nothing=nothing
        )
    ]


def gaps(method: Method, one: Instance, answers: Mapping[str, Any]) -> dict[str, Gap]:
    """By verb, how much worse than a guess the answers are."""
    found = {}
    for ability in able(method):
        if ability.verb in answers:
            given, _ = given_to(ability, method, one)
            if (worse := gap(method, ability, one.task, given, answers[ability.verb])) is not None:
                found[ability.verb] = worse
    return found


def judged_by_guess(card: Any) -> set[str]:
    """The verbs of which the default value does not lose to a guess."""
    own = next((one for one in tried(card) if not one.setting), None)
    return {verb for verb, found in own.gaps.items() if not found.surely_worse} if own else set()


# --- the laws ------------------------------------------------------------------------------------------------


@each
def test_every_value_answers_in_the_size_of_the_data(card):
    wrong = [f"{one.setting} = {one.value!r}: {fault}" for one in tried(card) for fault in one.faults]
    assert not wrong, "\n".join(wrong)


@each
def test_no_value_loses_to_a_guess_that_the_default_does_not_lose_to(card):
    wrong = [
        f"{one.setting} = {one.value!r}: {verb} is worse than {found.rival} by {found.worse:.3g} ± {found.error:.2g}"
        for one in tried(card)
        for verb, found in one.gaps.items()
        if found.surely_worse and verb in judged_by_guess(card)
    ]
    assert not wrong, "\n".join(wrong)


def test_what_was_tried_is_shown(capsys):
    found, exemptions, outcomes = 0, Counter[str](), Counter[str]()
    for card in METHODS:
        for listed in lists(card):
            found += len(listed.values)
            exemptions.update(filter(None, (exempt(card, listed, value) for value in listed.others)))
        outcomes.update(one.outcome.partition(":")[0] for one in tried(card) if one.setting)
    by_size = [card.id for card in METHODS if tried(card) and not judged_by_guess(card)]
    by_guess = [f"{card.id} {verb}" for card in METHODS for verb in sorted(judged_by_guess(card))]
    with capsys.disabled():
        print(f"\n{found} values of {sum(len(lists(card)) for card in METHODS)} settings with a closed list")
        print(f"{outcomes.total()} tried: {', '.join(f'{n} {what}' for what, n in outcomes.most_common())}")
        print(f"{exemptions.total()} exempt:")
        for reason, n in exemptions.most_common():
            print(f"  {n}: {reason}")
        print(f"judged beside a guess: {', '.join(by_guess)}")
        print(f"judged by size alone: {', '.join(by_size)}")
    assert outcomes.total() > 200
    assert outcomes["answers"] > 100
    assert len(by_guess) > 8
