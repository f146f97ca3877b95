"""A generator of vectors as a setting of another method."""

from collections.abc import Mapping
from typing import Any

from interpolants.foundations.errors import invalid
from interpolants.foundations.registry import build
from interpolants.framework.method import Method

FROM_NOISE = {"kind": "bridge", "path": "one_sided_linear"}


def from_noise() -> dict[str, str]:
    """The settings of a bridge that starts from noise, so that it learns from its target alone."""
    return dict(FROM_NOISE)


def vector_generator(who: str, given: Any, *, conditional: bool = False) -> Method:
    """A method that learns from vectors x1 alone and can ``sample``, from itself, its id or a table with settings.

    Args:
        who: Name of the caller, used in error messages.
        given: The method, id or table.
        conditional: Whether it must take a condition beside x1.

    Raises:
        InvalidInputError: If it cannot sample, needs other data, or takes no condition.
    """
    found = given
    if isinstance(given, str | Mapping):
        table = {"kind": given} if isinstance(given, str) else dict(given)
        found = build("method", table.pop("kind"), **table)
    if not isinstance(found, Method) or "sample" not in found.capabilities():
        raise invalid(
            who, "generator must be a method that can sample", repr(given), f"For example, use {FROM_NOISE}."
        )
    roles = {role.name: role for role in found.roles()}
    others = [name for name, role in roles.items() if name != "x1" and not role.optional]
    if "x1" not in roles or others:
        needs = ", ".join(others or roles)
        rule = "generator must learn from vectors x1 alone"
        raise invalid(
            who, rule, f"{type(found).__name__}, which needs {needs}", f"For example, use {FROM_NOISE}."
        )
    if conditional and "cond" not in roles:
        rule = "generator must take a condition"
        raise invalid(
            who, rule, f"{type(found).__name__}, which takes none", f"For example, use {FROM_NOISE}."
        )
    return found
