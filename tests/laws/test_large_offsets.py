"""Samples of float64 rows far from zero keep what float32 would round away: answers are decoded in float64."""

import pytest
import torch

from interpolants.framework.capabilities import capabilities_of
from interpolants.framework.roles import kind_of
from laws.asking import call, inputs
from laws.instances import instance, method_cards

# 2^20 has neighbours in float32 at a distance of 1/8; standard units have about one.
OFFSET = 2.0**20
# Verbs that give states of the data's own space.
VERBS = ("sample", "transport")


def draws_rows(card):
    """Whether it has such a verb, and learns from rows."""
    entry = card.load_entry()
    return any(verb in VERBS for verb in capabilities_of(entry))


CARDS = [card for card in method_cards() if not card.entry.startswith("rooms.") and draws_rows(card)]


def moved(value):
    """Rows as float64, far from zero; the spread stays."""
    wide = isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim > 1
    return value.double() + OFFSET if wide else value


def answers_far_off(card):
    """Answers of a method that was fitted far from zero, by verb."""
    one = instance(card)
    data = one.task.for_fit(one.method)
    rows = {role.name for role in one.method.roles() if role.kind == "rows" and kind_of(role).has_rows}
    if not rows & set(data):
        pytest.skip("it learns from no rows")
    method = one.method.fit_roles({name: moved(x) if name in rows else x for name, x in data.items()})
    for verb, capability in capabilities_of(type(method)).items():
        if verb in VERBS and method.can(verb):
            given = inputs(capability, method, one.task, one.probe)
            given = {name: moved(x) if capability.source(name) in rows else x for name, x in given.items()}
            yield verb, call(method, capability, given)


def single(answer):
    """Whether all numbers far from zero are numbers of float32."""
    x = torch.as_tensor(answer.x if hasattr(answer, "x") else answer)
    assert x.dtype == torch.float64
    far = x[(x.abs() > OFFSET / 2) & x.isfinite()]
    return len(far) > 0 and bool((far.float().double() == far).all())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_samples_far_from_zero_are_no_numbers_of_single_precision(card):
    for verb, answer in answers_far_off(card):
        if isinstance(answer, torch.Tensor) or hasattr(answer, "x"):
            assert not single(answer), verb


def test_the_law_sees_single_precision():
    x = OFFSET + torch.randn(9, 2, dtype=torch.float64)
    assert single(x.float().double())
    assert not single(x)
