"""Values just outside of declared kinds, from the annotation alone: what the law of declared settings asks with."""

import math
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen

from interpolants.foundations.kinds import Check, OneOf


def wrong(kind: Any) -> list[Any]:
    """Values that a declared kind must refuse; none where a function alone knows."""
    marks, base = _parts(kind)
    if any(isinstance(mark, Check) for mark in marks):
        return []
    if any(isinstance(mark, OneOf) for mark in marks) or get_origin(base) is Literal:
        return ["no_such_word", 12345.5, []]
    if base is bool:
        return ["False", "True", 2, None, 0.5]
    if get_origin(base) in (Union, types.UnionType):
        return _wrong_of_union(get_args(base))
    if get_origin(base) in (tuple, list, Sequence):
        entries = wrong(get_args(base)[0])
        least = any(isinstance(mark, MinLen) for mark in marks)
        exactly = get_origin(base) is tuple and get_args(base)[-1] is not Ellipsis
        found = [[value] for value in entries if value is not None]
        return [
            *(found if entries else ()),
            *([[]] if least or exactly else ()),
            *(["ab", 7] if entries else ()),
        ]
    return _wrong_numbers(base, marks)


def _wrong_of_union(members: tuple[Any, ...]) -> list[Any]:
    """What every member refuses."""
    if any(member in (int, float, Any) for member in members):
        return []
    classes = tuple(member for member in members if isinstance(member, type) and member is not type(None))
    written = [value for m in members if get_origin(m) is Literal for value in get_args(m)]
    declared = [m for m in members if m not in classes and m is not type(None)]
    if not declared or any(isinstance(mark, Check) for m in declared for mark in _parts(m)[0]):
        return []
    tried = [value for m in declared for value in wrong(m)]
    free = [v for v in tried if not isinstance(v, classes) and not (v is None and type(None) in members)]
    several = [m for m in declared if get_origin(_parts(m)[1]) in (tuple, list, Sequence)]
    single = [m for m in declared if m not in several]
    if several and single:  # a single value is of the one kind, several of the other
        alone = [v for m in single for v in wrong(m) if not isinstance(v, list)]
        listed = [v for m in several for v in wrong(m) if isinstance(v, list)]
        free = [v for v in (*alone, *listed) if not (v is None and type(None) in members)]
    numbers = [m for m in single if get_origin(_parts(m)[1]) is not Literal]
    if (
        numbers and written
    ):  # words that are not allowed, and numbers that are neither allowed nor written out
        free = [v for v in free if v != 12345.5]
    return [v for v in free if not (isinstance(v, str | int | float) and v in written)]


def _wrong_numbers(base: Any, marks: Sequence[Any]) -> list[Any]:
    bounds = [p for mark in marks if isinstance(mark, Interval | Ge | Gt | Le | Lt) for p in _single(mark)]
    if base not in (int, float) or not any(isinstance(mark, Interval | Ge | Gt | Le | Lt) for mark in marks):
        return []
    step = 1 if base is int else 1e-3
    outside: list[Any] = []
    for bound in bounds:
        match bound:
            case Ge(ge=value):
                outside.append(base(value) - step)  # type: ignore[operator,arg-type]
            case Gt(gt=value):
                outside.append(base(value))  # type: ignore[arg-type]
            case Le(le=value):
                outside.append(base(value) * 2 if value else step)  # type: ignore[arg-type,operator]
            case Lt(lt=value):
                outside.append(base(value))  # type: ignore[arg-type]
    whole = [2.5] if base is int else [math.inf]
    return [*outside, *whole, "7", True, None, math.nan]


def _single(mark: Any) -> list[Any]:
    return list(mark) if isinstance(mark, Interval) else [mark]


def _parts(kind: Any) -> tuple[tuple[Any, ...], Any]:
    marked = get_origin(kind) is Annotated
    return (tuple(kind.__metadata__), kind.__origin__) if marked else ((), kind)
