"""Checks of arguments that many methods share: each returns the value, or raises with who, rule, value and remedy."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, SupportsFloat, TypeVar

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.asked import asking
from interpolants.foundations.errors import invalid, nearest, suggestion

T = TypeVar("T")


def whole(
    who: str, name: str, value: object, *, at_least: int = 0, at_most: int | None = None, remedy: str = ""
) -> int:
    """A whole number in ``[at_least, at_most]``; NumPy's integers count, ``True`` and 2.0 do not.

    Args:
        who: The public name that checks.
        name: Name of the argument.
        value: The argument.
        at_least: Smallest value allowed.
        at_most: Largest value allowed, None for any.
        remedy: What to do about it, one sentence.

    Raises:
        InvalidInputError: If it is not.
    """
    top = math.inf if at_most is None else at_most
    found = int(value) if is_whole(value) else math.nan  # type: ignore[call-overload]
    if not at_least <= found <= top:
        span = f">= {at_least}" if at_most is None else f"in [{at_least}, {at_most}]"
        raise invalid(who, f"{name} must be a whole number {span}", value, remedy)
    return int(found)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number: one of Python or NumPy; ``True`` and 2.0 are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def number(
    who: str,
    name: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    remedy: str = "",
) -> float:
    """A finite number within bounds; ``True`` and strings are none. A tensor of one number is.

    Args:
        who: The public name that checks.
        name: Name of the argument.
        value: The argument.
        above: Bound from below that is not allowed itself.
        at_least: Smallest value allowed.
        below: Bound from above that is not allowed itself.
        at_most: Largest value allowed.
        remedy: What to do about it, one sentence.

    Raises:
        InvalidInputError: If it is not.
    """
    found = _real(value)
    inside = (above is None or found > above) and (at_least is None or found >= at_least)
    inside = inside and (below is None or found < below) and (at_most is None or found <= at_most)
    if not (math.isfinite(found) and inside):
        raise invalid(who, f"{name} must {_span(above, at_least, below, at_most)}", value, remedy)
    return found


def positive(who: str, name: str, value: object, remedy: str = "") -> float:
    """A finite number > 0: :func:`number` with ``above=0``."""
    return number(who, name, value, above=0, remedy=remedy)


def _real(value: object) -> float:
    """Return the value as a float, nan if it is not a number."""
    if isinstance(value, bool | np.bool_):
        return math.nan
    # Python's own first: asking the protocol takes ten times as long.
    if not isinstance(value, float | int) and not isinstance(value, SupportsFloat):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # an array or a tensor of several numbers
        return math.nan


def _span(above: float | None, at_least: float | None, below: float | None, at_most: float | None) -> str:
    low, high = above if at_least is None else at_least, below if at_most is None else at_most
    if low is not None and high is not None:
        return f"lie in {'[' if above is None else '('}{low:g}, {high:g}{']' if below is None else ')'}"
    bounds = [
        f" and {sign} {bound:g}"
        for sign, bound in ((">", above), (">=", at_least), ("<", below), ("<=", at_most))
        if bound is not None
    ]
    return "be finite" + "".join(bounds)


def one_of(who: str, name: str, value: T, options: Iterable[T], remedy: str = "") -> T:
    """One of a few known values, such as the name of a mode.

    Args:
        who: The public name that checks.
        name: Name of the argument.
        value: The argument.
        options: The values allowed.
        remedy: What to do about it; without it the error names the closest option.

    Raises:
        InvalidInputError: If it is not one of them.
    """
    known = tuple(options)
    if not is_among(value, known):
        names = [option if isinstance(option, str) else repr(option) for option in known]
        rule = f"{name} must be one of {', '.join(names)}"
        raise invalid(who, rule, repr(value), remedy or suggestion(str(value), names))
    return value


def is_among(value: object, options: Iterable[object]) -> bool:
    """Whether a value is one of some plain ones; arrays and tensors, which compare elementwise, never are.

    ``True`` is not 1 here, and ``False`` not 0.
    """
    if isinstance(value, np.ndarray | Tensor):
        return False
    truths, known = bool | np.bool_, tuple(options)
    return value in (
        [one for one in known if isinstance(one, truths)] if isinstance(value, truths) else known
    )


def changed(who: str, settings: T, changes: Mapping[str, Any]) -> T:
    """A dataclass of settings with some that differ.

    Raises:
        InvalidInputError: If there is no setting of such a name; the nearest is named.
    """
    if not changes:
        return settings
    known = [field.name for field in fields(settings) if field.init]  # type: ignore[arg-type]
    for name in changes:
        if name not in known:
            raise invalid(who, "the argument must be one of the settings", repr(name), nearest(name, known))
    with asking(who):
        return replace(settings, **changes)  # type: ignore[type-var]


def finite(who: str, name: str, x: Tensor, remedy: str = "") -> Tensor:
    """A tensor without NaN and infinity.

    Args:
        who: The public name that checks.
        name: Name of the argument.
        x: Tensor of any shape.
        remedy: What to do about it, one sentence.

    Raises:
        InvalidInputError: If it has one.
    """
    if x.layout != torch.strided:
        raise invalid(who, f"{name} must be dense", str(x.layout), "Call .to_dense() on it.")
    if not bool(torch.isfinite(x).all()):
        raise invalid(who, f"{name} must be finite", "nan or inf", remedy)
    return x


def floating(who: str, name: str, x: Tensor, remedy: str = "Convert it on purpose: x.float().") -> Tensor:
    """A tensor of a floating type: answers have the type of ``x``, and integers would truncate them.

    Args:
        who: The public name that checks.
        name: Name of the argument.
        x: Tensor of any shape.
        remedy: What to do about it, one sentence.

    Raises:
        InvalidInputError: If it holds integers, booleans or complex numbers.
    """
    if not isinstance(x, Tensor):
        raise invalid(who, f"{name} must be a tensor", type(x).__name__, "Make one: torch.as_tensor(x).")
    if x.layout != torch.strided:
        raise invalid(who, f"{name} must be dense", str(x.layout), "Call .to_dense() on it.")
    if not x.is_floating_point():
        raise invalid(who, f"{name} must be floating point", str(x.dtype), remedy)
    return x


def shaped(who: str, name: str, x: Tensor, *shape: int | str, remedy: str = "") -> Tensor:
    """A tensor of a given shape, where a letter stands for any size.

    Args:
        who: The public name that checks.
        name: Name of the argument.
        x: Tensor.
        shape: Sizes, and letters for those that are free, e.g. ``"B", 2``.
        remedy: What to do about it, one sentence.

    Raises:
        InvalidInputError: If it has another shape.
    """
    same = len(shape) == x.ndim and all(
        isinstance(want, str) or want == size for want, size in zip(shape, x.shape, strict=True)
    )
    if not same:
        sizes = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise invalid(who, f"{name} must have shape ({sizes})", tuple(x.shape), remedy)
    return x
