"""Rows that a fit both learns from and is judged by."""

from collections.abc import Mapping, Sequence
from typing import Any

from interpolants.foundations.equal_rows import count_shared
from interpolants.foundations.tell import DataWarning, tell
from interpolants.framework.role import Role, kind_of


def held_copies(
    roles: Sequence[Role], data: Mapping[str, Any], held: Mapping[str, Any], who: str
) -> dict[str, list[int]]:
    """Return axis -> number of held-out rows that are copies of training rows, and of held-out rows.

    Rows are copies if they are equal in all roles of their axis. Axes without copies are omitted.

    Args:
        roles: The roles.
        data: Canonical values of the training rows.
        held: Canonical values of held-out rows.
        who: Name of the caller, used in the warning.

    Warns:
        DataWarning: If there are some.
    """
    found: dict[str, list[int]] = {}
    roles = [role for role in roles if role.kind != "weights"]
    for axis in dict.fromkeys(role.axis for role in roles if role.axis and kind_of(role).has_rows):
        names = [role.name for role in roles if role.axis == axis and role.name in data and role.name in held]
        count = count_shared([data[name] for name in names], [held[name] for name in names])
        if not count:
            continue
        rows = len(held[names[0]])
        found[axis] = [count, rows]
        what = f"{count} of {rows} held-out rows of {', '.join(names)} are copies of training rows"
        remedy = "Hold out other rows, or drop the copies"
        tell(DataWarning, f"{who}: {what}, and do not show whether it overfits. {remedy}.")
    return found
