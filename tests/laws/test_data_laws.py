"""What every method keeps of its data: numbers in other units are told of.

Exemptions stand here, with the reason; a test prints them and holds their number.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch

from interpolants.foundations.errors import InterpolantsError
from interpolants.framework.far_values import FarValuesWarning, Measured
from interpolants.framework.roles import Role, kind_of
from laws import test_method_laws as laws
from laws.asking import able, call, inputs, plain
from laws.instances import method_cards

pytestmark = pytest.mark.usefixtures("rooms")

METHODS = method_cards()
each = pytest.mark.parametrize("card", METHODS, ids=lambda card: card.id)

# Arguments of verbs whose numbers may be of any size, or of which the fit knows nothing.
ANY_SIZE = {
    ("classical_restoration", "restore", "observed"): "what an operator sees, in units of its own",
    ("mean_field", "predict", "x"): "parameters of a formula; no rows are fitted",
    ("td_agent", "act", "observation"): "the environment's; no rows are fitted",
    ("td_agent", "assess", "x"): "the environment's; no rows are fitted",
    ("gp_solver", "spectrum", "frequencies"): "of a spectral density, which ends nowhere",
    ("spectral_gp", "spectrum", "frequencies"): "of a spectral density, which ends nowhere",
    ("track_extrapolation", "forecast", "context"): "a rule that holds in any unit",
    ("fitted_equations", "identify", "x"): "fitted anew to each trajectory",
}


def changed(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A value of a role with its numbers changed; labels and tokens as they are."""
    if isinstance(value, torch.Tensor):
        return change(value) if value.is_floating_point() else value
    if isinstance(value, list):
        return [changed(part, change) for part in value]
    for name in ("values", "x", "samples"):
        if dataclasses.is_dataclass(value) and isinstance(getattr(value, name, None), torch.Tensor):
            return dataclasses.replace(value, **{name: change(getattr(value, name))})
    array = plain(value)
    return change(array).numpy() if isinstance(array, torch.Tensor) and array.is_floating_point() else value


def measured(role: Role) -> bool:
    """Whether values of a role are numbers in units."""
    return isinstance(kind_of(role), Measured)


def numbered(role: Role) -> bool:
    """Whether values of a role are numbers, be they compared with those of the fit or not."""
    return measured(role) or role.kind == "tracks"


def told_far(ask: Callable[[], Any]) -> list[str]:
    """What is said about values that are far; a refusal counts."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            ask()
        except InterpolantsError as refusal:
            return [str(refusal)]
    return [str(one.message) for one in said if issubclass(one.category, FarValuesWarning)]


@each
def test_numbers_a_thousand_times_too_large_are_told_once(card):
    method, one, _ = laws.fitted(card)
    for ability in able(method):
        given = inputs(ability, method, one.task, one.probe)
        assert not told_far(lambda a=ability, g=given: call(method, a, g)), f"{ability.verb}: a false alarm"
        for role in ability.roles(method):
            if role.name not in given or not numbered(role):
                continue
            far = {**given, role.name: changed(given[role.name], lambda x: 1000 * x)}
            said = told_far(lambda a=ability, g=far: call(method, a, g))
            exempt = (card.id, ability.verb, role.name) in ANY_SIZE
            assert len(said) == (0 if exempt else 1), f"{ability.verb}, {role.name}: {said}"


def test_exemptions_are_few_and_shown(capsys):
    with capsys.disabled():
        print(f"\n{len(ANY_SIZE)} arguments may be of any size:")
        for (method, verb, name), why in ANY_SIZE.items():
            print(f"  {method}.{verb}({name}): {why}")
    assert {method for method, *_ in ANY_SIZE} <= {card.id for card in METHODS}
    assert len(ANY_SIZE) <= 8
