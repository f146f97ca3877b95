"""Transitions of a fixed policy as a table: how states become features, and what is refused."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.foundations.asked import invalid
from interpolants.framework.role import Role

ROLES = (
    Role(name="state", about="States before each step, one row each."),
    Role(name="reward", about="Reward of each step."),
    Role(name="next_state", gaps=True, about="States after each step; of no meaning where done is 1."),
    Role(
        name="done",
        about="1 where the step ended its episode for good, else 0; a cut by a time limit is no end.",
    ),
)


def checked_transitions(data: Mapping[str, Any], given: Mapping[str, Given]) -> dict[str, Tensor]:
    """Rows in double precision: states ``(N, D)``, rewards and ends ``(N,)``.

    Args:
        data: Values by role.
        given: How they came: tables whose columns have the same names are brought into one order.

    Raises:
        InvalidInputError: If widths or some names of columns differ, a state that is needed is missing, rewards or ends
            have several columns, or ends are not 0 or 1.
    """
    found = {name: data[name].flatten(1).double() for name in ("state", "next_state")}
    widths = {name: value.shape[1] for name, value in found.items()}
    if widths["state"] != widths["next_state"]:
        raise invalid("state and next_state must have the same columns", widths)
    found["next_state"] = found["next_state"][:, _places(*(_names(given[name]) for name in found))]
    for name in ("reward", "done"):
        column = data[name].reshape(len(data[name]), -1).double()
        if column.shape[1] != 1:
            raise invalid(f"{name} must have one column", column.shape[1])
        found[name] = column[:, 0]
    done = found["done"]
    if not bool(((done == 0) | (done == 1)).all()):
        other = float(done[(done != 0) & (done != 1)][0])
        raise invalid("done must be 0 or 1", other, "1 where a step ended its episode for good.")
    missing = found["next_state"].isnan().any(1) & (done == 0)
    if bool(missing.any()):
        rule = "next_state must not be NaN where done is 0"
        raise invalid(rule, f"NaN in {int(missing.sum())} rows (row {int(missing.nonzero()[0])} first)")
    return found


def _names(given: Given) -> list[str]:
    """Names of the columns of a table."""
    return [str(name) for name in given.columns] if given.container == "pandas" else []


def _places(names: list[str], after: list[str]) -> list[int] | slice:
    """Where each column of the states is among those of the next states; names of their own go by position.

    Raises:
        InvalidInputError: If some names are the same and others are not.
    """
    if not names or not set(names) & set(after):
        return slice(None)
    if set(names) != set(after):
        rule = "columns of next_state must have the names of those of state, or all other ones"
        remedy = "Name them alike; other names, such as next_x, are taken by position."
        raise invalid(rule, f"{', '.join(names)} and {', '.join(after)}", remedy)
    return [after.index(name) for name in names]


def feature_units(state: Tensor, states: int) -> dict[str, Any]:
    """Mean and spread of the columns; nothing for numbered states."""
    if states:
        numbered(state, states)
        return {"states": states}
    if len(state) < 2:
        raise invalid("state must have at least two rows", len(state))
    spread = state.std(0)
    return {
        "states": 0,
        "mean": state.mean(0),
        "spread": torch.where(spread > 0, spread, torch.ones_like(spread)),
    }


def features(units: Mapping[str, Any], state: Tensor) -> Tensor:
    """Features of states, float64: a 1 at the number of each, or standardised columns."""
    if units["states"]:
        return torch.nn.functional.one_hot(numbered(state, units["states"]), units["states"]).double()
    found: Tensor = (state.double() - units["mean"]) / units["spread"]
    return found


def numbered(state: Tensor, states: int) -> Tensor:
    """Numbers of states, ``(N,)`` whole.

    Raises:
        InvalidInputError: If there is another column, or a value is no number of a state.
    """
    if state.shape[1] != 1:
        raise invalid("numbered states must be one column", state.shape[1], "Use states = 0.")
    column = state[:, 0].double()
    off = (column != column.round()) | (column < 0) | (column >= states)
    if bool(off.any()):
        rule = f"states must be numbers from 0 to {states - 1}"
        raise invalid(rule, float(column[off][0]), "Use states = 0 for measured states.")
    return column.long()
