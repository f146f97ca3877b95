"""What every method keeps, each law as far as the method's card declares; the laws are in `interpolants.testing`.

A member supplies no test: its instance is the ``[quick]`` part of its recipe, see ``instances``. Exemptions are skips
with the reason, and a test prints them.
"""

import pytest
import torch

from interpolants.foundations.shared_memory import arrays_in
from interpolants.framework import stored
from interpolants.testing.method_laws import (
    METHOD_CHECKS,
    a_row_does_not_feel_its_neighbours,
    answers_depend_on_the_number_of_threads_by_rounding_alone,
    any_container_goes_in_and_comes_out,
    exemption,
    stopped_in_any_stage_and_resumed_the_same_bits,
)
from interpolants.testing.stored_members import kinds_in
from laws.instances import method_cards
from laws.newcomer import Newcomer
from laws.trials import fitted, trial

pytestmark = pytest.mark.usefixtures("rooms")

METHODS = method_cards()
SLOW = (answers_depend_on_the_number_of_threads_by_rounding_alone,)
LAWS = [
    pytest.param(law, id=law.__name__, marks=[pytest.mark.slow] if law in SLOW else [])
    for law in METHOD_CHECKS
]


@pytest.mark.parametrize("card", METHODS, ids=lambda card: card.id)
@pytest.mark.parametrize("law", LAWS)
def test_every_method_keeps(law, card):
    law(trial(card))


def test_kinds_that_files_name_are_shown(capsys):
    found: dict[str, list[str]] = {}
    for card in METHODS:
        for kind in kinds_in(stored.pack(fitted(card)[0], {})):
            found.setdefault(kind, []).append(card.id)
    with capsys.disabled():
        print(f"\nkinds in files: {', '.join(f'{kind} {len(ids)}' for kind, ids in sorted(found.items()))}")
    assert {"base", "coupling", "envelope", "method", "net", "operator", "path", "problem"} <= set(found)


@pytest.fixture(scope="module")
def newcomer():
    made = Newcomer()
    yield made
    made.close()


# Not a law that bad members are tried against: members of the rooms, which no other process knows, show it red.
@pytest.mark.slow
@pytest.mark.parametrize("member", METHODS, ids=lambda card: card.id)
def test_a_process_that_has_seen_nothing_of_the_library_loads_it(member, newcomer, tmp_path):
    method = fitted(member)[0]
    said = newcomer.loads(method.save(tmp_path / "model"))
    if member.entry.startswith("rooms."):
        assert said.startswith("InvalidInputError")
    else:
        assert said == type(method).__name__


@pytest.mark.parametrize("card", METHODS, ids=lambda card: card.id)
def test_what_was_learnt_lies_in_memory_as_files_hold_it(card):
    """Else a stored model can give other last bits than the fitted one: products of matrices round by layout."""
    learnt = fitted(card)[0].learnt()
    tensors = [x for x in arrays_in((learnt,)) if isinstance(x, torch.Tensor)]
    dense = [x for x in tensors if x.layout == torch.strided and not isinstance(x, torch.nn.Parameter)]
    assert [tuple(x.stride()) for x in dense if not x.is_contiguous()] == []


def test_exemptions_are_few_and_shown(capsys):
    laws = (
        a_row_does_not_feel_its_neighbours,
        stopped_in_any_stage_and_resumed_the_same_bits,
        any_container_goes_in_and_comes_out,
    )
    found = {
        f"{card.id}, {law.__name__}": reason
        for card in METHODS
        for law in laws
        if (reason := exemption(law, trial(card)))
    }
    with capsys.disabled():
        print(f"\n{len(found)} exemptions of {3 * len(METHODS)}:")
        for what, reason in found.items():
            print(f"  {what}: {reason}")
    assert all(len(reason) > 8 for reason in found.values())
    assert len(found) <= 0.385 * 3 * len(METHODS)  # a share that may only shrink
