"""Cards: one TOML file beside each method; the card is the method's registration.

Nothing else lists the methods. Whoever wants a list (the command line, the docs, the tests) asks
`load_cards`, which walks the installed package for ``*.card.toml`` and imports no method to do so.
"""

import importlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import reduce
from importlib.resources import files
from importlib.resources.abc import Traversable

from interpolants.foundations.errors import invalid, nearest

FAMILIES = (
    "path",
    "envelope",
    "base",
    "basis",
    "coupling",
    "operator",
    "solver",
    "resampler",
    "net",
    "metric",
    "data",
    "problem",
    "objective",
    "field",
    "likelihood",
    "dynamics",
    "keep_schedule",
    "discrete_path",
    "discrete",
    "bridge",
    "guidance",
    "diagnostic",
    "forecast",
    "estimator",
)
RINGS = ("core", "apps", "sciml")
STATUSES = ("trial", "stable", "leaving")
SUFFIX = ".card.toml"

_ID = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
# The keys whose value comes from a short list.
_CHOICES = {"family": FAMILIES, "ring": RINGS, "status": STATUSES}
# The keys that may be empty: a method without an extra, without a source.
_MAY_BE_EMPTY = {"extra", "sources"}


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What shows that a method is right.

    Args:
        test: Path of the test file, from the root of the repository.
        answer: The known answer that the test compares with, in one line.
    """

    test: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """What there is to know about a method before importing it.

    Args:
        id: Name of the method, lower_snake, unique over the project.
        title: The same for people.
        family: What kind of part it is, one of `FAMILIES`.
        entry: Where it is, ``"module:name"``.
        ring: ``"core"``, ``"apps"`` or ``"sciml"``.
        status: ``"trial"``, ``"stable"`` or ``"leaving"``.
        extra: Optional dependency group that it needs, or ``""``.
        sources: Keys of ``docs/references.bib``.
        shapes: Shapes of what goes in and comes out.
        cost: How time and memory grow.
        limits: Where it does not hold.
        proof: The test that guards it.
    """

    id: str
    title: str
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

    def load_entry(self) -> object:
        """Import the method and return it; nothing is imported before this call.

        Raises:
            InvalidInputError: If the module or the name is not there.
        """
        module_name, _, attribute = self.entry.partition(":")
        who = f"Card {self.id!r}"
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


def load_cards(package: str = "interpolants") -> tuple[Card, ...]:
    """Read every card in a package, sorted by family (in the order of `FAMILIES`) and id.

    Works from a source tree and from a wheel; imports ``package`` itself and none of its modules.

    Args:
        package: Name of an importable package.

    Returns:
        The cards; empty if the package has none.

    Raises:
        InvalidInputError: If a card breaks the format or two cards share an id.
    """
    places: dict[str, str] = {}
    cards = []
    for place, file in _card_files(files(package), ""):
        card = parse_card(file.read_text(encoding="utf-8"), place)
        if card.id in places:
            raise invalid(
                place,
                f"id must be unique, and {places[card.id]} has it",
                repr(card.id),
                "Rename one of the two.",
            )
        places[card.id] = place
        cards.append(card)
    return tuple(sorted(cards, key=lambda card: (FAMILIES.index(card.family), card.id)))


def carded(package: str) -> Callable[[str], object]:
    """The ``__getattr__`` of a subpackage: a method with a card beside it is public there under the name of its entry.

    Args:
        package: Name of the subpackage, e.g. ``"interpolants.paths"``.

    Returns:
        A function from a name to the method, which raises ``AttributeError`` for a name that no card has.
    """

    def find(name: str) -> object:
        if not name.startswith("_"):
            for card in load_cards(package.partition(".")[0]):
                module, _, attribute = card.entry.partition(":")
                if attribute == name and module.startswith(f"{package}."):
                    return card.load_entry()
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find


def parse_card(text: str, place: str) -> Card:
    """Read and check one card.

    Args:
        text: The TOML.
        place: Where it comes from, for the errors.

    Raises:
        InvalidInputError: If the text is not TOML, a key is unknown or missing, or a value breaks its rule.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise invalid(place, "must be valid TOML", str(error), "Correct that line.") from error
    _check_keys(table, Card, place)
    proof = table["proof"]
    if not isinstance(proof, dict):
        raise invalid(place, "proof must be a table", proof, "Write [proof] with test and answer.")
    _check_keys(proof, Proof, f"{place} [proof]")
    _check_values({name: value for name, value in table.items() if name != "proof"}, place)
    _check_values(proof, f"{place} [proof]")
    _check_forms(table, place)
    return Card(**(table | {"sources": tuple(table["sources"]), "proof": Proof(**proof)}))


def _card_files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _card_files(item, f"{prefix}{item.name}/")
        elif item.name.endswith(SUFFIX):
            yield prefix + item.name, item


def _check_keys(table: Mapping[str, object], kind: type[Card] | type[Proof], place: str) -> None:
    known = [field.name for field in fields(kind)]
    for name in table:
        if name not in known:
            raise invalid(place, "every key must be one that cards have", repr(name), nearest(name, known))
    missing = [name for name in known if name not in table]
    if missing:
        raise invalid(
            place,
            "every key is required",
            f"none for {', '.join(missing)}",
            "Copy the nearest neighbour's card.",
        )


def _check_values(table: Mapping[str, object], place: str) -> None:
    for name, value in table.items():
        if name == "sources":
            good = isinstance(value, list) and all(isinstance(key, str) and key for key in value)
            kind = "a list of bibliography keys"
        else:
            good, kind = isinstance(value, str), "a string"
        if not good:
            raise invalid(place, f"{name} must be {kind}", value)
        if not value and name not in _MAY_BE_EMPTY:
            raise invalid(
                place, f"{name} must say something", repr(value), "Fill it in: the card is what readers see."
            )


def _check_forms(table: Mapping[str, str], place: str) -> None:
    for name, options in _CHOICES.items():
        if table[name] not in options:
            rule = f"{name} must be one of {', '.join(options)}"
            raise invalid(place, rule, repr(table[name]), nearest(table[name], options))
    if not _ID.fullmatch(table["id"]):
        raise invalid(
            place, "id must be lower_snake", repr(table["id"]), "Use lower-case letters, digits and _."
        )
    if not _ENTRY.fullmatch(table["entry"]):
        raise invalid(
            place,
            "entry must read module:name",
            repr(table["entry"]),
            "E.g. interpolants.paths.linear:Linear.",
        )
