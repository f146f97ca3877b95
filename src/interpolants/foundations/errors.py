"""Error classes, and the composition of messages: who, rule, value, remedy."""

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from interpolants.foundations.renamed import renamed_to

# Entries of a list, levels of its nesting and characters of a value that a message shows.
_ENTRIES, _LEVELS, _CHARACTERS = 100, 20, 2000


class InterpolantsError(Exception):
    """Base of every error this library raises on purpose; the command line shows it without a traceback."""


class InvalidInputError(InterpolantsError, ValueError):
    """An argument, a file or a setting breaks a rule."""


class NotIdentifiableError(InvalidInputError):
    """Raised when the given fields do not determine the requested one."""


class MissingExtraError(InterpolantsError, ImportError):
    """An optional dependency is needed and not installed."""


class DivergedError(InterpolantsError, ArithmeticError):
    """Raised when a computation becomes NaN or infinite, or does not reach its tolerance."""


def invalid(who: str, rule: str, got: object, remedy: str = "") -> InvalidInputError:
    """Compose the error for a broken rule; the caller raises it.

    Args:
        who: The public name that checked, e.g. ``"BrownianEnvelope"``.
        rule: Rule that the value violates, e.g. ``"scale must be finite and > 0"``.
        got: The offending value; shown with ``repr`` unless it is a string. Of long ones the beginning is shown.
        remedy: What to do about it, one sentence.
    """
    shown = got if isinstance(got, str) else _SHORT.repr(got)
    more = f"... ({len(shown)} characters)" if len(shown) > _CHARACTERS else ""
    message = f"{who}: {rule}, got {shown[:_CHARACTERS]}{more}"
    return InvalidInputError(f"{message}. {remedy}" if remedy else message)


class _Short(reprlib.Repr):
    """``repr`` that stops early: to write thousands of tensors out takes seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = _ENTRIES
        self.maxlevel = _LEVELS
        self.maxstring = self.maxlong = self.maxother = self.maxarray = _CHARACTERS

    def repr_dict(self, x: Mapping[Any, Any], level: int) -> str:
        """In its own order, which that of the standard library gives up."""
        if level <= 0 and x:
            return "{...}"
        parts = [
            f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in islice(x.items(), _ENTRIES)
        ]
        return "{" + ", ".join([*parts, *(["..."] if len(x) > _ENTRIES else [])]) + "}"


_SHORT = _Short()


def nearest(name: str, known: Iterable[str]) -> str:
    """Name the new name of a renamed one, or the closest to a misspelt one, as a sentence for the end of an error."""
    options = sorted(map(str, known))
    return suggestion(name, options) or f"Known: {', '.join(options)}."


def suggestion(name: str, known: Iterable[str]) -> str:
    """As :func:`nearest`, but empty where nothing is close."""
    name, options = str(name), [str(one) for one in known]
    if new := renamed_to(name, options):
        return f"{name!r} was renamed to {new!r}."
    match = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    return f"Did you mean {match[0]!r}?" if match else ""
