"""Noise levels as questions name them."""

from collections.abc import Mapping, Sequence
from typing import Any

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid


def check_levels(who: str, levels: Sequence[float | str]) -> Sequence[float | str]:
    """A list of different levels, as it is.

    Raises:
        InvalidInputError: If there is none, one is negative, no number and not ``"auto"``, or two are equal.
    """
    if isinstance(levels, str) or not levels:
        raise invalid(who, "eps must be a list of noise levels", repr(levels), "E.g. [0.0, 0.5].")
    for level in levels:
        if level != "auto":
            number(who, "eps", level, at_least=0, remedy="A number, or 'auto'.")
    if len({level_id(level) for level in levels}) < len(levels):
        raise invalid(who, "noise levels must differ", list(levels))
    return levels


def level_id(eps: float | str) -> str:
    """A level in the names of scores: ``ode``, ``eps_0_5``, ``eps_auto``."""
    if isinstance(eps, str):
        return f"eps_{eps}"
    words = f"{eps:g}".replace(".", "_").replace("-", "m").replace("+", "")
    return f"eps_{words}" if eps else "ode"


def level_name(eps: float | str) -> str:
    """A level for people."""
    if isinstance(eps, str):
        return f"SDE, eps {'chosen' if eps == 'auto' else eps}"
    return f"SDE, eps = {eps:g}" if eps else "ODE"


def level_options(
    eps: float | str, options: Mapping[str, Any] | None, sde: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Options of a verb at a level; those of ``sde`` only where there is noise."""
    return {"eps": eps, **(options or {}), **((sde or {}) if eps else {})}
