"""Checks of arguments (placeholder)."""

import math
from collections.abc import Iterable
from typing import Any

from interpolants.foundations.errors import invalid, nearest


def whole(
    who: str, name: str, value: Any, *, at_least: int = 0, at_most: int | None = None, remedy: str = ""
) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise invalid(who, f"{name} must be an integer >= {at_least}", value, remedy)
    return value


def number(
    who: str,
    name: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    remedy: str = "",
) -> float:
    """A finite number in a range."""
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if (
        not good
        or (above is not None and value <= above)
        or (at_least is not None and value < at_least)
        or (below is not None and value >= below)
        or (at_most is not None and value > at_most)
    ):
        raise invalid(who, f"{name} must be a number in its range", value, remedy)
    return float(value)


def positive(who: str, name: str, value: Any) -> float:
    """A positive number."""
    return number(who, name, value, above=0)


def one_of(who: str, name: str, value: Any, options: Iterable[str]) -> Any:
    """A known word."""
    if value not in list(options):
        raise invalid(who, f"{name} must be known", repr(value), nearest(str(value), options))
    return value
