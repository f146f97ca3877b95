"""Kinds of settings and arguments, declared as annotations; their check, help, option and schema follow.

=================================  ================================================================
``Count``, ``Whole``               whole number >= 1, >= 0
``Real``, ``NonNegative``,         finite number, with bounds; others by marks of ``annotated_types``:
``Positive``, ``Share``            ``Annotated[float, annotated_types.Interval(ge=0, lt=1)]``
``bool``                           ``True`` or ``False``, not a word
``Literal["a", "b"]``              one of these
``X | None``                       X, or None
``Literal["auto"] | Positive``     a word, or a number
``tuple[Count, ...]``              several, as a tuple, list, range or array of one axis
``tuple[Share, Share]``            so many
``OneOrEach[Count]``               one for all, or one for each
``Annotated[Any, Check(f)]``       what ``f(who, value)`` makes of it
``Answer[X]``                      X, as a setting of answers: verbs take it as an argument too
=================================  ================================================================

Plain ``int``, ``float``, ``str`` and ``Any``, and unions of these, are not checked here: their class does it.
"""

import functools
import operator
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np
from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen
from torch import Tensor

from interpolants.foundations import checks
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.errors import InvalidInputError, suggestion

T = TypeVar("T")
# (name, value) -> what the value becomes; raises InvalidInputError.
Checker = Callable[[str, Any], Any]


@dataclass(frozen=True, eq=False)
class Check:
    """A check that no annotation can state, such as that of a path by its name, table or object.

    Attributes:
        function: ``function(who, value)``, which returns what the value becomes.
        told: Description of accepted values, for the help.
        schema: What it takes, as JSON schema; empty for anything.
    """

    function: Callable[[str, Any], Any]
    told: str = ""
    schema: Mapping[str, Any] = field(default_factory=dict)

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """The schema, for pydantic."""
        return dict(self.schema)


@dataclass(frozen=True)
class OneOf:
    """One of several values that are known only at the check, such as ids of members; else use ``Literal``."""

    options: Callable[[], Iterable[Any]]

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        """The schema, for pydantic."""
        return {"enum": list(self.options())}


@dataclass(frozen=True)
class Remedy:
    """Remedy for a wrong value, one sentence for the error."""

    text: str


@dataclass(frozen=True)
class Each:
    """Name of one entry of several in errors; else ``every one of lags``."""

    name: str


@dataclass(frozen=True)
class ForAnswers:
    """A setting of answers: no fit depends on it."""


Whole = Annotated[int, Ge(0)]
Count = Annotated[int, Ge(1)]
Real = Annotated[float, Interval()]
NonNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
OneOrEach = Union[T, Annotated[Sequence[T], MinLen(1)]]  # noqa: UP007  # T | ... would not be generic
Answer = Annotated[T, ForAnswers()]


def is_answer(kind: Any) -> bool:
    """Whether a kind is that of a setting of answers."""
    return any(isinstance(mark, ForAnswers) for mark in _marks(kind))


def takes_none(kind: Any) -> bool:
    """Whether None is a value of the kind."""
    return any(m is type(None) or (get_origin(m) is Literal and None in get_args(m)) for m in _members(kind))


def checker(kind: Any, remedy: str = "") -> Checker | None:
    """The check of a kind; None for one that is not declared.

    Args:
        kind: The annotation.
        remedy: What to do about a wrong value; a :class:`Remedy` in the annotation replaces it.
    """
    return _checker(kind, remedy)


@functools.cache
def _checker(kind: Any, remedy: str) -> Checker | None:
    marks, base = _marks(kind), _bare(kind)
    remedy = next((mark.text for mark in marks if isinstance(mark, Remedy)), remedy)
    for mark in marks:
        if isinstance(mark, Check):
            return _by_function(mark.function)
        if isinstance(mark, OneOf):
            return _among(mark.options, remedy)
    if base is bool:
        return _truth
    if get_origin(base) is Literal:
        return _among(functools.partial(get_args, base), remedy)
    if get_origin(base) in (Union, types.UnionType):
        return _union(get_args(base), remedy)
    if get_origin(base) in (tuple, Sequence, list):
        return _several(kind, remedy)
    bounds = bounds_of(kind)
    return functools.partial(_number, base, bounds, remedy) if bounds is not None else None


def bounds_of(kind: Any) -> dict[str, float] | None:
    """Bounds of a number, by the names that :func:`checks.number` gives them; None for what has no marks of bounds."""
    marks = [mark for mark in _marks(kind) if isinstance(mark, Ge | Gt | Le | Lt | Interval)]
    if not marks or _bare(kind) not in (int, float):
        return None
    parts = [part for mark in marks for part in (mark if isinstance(mark, Interval) else (mark,))]
    names = {Ge: ("ge", "at_least"), Gt: ("gt", "above"), Le: ("le", "at_most"), Lt: ("lt", "below")}
    return {names[type(part)][1]: getattr(part, names[type(part)][0]) for part in parts}


def _number(base: type, bounds: Mapping[str, Any], remedy: str, name: str, value: Any) -> Any:
    if base is float:
        return checks.number(who(), name, value, remedy=remedy, **bounds)
    least = bounds.get("at_least", bounds.get("above", -1) + 1)
    most = bounds.get("at_most", bounds["below"] - 1 if "below" in bounds else None)
    return checks.whole(who(), name, value, at_least=least, at_most=most, remedy=remedy)


def _by_function(function: Callable[[str, Any], Any]) -> Checker:
    return lambda name, value: function(who(), value)


def _among(options: Callable[[], Iterable[Any]], remedy: str) -> Checker:
    return lambda name, value: checks.one_of(who(), name, value, tuple(options()), remedy)


