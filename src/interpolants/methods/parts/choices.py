"""Choices by name: the path, the coupling, the quantities to learn, the times and the penalties of a method."""

import inspect
from collections.abc import Mapping
from typing import Any

from interpolants.foundations.cards import load_cards
from interpolants.foundations.checks import one_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.registry import build, names
from interpolants.objectives.losses import has_singular_rate
from interpolants.paths.envelopes import ZeroEnvelope
from interpolants.paths.path import Path


def member(who: str, kind: str, what: Any) -> Any:
    """A member from the id of its card, or from a table ``{"kind": id, **settings}``.

    Args:
        who: Public name for errors.
        kind: Kind of member, e.g. ``"path"``.
        what: The id or the table.

    Raises:
        InvalidInputError: If it is neither, or there is no such member.
    """
    table = {"kind": what} if isinstance(what, str) else what
    if not isinstance(table, Mapping) or "kind" not in table:
        rule = f"{kind} must be a name, a table with a kind, or a {kind}"
        raise invalid(who, rule, repr(what), f"One of: {', '.join(names(kind))}.")
    settings = dict(table)
    return build(kind, one_of(who, kind, settings.pop("kind"), names(kind)), **settings)


def choose_coupling(who: str, coupling: Any) -> Any:
    """A coupling from its id, its table or itself."""
    return member(who, "coupling", coupling) if isinstance(coupling, str | Mapping) else coupling


def flow_path(who: str, path: Any) -> Path:
    """A path whose velocity is finite at both ends; by name alone, without latent noise.

    Args:
        who: Public name for errors.
        path: A ``Path``, the id of a card, or a table ``{"kind": id, **settings}``. A two-sided path that is given
            without an envelope gets ``gamma = 0``: the flow is all that is used, and its velocity is then finite.

    Raises:
        InvalidInputError: If the path is unknown, static, or its velocity is infinite at an end.
    """
    found = path if isinstance(path, Path) else member(who, "path", _without_noise(path))
    if found.is_static:
        raise invalid(who, "the path must move (it is static)", type(found).__name__, "E.g. path='linear'.")
    if has_singular_rate(found):
        remedy = "Take gamma = 0, or an envelope with a finite rate such as 'quadratic'."
        raise invalid(who, "the velocity must be finite at both ends", type(found).__name__, remedy)
    assert isinstance(found, Path)
    return found


def _without_noise(path: Any) -> Any:
    table = {"kind": path} if isinstance(path, str) else path
    if isinstance(table, Mapping) and "envelope" not in table and _takes_envelope(table.get("kind")):
        return {**table, "envelope": ZeroEnvelope()}
    return table


def _takes_envelope(id: Any) -> bool:
    found = [card.load_entry() for card in load_cards() if card.kind == "path" and card.id == id]
    return any("envelope" in inspect.signature(entry).parameters for entry in found if callable(entry))


__all__ = ["choose_coupling", "flow_path", "member"]
