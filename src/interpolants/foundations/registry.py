"""Members by kind and id: the cards are the registry, and settings are checked against the signature."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol, runtime_checkable

from interpolants.foundations.card_file import Card
from interpolants.foundations.cards import load_cards
from interpolants.foundations.errors import InterpolantsError, invalid, nearest
from interpolants.foundations.tell import FileWarning, tell

# Settings that may be the bare id of a member of the kind they are named after: envelope = "zero".
_BY_NAME = ("envelope",)
# Kinds of distributions: lists among their settings are tensors.
_DISTRIBUTIONS = ("base", "problem")
# Whether the members that are built are named by a model folder, which may come from a stranger.
_reading_folder: ContextVar[bool] = ContextVar("reading_folder", default=False)


@runtime_checkable
class Described(Protocol):
    """A member that defines its own description, from which an equal one can be rebuilt."""

    def describe(self) -> dict[str, Any]:
        """The JSON-able ``{"kind": id, **settings}``."""
        ...


def _cards() -> tuple[Card, ...]:
    return load_cards()


class _Catalogued:
    """The cards sorted by kind, and imported members: cached while the catalogue is unchanged."""

    def __init__(self) -> None:
        self._cards: tuple[Card, ...] = ()
        self.by_kind: dict[str, tuple[Card, ...]] = {}
        self.members: dict[str, dict[str, Any]] = {}

    def now(self) -> "_Catalogued":
        """Return the current catalogue."""
        cards = _cards()
        if cards is not self._cards:
            self._cards, self.members = cards, {}
            found = dict.fromkeys(card.kind for card in cards)
            self.by_kind = {kind: tuple(card for card in cards if card.kind == kind) for kind in found}
        return self


_catalogued = _Catalogued()


def kinds() -> tuple[str, ...]:
    """All kinds of members, in alphabetic order."""
    return tuple(_catalogued.now().by_kind)


def names(kind: str) -> tuple[str, ...]:
    """Ids of the members of a kind, from their cards.

    Raises:
        InvalidInputError: If no member is of this kind; the nearest is named.
    """
    _check_kind(kind, "names")
    return tuple(card.id for card in _catalogued.now().by_kind[kind])


def stored_kinds() -> frozenset[str]:
    """Kinds of members that model folders may name: those that a setting or a state of a method can hold."""
    return frozenset(card.kind for card in _cards() if card.stored)


@contextmanager
def only_stored_kinds() -> Iterator[None]:
    """Refuse to build members of other kinds than :func:`stored_kinds` within the block.

    A recipe is the user's own and may name any member, e.g. data of a path; a model folder may come from a stranger.
    """
    before = _reading_folder.set(True)
    try:
        yield
    finally:
        _reading_folder.reset(before)


def check_tables(value: Any, key: str = "") -> None:
    """Check that the tables ``{"kind": id, ...}`` inside settings of a folder name members of stored kinds.

    Args:
        value: Settings: plain values, lists, mappings.
        key: Name of the setting.

    Raises:
        InvalidInputError: If one names a member of another kind alone, which a later fit would build.
    """
    if isinstance(value, Mapping):
        name = value.get("kind")
        if isinstance(name, str):
            _check_table(name, key)
        for part, inner in value.items():
            check_tables(inner, str(part))
    elif isinstance(value, list | tuple):
        for inner in value:
            check_tables(inner, key)


def _check_table(name: str, key: str) -> None:
    within, _, bare = name.rpartition("/")
    found = {card.kind for card in _cards() if card.id == bare and within in ("", card.kind)}
    known = {key} if key in found else found
    if known and not known & stored_kinds():
        _refuse_kind(min(known), name)


def _refuse_kind(kind: str, name: str) -> None:
    rule = f"a model folder must name members of the kinds {', '.join(sorted(stored_kinds()))}"
    raise invalid("load", rule, f"{name!r}, of kind {kind!r}")


def members(kind: str) -> dict[str, Any]:
    """The members of a kind by id, imported; one of another distribution that cannot be imported is omitted.

    Raises:
        InvalidInputError: If no member is of this kind.
    """
    _check_kind(kind, "members")
    known = _catalogued.now()
    if kind not in known.members:
        loaded = {card.id: _loaded(card) for card in known.by_kind[kind]}
        known.members[kind] = {name: entry for name, entry in loaded.items() if entry is not None}
    return dict(known.members[kind])


def plain_members(kind: str) -> dict[str, Any]:
    """The members of a kind that can be made without settings, by id, imported."""
    return {name: entry for name, entry in members(kind).items() if not _required(entry)}


@cache
def _loaded(card: Card) -> Any:
    """The member; None, and a warning, if it is another distribution's and its import fails."""
    if card.entry.startswith("interpolants."):
        return card.load_entry()
    try:
        return card.load_entry()
    except Exception as error:  # noqa: BLE001  # whatever the module does when it is imported
        tell(FileWarning, f"{card.kind}/{card.id} is omitted, {type(error).__name__}: {error}")
        return None


