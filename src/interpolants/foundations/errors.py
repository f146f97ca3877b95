"""Error classes, and the composition of messages: who, rule, value, remedy."""

import difflib
from collections.abc import Iterable

from interpolants.foundations.renamed import renamed_to


class InterpolantsError(Exception):
    """Base of every error this library raises on purpose; the command line shows it without a traceback."""


class InvalidInputError(InterpolantsError, ValueError):
    """An argument, a file or a setting breaks a rule."""


class NotIdentifiableError(InvalidInputError):
    """The fields that were given do not determine the one that was asked for."""


class MissingExtraError(InterpolantsError, ImportError):
    """An optional dependency is needed and not installed."""


class DivergedError(InterpolantsError, ArithmeticError):
    """A computation left the finite numbers, or could not reach its tolerance."""


def invalid(who: str, rule: str, got: object, remedy: str = "") -> InvalidInputError:
    """Compose the error for a broken rule; the caller raises it.

    Args:
        who: The public name that checked, e.g. ``"BrownianEnvelope"``.
        rule: What must hold, e.g. ``"scale must be finite and > 0"``.
        got: The offending value; shown with ``repr`` unless it is a string.
        remedy: What to do about it, one sentence.
    """
    shown = got if isinstance(got, str) else repr(got)
    message = f"{who}: {rule}, got {shown}"
    return InvalidInputError(f"{message}. {remedy}" if remedy else message)


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
