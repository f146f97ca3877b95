"""Format of a card, the TOML file next to a member: its content, and the checks of all keys and values."""

import importlib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import Any

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.rings import RINGS

STATUSES = ("trial", "stable", "leaving")

_ID = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
# The keys whose value comes from a short list.
_CHOICES = {"ring": ("core", *RINGS), "status": STATUSES}
# The keys that may be empty: a member without an extra, without a source.
_MAY_BE_EMPTY = {"extra", "sources"}
# The keys that may be missing.
_OPTIONAL = {"also", "recipe", "scopes", "stored", "two_sample", "verb_help", "verbs"}
# The keys that are lists of words.
_LISTS = {
    "also": "a list of other names",
    "sources": "a list of bibliography keys",
    "verbs": "a list of verbs",
}
# The kinds of members whose cards must declare their scopes.
_SCOPED_KINDS = {"method"}
_SCOPE_FORMS = {
    "rows": (
        re.compile(r"bits|blocks|tolerance [0-9.]+(e-?[0-9]+)?|(set|none): \S.*"),
        "bits | blocks | tolerance 1e-6 | set: why | none: why",
    ),
    "resume": (
        re.compile(r"bits|boundary|(boundary|none): \S.*"),
        "bits | boundary | boundary: why | none: why",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Evidence that a method is correct.

    Args:
        test: Path of the test file, from the root of the repository.
        answer: The known answer that the test compares with, in one line.
    """

    test: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Scopes:
    """Scopes of two guarantees of a member.

    Args:
        rows: How an answer for one row depends on the other rows: ``bits`` (not at all), ``blocks`` (same bits in
            aligned blocks), ``tolerance 1e-6`` (up to that relative error), ``set: why`` (rows belong together) or
            ``none: why``.
        resume: Whether a run that was interrupted and resumed gives the same bits: ``bits`` (always), ``boundary`` or
            ``boundary: why`` (with the same cadence of checkpoints) or ``none: why``.
    """

    rows: str
    resume: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """Metadata of a member, readable without importing it.

    Args:
        id: Name of the member, lower_snake, unique among its kind.
        title: The same for people.
        kind: What sort of member it is, lower_snake, e.g. ``path``: with the id, the key of the registry.
        family: Where it belongs, free text for people, e.g. ``Schrödinger bridges``.
        entry: Where it is, ``"module:name"``.
        ring: ``"core"``, or one of :data:`~interpolants.foundations.rings.RINGS`.
        status: ``"trial"``, ``"stable"`` or ``"leaving"``.
        extra: Optional dependency group that it needs, or ``""``.
        sources: Keys of ``docs/references.bib``.
        shapes: Shapes of input and output.
        cost: How time and memory grow.
        limits: Where it does not hold.
        proof: The test that guards it.
        also: Other names that people know it by, such as that of the paper.
        recipe: Name of the reference recipe; the id, where the card names none.
        verbs: Verbs of a method; each is a command.
        verb_help: Help text of the verbs that this method introduces, by verb; one card has that of each verb.
        two_sample: Name by which questions refer to a metric ``(x, y, generator=) -> Estimate`` that is zero, or
            smallest, if both sets have the same distribution.
        stored: Whether a setting or a state of a method can hold members of this kind, so that model folders may name
            them; one card declares it for its whole kind.
        scopes: How far rows are independent and runs resumable; required of a method.
    """

    id: str
    title: str
    kind: str
    family: str
    entry: str
    ring: str
    status: str
    extra: str
    sources: tuple[str, ...]
    shapes: str
    cost: str
    limits: str
    proof: Proof
    also: tuple[str, ...] = ()
    recipe: str = ""
    verbs: tuple[str, ...] = ()
    verb_help: Mapping[str, str] = field(default_factory=dict, hash=False)
    two_sample: str = ""
    stored: bool = False
    scopes: Scopes | None = None

    def load_entry(self) -> object:
        """Import the method and return it; nothing is imported before this call.

        Raises:
            InvalidInputError: If the module or the name is not there.
        """
        module_name, _, attribute = self.entry.partition(":")
        who = f"Card '{self.kind}/{self.id}'"
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            # Only a missing part of the entry itself is the card's fault; other faults must be seen.
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise invalid(
                who, "entry must name a module that exists", self.entry, "Correct the entry."
            ) from error
        try:
            return reduce(getattr, attribute.split("."), module)
        except AttributeError as error:
            remedy = nearest(attribute, [name for name in vars(module) if not name.startswith("_")])
            raise invalid(who, "entry must name something in its module", self.entry, remedy) from error


_TABLES: dict[str, type[Proof] | type[Scopes]] = {"proof": Proof, "scopes": Scopes}


def parse_card(
    text: str, place: str, fill: Callable[[dict[str, Any]], dict[str, Any]] = lambda table: table
) -> Card:
    """Read and check one card.

    Args:
        text: The TOML.
        place: Where it comes from, for the errors.
        fill: Adds what the card need not say.

    Raises:
        InvalidInputError: If the text is not TOML, a key is unknown or missing, or a value breaks its rule.
    """
    try:
        table = fill(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise invalid(place, "must be valid TOML", str(error), "Correct that line.") from error
    _check_keys(table, Card, place)
    tables = {
        name: _inner(table.pop(name), form, f"{place} [{name}]")
        for name, form in _TABLES.items()
        if name in table
    }
    _check_values(table, place)
    _check_forms(table, place)
    help_of = table.get("verb_help", {})
    if unknown := [verb for verb in help_of if verb not in table.get("verbs", ())]:
        rule = "verb_help must contain verbs of this card"
        raise invalid(place, rule, repr(unknown[0]), nearest(unknown[0], table.get("verbs", ())))
    if "scopes" not in tables and table["kind"] in _SCOPED_KINDS:
        rule = f"a {table['kind']} must declare its scopes"
        raise invalid(place, rule, "none", "Write [scopes] with rows and resume.")
    lists = {name: tuple(table[name]) for name in _LISTS if name in table}
    return Card(**{"recipe": table["id"], **table, **lists, **tables})


def _inner(value: object, form: type[Proof] | type[Scopes], place: str) -> Proof | Scopes:
    """A table inside a card."""
    if not isinstance(value, dict):
        name = form.__name__.lower()
        keys = " and ".join(field.name for field in fields(form))
        raise invalid(place, f"{name} must be a table", value, f"Write [{name}] with {keys}.")
    _check_keys(value, form, place)
    _check_values(value, place)
    if form is Scopes:
        _check_scopes(value, place)
    return form(**value)


def _check_keys(
    table: Mapping[str, object], form: type[Card] | type[Proof] | type[Scopes], place: str
) -> None:
    known = [field.name for field in fields(form)]
    for name in table:
        if name not in known:
            raise invalid(place, "every key must be one that cards have", repr(name), nearest(name, known))
    missing = [name for name in known if name not in table and name not in _OPTIONAL]
    if missing:
        raise invalid(
            place,
            f"every key but {', '.join(sorted(_OPTIONAL))} is required",
            f"none for {', '.join(missing)}",
            "Copy the nearest neighbour's card.",
        )


def _texts(values: Iterable[object]) -> bool:
    """Return True if all values are strings that are not empty."""
    return all(isinstance(text, str) and text for text in values)


# Keys whose values are not strings: the check of a value, and its description.
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **{
        name: (lambda value: isinstance(value, list) and _texts(value), words)
        for name, words in _LISTS.items()
    },
    "verb_help": (
        lambda value: isinstance(value, dict) and _texts(value.values()),
        "a table of verbs, each with a sentence",
    ),
    "stored": (lambda value: value is True, "true, or omitted"),
}


def _check_values(table: Mapping[str, object], place: str) -> None:
    for name, value in table.items():
        holds, kind = _VALUES.get(name, (lambda value: isinstance(value, str), "a string"))
        if not holds(value):
            raise invalid(place, f"{name} must be {kind}", value)
        if not value and name not in _MAY_BE_EMPTY:
            raise invalid(
                place, f"{name} must not be empty", repr(value), "Fill it in: readers see the card."
            )


def _check_forms(table: Mapping[str, str], place: str) -> None:
    for name, options in _CHOICES.items():
        if table[name] not in options:
            rule = f"{name} must be one of {', '.join(options)}"
            raise invalid(place, rule, repr(table[name]), nearest(table[name], options))
    for name in ("id", "kind"):
        if not _ID.fullmatch(table[name]):
            remedy = "Use lower-case letters, digits and _."
            raise invalid(place, f"{name} must be lower_snake", repr(table[name]), remedy)
    if not _ENTRY.fullmatch(table["entry"]):
        raise invalid(
            place,
            "entry must read module:name",
            repr(table["entry"]),
            "For example, use interpolants.paths.linear:Linear.",
        )


def _check_scopes(scopes: Mapping[str, str], place: str) -> None:
    for name, (form, words) in _SCOPE_FORMS.items():
        if not form.fullmatch(scopes[name]):
            rule = f"{name} must read {words}"
            raise invalid(place, rule, repr(scopes[name]), "A reason follows the colon.")
