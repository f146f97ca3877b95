"""Methods by name: the cards are the registry, and settings are checked against the signature."""

import dataclasses
import inspect
from functools import cache
from typing import Any, Protocol, runtime_checkable

import torch

from interpolants.foundations.cards import Card, load_cards
from interpolants.foundations.errors import invalid, nearest

# Settings that may be the bare id of a member of the family they are named after: envelope = "zero".
_BY_NAME = ("envelope",)


# Families of laws: lists among their settings are tensors.
_LAWS = ("base", "problem")


@runtime_checkable
class Described(Protocol):
    """A member that has words of its own, from which an equal one is made."""

    def describe(self) -> dict[str, Any]:
        """The JSON-able ``{"kind": id, **settings}``."""
        ...


@cache
def _cards() -> tuple[Card, ...]:
    return load_cards()


def names(family: str) -> tuple[str, ...]:
    """Ids of a family's members, from their cards."""
    return tuple(card.id for card in _cards() if card.family == family)


def build(family: str, name: str, **settings: Any) -> Any:
    """Make a family's member by its id, e.g. ``build("path", "linear")``.

    Args:
        family: One of the cards' families.
        name: The member's id.
        settings: Its arguments; a value that is itself ``{"kind": id, ...}`` is built first, but for networks, and an
            envelope may be an id alone. Where it takes further ones by name, ``**train``, they may come as a table of
            that name too.

    Raises:
        InvalidInputError: If the name or a setting is unknown (the nearest is named), or a setting is refused.
    """
    members = {card.id: card for card in _cards() if card.family == family}
    if name not in members:
        article = "an" if family[0] in "aeiou" else "a"
        rule = f"there must be {article} {family} of this name"
        raise invalid(family, rule, repr(name), nearest(str(name), members))
    entry = members[name].load_entry()
    assert callable(entry)
    parameters = inspect.signature(entry).parameters
    rest = next((name for name, p in parameters.items() if p.kind is p.VAR_KEYWORD), None)
    known = [p for p in parameters if not p.startswith("_") and p != rest]
    if rest is not None and isinstance(settings.get(rest), dict):
        settings |= settings.pop(rest)
    for key in settings:
        if key not in known and rest is None:  # otherwise it is the member's own to refuse
            remedy = nearest(key, known) if known else "It has no settings."
            raise invalid(f"{family} {name!r}", "every setting must be one it has", repr(key), remedy)
    try:
        return entry(**{key: _revive(key, value) for key, value in settings.items()})
    except TypeError as error:
        raise invalid(f"{family} {name!r}", "settings must fit its signature", str(error)) from error


def describe(member: object, who: str = "describe") -> dict[str, Any]:
    """The JSON-able ``{"kind": id, **settings}`` from which :func:`build` makes an equal member.

    Raises:
        InvalidInputError: If a setting is a function or something else that a file cannot hold.
    """
    if isinstance(member, Described):
        return member.describe()
    entry = f"{type(member).__module__}:{type(member).__qualname__}"
    ids = [card.id for card in _cards() if card.entry == entry]
    if not ids or not dataclasses.is_dataclass(member):
        remedy = "Files hold names and numbers, no code: pass the object again when you load."
        raise invalid(who, "only methods with a card can be written to a file", type(member).__name__, remedy)
    settings = {f.name: _plain(getattr(member, f.name), who) for f in dataclasses.fields(member) if f.init}
    return {"kind": ids[0], **settings}


def family_of(name: str) -> str:
    """The family of a member's id."""
    for card in _cards():
        if card.id == name:
            return card.family
    raise invalid(
        "registry", "there must be a method of this name", repr(name), nearest(name, [c.id for c in _cards()])
    )


def rebuild(description: dict[str, Any], family: str) -> Any:
    """Inverse of :func:`describe`."""
    settings = dict(description)
    kind = settings.pop("kind")
    if family in _LAWS:
        settings = {key: _as_tensor(key, value) for key, value in settings.items()}
    return build(family, kind, **settings)


def _plain(value: Any, who: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(part, who) for part in value]
    return describe(value, who)


def _revive(key: str, value: Any) -> Any:
    if key in _BY_NAME and isinstance(value, str):
        return build(key, value)
    if not (isinstance(value, dict) and "kind" in value):
        return value
    settings = dict(value)
    kind = settings.pop("kind")
    family = family_of(kind)
    if family in _LAWS:
        settings = {key: _as_tensor(key, part) for key, part in settings.items()}
    # A network needs the shape of the data: whoever knows it makes the network from its description.
    return value if family == "net" else build(family, kind, **settings)


def _as_tensor(key: str, value: Any) -> Any:
    """Lists of numbers among a law's settings as tensors; its shape stays a list."""
    if isinstance(value, list) and key != "event_shape":
        return torch.tensor(value, dtype=torch.float64)
    return value
