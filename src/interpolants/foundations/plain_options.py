"""Plain types of options, from annotations: what a command line and a JSON body can hold."""

import inspect
import types
import typing
from typing import Annotated, Any

_PLAIN = (bool, int, float, str)


def is_literal(parameter: inspect.Parameter) -> bool:
    """Whether an argument takes values of several types, so that a word of the command line must be read as one."""
    return parameter.annotation is Any or len(_types_of(parameter.annotation)) > 1


def _types_of(annotation: Any) -> set[type]:
    """Return the types of the literal values in an annotation, and the plain types next to them."""
    if typing.get_origin(annotation) is Annotated:
        return _types_of(typing.get_args(annotation)[0])
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return {type(value) for value in parts if value is not None}
    written = [part for part in parts if typing.get_origin(part) is typing.Literal]
    return set().union(*map(_types_of, parts)) if written else {annotation} & set(_PLAIN)


def plain_kind(annotation: Any) -> Any:
    """The type of a plain option, from its annotation; None for what a command line cannot hold."""
    if typing.get_origin(annotation) is Annotated:
        return plain_kind(typing.get_args(annotation)[0])
    if annotation is Any:
        return str
    if annotation in _PLAIN:
        return annotation
    if types_written := _types_of(annotation):
        return next(iter(types_written)) if len(types_written) == 1 else str
    parts = tuple(map(_unmarked, typing.get_args(annotation)))
    if typing.get_origin(annotation) is tuple:
        return tuple[parts] if all(part in _PLAIN for part in parts) else None  # type: ignore[valid-type]
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return next((kind for kind in parts if kind in _PLAIN), None)
    return None


def _unmarked(annotation: Any) -> Any:
    marked = typing.get_origin(annotation) is Annotated
    return typing.get_args(annotation)[0] if marked else annotation