@cache
def _required(entry: Any) -> tuple[str, ...]:
    """Names of the settings without a default."""
    varying = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(entry).parameters.values()
    return tuple(p.name for p in parameters if p.default is p.empty and p.kind not in varying)


def find_card(name: str, kind: str | None = None, who: str = "registry") -> Card:
    """The card of a member.

    Args:
        name: Its id, or ``kind/id`` where several kinds have a member of that id.
        kind: Its kind; ``None`` looks among all.
        who: Name of the caller, used in error messages.

    Raises:
        InvalidInputError: If there is none (the nearest is named), or ``kind`` is ``None`` and there are several.
    """
    if kind is not None:
        _check_kind(kind, who)
    within, _, bare = str(name).rpartition("/")
    known = [card for card in _cards() if kind in (None, card.kind)]
    found = [card for card in known if card.id == bare and within in ("", card.kind)]
    if not found:
        rule = f"name must be the id of a registered {kind or 'member'}"
        raise invalid(who, rule, repr(name), nearest(bare, {card.id for card in known}))
    if len(found) > 1:
        remedy = f"Write {' or '.join(repr(f'{card.kind}/{card.id}') for card in found)}."
        raise invalid(who, "the name must belong to one kind", repr(name), remedy)
    return found[0]


def card_of(entry: type) -> Card | None:
    """The card of a class, if it has one."""
    place = f"{entry.__module__}:{entry.__qualname__}"
    return next((card for card in _cards() if card.entry == place), None)


def _check_kind(kind: str, who: str) -> None:
    if kind not in kinds():
        raise invalid(who, "the kind must be that of a member", repr(kind), nearest(kind, kinds()))


def build(kind: str, name: str, /, **settings: Any) -> Any:
    """Make a member by its kind and id, e.g. ``build("path", "linear")``.

    Args:
        kind: One of :func:`kinds`.
        name: The member's id.
        settings: Its arguments; a value that is itself ``{"kind": id, ...}`` is built first, but for networks, and an
            envelope may be an id alone. Where it takes further ones by name, ``**train``, they may come as a table of
            that name too.

    Raises:
        InvalidInputError: If the name or a setting is unknown (the nearest is named), or a setting is refused.
    """
    card = find_card(name, kind, who=kind)
    if _reading_folder.get() and kind not in stored_kinds():
        _refuse_kind(kind, name)
    entry = card.load_entry()
    assert callable(entry)
    parameters = inspect.signature(entry).parameters
    rest = next((name for name, p in parameters.items() if p.kind is p.VAR_KEYWORD), None)
    known = [p for p in parameters if not p.startswith("_") and p != rest]
    if rest is not None and isinstance(settings.get(rest), dict):
        settings |= settings.pop(rest)
    for key in settings:
        if key not in known and rest is None:  # otherwise it is the member's own to refuse
            remedy = nearest(key, known) if known else "It has no settings."
            raise invalid(f"{kind} {name!r}", "every setting must be one it has", repr(key), remedy)
    revived = {key: _revive(key, value) for key, value in settings.items()}
    for key in (key for key in revived if key in parameters):
        check_type(f"{kind} {name!r}", key, parameters[key].annotation, revived[key])
    try:
        return entry(**revived)
    except InterpolantsError:
        raise
    except (TypeError, AttributeError, LookupError, ValueError, RuntimeError, ArithmeticError) as error:
        message = f"{type(error).__name__}: {str(error)[:200]}"
        raise invalid(f"{kind} {name!r}", "settings must fit its signature", message) from error