def _truth(name: str, value: Any) -> bool:
    """A boolean; a string such as "False" would count as true."""
    if not isinstance(value, bool | np.bool_) and not (type(value) is int and value in (0, 1)):
        raise invalid(f"{name} must be True or False", repr(value))
    return bool(value)


def _union(members: Sequence[Any], remedy: str) -> Checker | None:
    """Several plain values, and optionally one kind of single values, one kind of several, and classes.

    A union is declared if one of its members is: ``bool | str`` has no check, and neither has one with a plain number.
    """
    plain = tuple(value for m in members if get_origin(m) is Literal for value in get_args(m))
    rest = [m for m in members if get_origin(m) is not Literal and m is not type(None)]
    classes = tuple(m for m in rest if isinstance(m, type))
    lists = [m for m in rest if get_origin(_bare(m)) in (tuple, Sequence, list)]
    singles = [m for m in rest if m not in classes and m not in lists]
    single = next((found for m in singles if (found := checker(m, remedy))), None)
    several = next((_several(m, remedy, alone=not singles) for m in lists), None)
    if {int, float, Any} & set(rest) or (single is several is None and not plain):
        return None
    takes_one = single is not None or bool(plain)

    def is_one(value: Any) -> bool:
        """Whether a value is already a member."""
        if value is None and type(None) in members:
            return True
        return checks.is_among(value, plain) or (
            isinstance(value, classes) and (bool in classes or not isinstance(value, bool))
        )

    def check(name: str, value: Any) -> Any:
        if is_one(value):
            return value
        if several is not None and (_holds_several(value) or not takes_one):
            return several(name, value)
        if single is not None and not (plain and isinstance(value, str)):
            return single(name, value)
        raise _no_word(name, value, plain, [*singles, *lists], remedy)

    return check


def _no_word(
    name: str, value: Any, plain: Sequence[Any], beside: Sequence[Any], remedy: str
) -> InvalidInputError:
    """Return the error for a value that is none of the allowed strings and of none of the allowed kinds."""
    named = [one if isinstance(one, str) else repr(one) for one in plain]
    # Several of the same words are no more than these.
    others = [words(m) for m in beside if get_origin(next(iter(get_args(_bare(m))), None)) is not Literal]
    rule = f"{name} must be one of {', '.join(named)}" + "".join(f", or {one}" for one in others if one)
    return invalid(rule, repr(value), remedy or suggestion(str(value), named))


def _several(kind: Any, remedy: str, alone: bool = True) -> Checker | None:
    """Several of one kind, as a tuple.

    Args:
        kind: ``tuple[X, ...]``, ``tuple[X, X]``, ``list[X]`` or ``Sequence[X]``, with marks.
        remedy: What to do about a wrong value.
        alone: Whether several are all that it takes; beside single values each entry goes by the plain name.
    """
    own, marks = get_args(_bare(kind)), _marks(kind)
    one = checker(own[0], remedy)
    if one is None:
        return None
    called = next((mark.name for mark in (*marks, *_marks(own[0])) if isinstance(mark, Each)), "")
    least = next((mark.min_length for mark in marks if isinstance(mark, MinLen)), 0)
    exactly = len(own) if get_origin(_bare(kind)) is tuple and own[-1] is not Ellipsis else None

    def check(name: str, value: Any) -> Any:
        if not _holds_several(value):
            raise invalid(f"{name} must be several, as a list", value, remedy)
        if exactly is not None and len(value) != exactly:
            raise invalid(f"{name} must have {exactly} entries", value, remedy)
        if len(value) < least:
            raise invalid(f"{name} must have at least {least}", value, remedy)
        entry = called or (f"every one of {name}" if alone else name)
        return tuple(one(entry, part) for part in value)

    return check


def _holds_several(value: Any) -> bool:
    return isinstance(value, list | tuple | range) or (
        isinstance(value, np.ndarray | Tensor) and value.ndim == 1
    )


# --- in words ------------------------------------------------------------------------------------------------


def words(kind: Any) -> str:
    """A kind in words, such as ``number >= 0``; empty where there is nothing to say."""
    base = _bare(kind)
    for mark in _marks(kind):
        if isinstance(mark, Check):
            return mark.told
        if isinstance(mark, OneOf):
            return " | ".join(map(_shown, mark.options()))
    if get_origin(base) is Literal:
        return " | ".join(map(_shown, get_args(base)))
    if get_origin(base) in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(filter(None, map(words, get_args(base)))))
    if get_origin(base) in (tuple, Sequence, list):
        inner = words(get_args(base)[0])
        return f"several ({inner})" if inner else "several"
    signs = {"at_least": ">=", "above": ">", "at_most": "<=", "below": "<"}
    name = {int: "whole number", float: "number", bool: "bool", str: "str", type(None): "None"}.get(base, "")
    bounds = " and ".join(f"{signs[k]} {v:g}" for k, v in (bounds_of(kind) or {}).items())
    return f"{name} {bounds}".strip()


def plain(kind: Any) -> Any:
    """A kind without its marks, as signatures show it."""
    base, own = _bare(kind), get_args(_bare(kind))
    parts = tuple(map(plain, own))
    if parts == own:
        return base
    if get_origin(base) in (Union, types.UnionType):
        return functools.reduce(operator.or_, parts)
    return get_origin(base)[parts] if get_origin(base) in (tuple, list, Sequence) else base


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _marks(kind: Any) -> tuple[Any, ...]:
    return tuple(kind.__metadata__) if get_origin(kind) is Annotated else ()


def _bare(kind: Any) -> Any:
    return kind.__origin__ if get_origin(kind) is Annotated else kind


def _members(kind: Any) -> tuple[Any, ...]:
    base = _bare(kind)
    return get_args(base) if get_origin(base) in (Union, types.UnionType) else (kind,)
