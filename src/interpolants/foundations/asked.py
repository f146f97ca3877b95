"""The public name that errors and warnings begin with, such as ``"Bridge.sample"``.

A context variable holds it. It is set where a user's call comes in: when settings are made, when a method is fitted,
and when a capability is called. Elsewhere it is the name of the outermost public function of the library on the stack.
Code below states the error without the name of the caller::

    raise invalid("horizon must be shorter than context", self.horizon)  # SelfGuidedDiffusion.forecast: horizon ...
"""

import sys
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import FrameType

from interpolants.foundations import errors
from interpolants.foundations.errors import InvalidInputError

# Names of the calls at work, the outermost first.
_NAMES: ContextVar[tuple[str, ...]] = ContextVar("names", default=())
# Code that calls for a user: the name is that of what it calls.
_CALLERS = ("interpolants.cli", "interpolants.runs", "interpolants.web", "interpolants.reports", __name__)
_CONSTRUCTORS = ("__init__", "__post_init__", "__new__")


class asking(AbstractContextManager[None]):  # noqa: N801  # reads as a statement: with asking("Bridge.sample"):
    """Set the name for a block: ``with asking("Bridge.sample"): ...``.

    Calls of a class to itself keep the outer name: ``Bridge.fit`` makes a ``Bridge`` and stays ``Bridge.fit``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._token: Token[tuple[str, ...]] | None = None

    def __enter__(self) -> None:
        names = _NAMES.get()
        if not names or _owner(names[-1]) != _owner(self._name):
            self._token = _NAMES.set((*names, self._name))

    def __exit__(self, *how: object) -> None:
        if self._token is not None:
            _NAMES.reset(self._token)


class part(AbstractContextManager[None]):  # noqa: N801
    """Name one part of a call: in ``with part("held"): ...`` the name is ``"Bridge.fit (held)"``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        *outer, last = _NAMES.get() or (_called(),)
        self._token = _NAMES.set((*outer, f"{last} ({self._name})"))

    def __exit__(self, *how: object) -> None:
        _NAMES.reset(self._token)


def who() -> str:
    """The name of the user's call, and of the call inside that is at work: ``"DelayGenerator.fit (in Bridge.fit)"``."""
    names = _NAMES.get()
    if not names:
        return _called()
    return names[0] if len(names) == 1 else f"{names[0]} (in {names[-1]})"


def invalid(rule: str, got: object, remedy: str = "") -> InvalidInputError:
    """The error for a broken rule, which begins with :func:`who`; see :func:`errors.invalid`."""
    return errors.invalid(who(), rule, got, remedy)


def _called() -> str:
    """The outermost public function, method or class of the library on the stack."""
    found = "interpolants"
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module.startswith("interpolants.") and not module.startswith(_CALLERS):
            owner = frame.f_locals.get("self")
            if name in _CONSTRUCTORS and owner is not None:
                found = type(owner).__name__
            elif not name.startswith(("_", "<")):
                found = name if owner is None else f"{type(owner).__name__}.{name}"
        frame = frame.f_back
    return found


def _owner(name: str) -> str:
    return name.partition(".")[0]