def describe(member: object, who: str = "describe") -> dict[str, Any]:
    """The JSON-able ``{"kind": id, **settings}`` from which :func:`build` makes an equal member.

    Raises:
        InvalidInputError: If a setting is a function or something else that a file cannot hold.
    """
    if isinstance(member, Described):
        return member.describe()
    card = card_of(type(member))
    if card is None or not dataclasses.is_dataclass(member):
        remedy = "Files hold names and numbers, no code: pass the object again when you load."
        raise invalid(who, "only members with a card can be written to a file", type(member).__name__, remedy)
    settings = {f.name: _plain(getattr(member, f.name), who) for f in dataclasses.fields(member) if f.init}
    return {"kind": _word(card), **settings}


def rebuild(description: dict[str, Any], kind: str | None = None) -> Any:
    """Rebuild a member from the result of :func:`describe`.

    Args:
        description: ``{"kind": id, **settings}``.
        kind: The member's kind; ``None`` takes it from the id, which one kind only may have.
    """
    settings = dict(description)
    card = find_card(settings.pop("kind"), kind)
    if card.kind in _DISTRIBUTIONS:
        settings = {key: _as_tensor(key, value) for key, value in settings.items()}
    return build(card.kind, card.id, **settings)


def _word(card: Card) -> str:
    """The id, or ``kind/id`` where another kind has a member of that id."""
    several = sum(other.id == card.id for other in _cards()) > 1
    return f"{card.kind}/{card.id}" if several else card.id


def _plain(value: Any, who: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    import torch  # here, because commands that only list members should not wait for it

    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [_plain(part, who) for part in value]
    return describe(value, who)


def check_type(who: str, name: str, annotation: Any, value: Any) -> None:
    """Refuse a plain value where only a text, a table or a member can be, by the annotation of a setting.

    Raises:
        InvalidInputError: If it is one.
    """
    allowed = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    wanted = [kind for kind in allowed if kind is not type(None)]
    rule = ""
    if value is None:
        return
    if [typing.get_origin(kind) for kind in wanted] == [Mapping]:
        rule = "" if isinstance(value, Mapping) else "a table"
    elif type(value) not in (bool, int, float, str, list, dict) or not wanted:
        return
    elif wanted == [str]:
        rule = "" if isinstance(value, str) else "a word"
    elif all(isinstance(kind, type) and kind.__module__.startswith("interpolants.") for kind in wanted):
        rule = "" if isinstance(value, dict) and "kind" in value else "a table with its kind"
    if rule:
        raise invalid(who, f"{name} must be {rule}", value)


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _revive(key: str, value: Any) -> Any:
    if key in _BY_NAME and isinstance(value, str):
        return build(key, value)
    if not (isinstance(value, dict) and "kind" in value):
        return value
    # An id that several kinds share belongs to the kind that the setting is named after.
    named = key in kinds() and value["kind"] in names(key)
    kind = key if named else find_card(value["kind"]).kind
    # A network needs the shape of the data, what is fitted to data the data, a sampler of times may need the path:
    # whoever knows it makes the member from its description.
    fitted = "fit" in value and kind != "method"
    timed = kind == "time_sampler" and "path" not in value and _needs_path(value["kind"])
    return value if kind == "net" or fitted or timed else rebuild(value, kind)


def _needs_path(time_sampler: str) -> bool:
    known = inspect.signature(find_card(time_sampler, "time_sampler").load_entry())  # type: ignore[arg-type]
    return "path" in known.parameters


def _as_tensor(key: str, value: Any) -> Any:
    """Lists of numbers among a distribution's settings as tensors; its shape stays a list."""
    import torch

    if isinstance(value, list) and key != "event_shape":
        return torch.tensor(value, dtype=torch.float64)
    return value
