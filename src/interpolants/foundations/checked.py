"""Dataclasses whose fields are checked by their kinds, as the settings of methods are."""

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from typing import Any, Self

from interpolants.foundations.asked import asking
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.kinds import Checker, checker
from interpolants.foundations.said import PlainSignature, Told


class Checked:
    """A dataclass that declares each field once: its kind as the annotation, and a sentence below it.

    A class with further rules defines ``check_settings``, which is called after all fields were checked.
    """

    __signature__ = PlainSignature()

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        cls.__doc__ = Told(cls.__doc__)  # type: ignore[assignment]

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """Raise an error for an unknown field, with the nearest known one."""
        kind: Any = cls
        known = _arguments_of(kind) if given else None
        if known is not None:
            for name in given:
                if name not in known:
                    remedy = nearest(name, known)
                    raise invalid(cls.__name__, "every argument must be a setting", repr(name), remedy)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        with asking(type(self).__name__):
            kind: Any = type(self)
            for name, check in _checks_of(kind).items():
                object.__setattr__(self, name, check(name, getattr(self, name)))
            self.check_settings()

    def check_settings(self) -> None:
        """Check that the fields are compatible; each field was checked before."""


@functools.cache
def _arguments_of(kind: Any) -> tuple[str, ...] | None:
    """Names of the arguments of a class; None where it takes any, as one that writes its own constructor may."""
    own = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return None if any(p.kind is p.VAR_KEYWORD for p in own) else tuple(p.name for p in own)


@functools.cache
def _checks_of(kind: Any) -> Mapping[str, Checker]:
    """Field -> its check, of those that are arguments and have a declared kind."""
    found = {f.name: checker(f.type) for f in dataclasses.fields(kind) if f.init}
    return {name: check for name, check in found.items() if check is not None}
