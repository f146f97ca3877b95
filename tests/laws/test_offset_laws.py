"""Samples of data far from zero keep the digits of the data: they are those of the same data at 0, moved.

Single precision has steps of 1/8 at 2^20, so that a model that decodes in it is off by up to 1/16 there.
"""

from typing import Any

import pytest
import torch

from interpolants.framework.method import Method
from laws.asking import plain
from laws.instances import instance, method_cards

OFFSET = 2.0**20
# Median difference in standard deviations: training in single precision amplifies the rounding of the units.
MOST = 2e-3


def is_sampled(card: Any) -> bool:
    """Whether a method is fitted to rows x1, and to nothing but a start and a model, and draws others like them."""
    one = instance(card)
    kinds = {role.name: role.kind for role in one.method.roles() if role.name in one.task.train}
    able = "sample" in one.method.capabilities() and not one.method.cannot("sample")
    return able and kinds.get("x1") == "rows" and kinds.keys() <= {"x0", "x1", "model"}


CARDS = [card for card in method_cards() if is_sampled(card)]


def moved(values: dict[str, Any], offset: float) -> dict[str, Any]:
    """Rows in double precision, moved by an offset; a fitted model is fitted anew to them."""
    rows = {name: plain(value).double() + offset for name, value in values.items() if name != "model"}
    models = {name: value.clone().fit(x1=rows["x1"]) for name, value in values.items() if name == "model"}
    return {**rows, **models}


def difference(method: Method, values: dict[str, Any]) -> float:
    """Median difference, in standard deviations, of samples at 0 and of those at the offset that are moved back."""
    drawn = []
    for offset in (0.0, OFFSET):
        fitted = method.clone().fit_roles(moved(values, offset))
        drawn.append(torch.as_tensor(plain(fitted.sample(50, seed=3))).double() - offset)
    return float((drawn[0] - drawn[1]).abs().median() / drawn[0].std())


@pytest.mark.parametrize(
    "card", [card for card in CARDS if not card.entry.startswith("rooms.")], ids=lambda card: card.id
)
def test_samples_keep_the_digits_of_data_far_from_zero(card):
    one = instance(card)
    found = difference(one.method, one.task.for_fit(one.method))
    assert found < MOST, f"samples at 2^20 are off by {found:.2g} standard deviations"


def test_a_method_that_decodes_in_single_precision_is_seen():
    (card,) = (card for card in CARDS if card.id == "players")
    one = instance(card)
    assert difference(one.method, one.task.for_fit(one.method)) > 10 * MOST
