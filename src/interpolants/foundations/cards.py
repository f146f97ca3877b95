"""Cards of all members: one TOML file next to each member, which registers it.

Nothing else lists the members. Whoever wants a list (the command line, the docs, the tests) asks
`load_cards`, which walks the installed packages for ``*.card.toml`` and imports no member to do so.

Another distribution adds members by an entry point that names an importable package with cards in it:

    [project.entry-points."interpolants.cards"]
    my_paths = "my_package.paths"
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from interpolants.foundations.card_defaults import CardFile, card_files
from interpolants.foundations.card_file import Card, parse_card
from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.renamed import RENAMED
from interpolants.foundations.tell import FileWarning, tell

# The group of entry points by which other distributions name packages with cards.
GROUP = "interpolants.cards"
_OWN = "interpolants"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Reason why a package or card of another distribution is skipped.

    Args:
        where: The entry point and its distribution.
        why: What is wrong, in one line.
    """

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """All cards that are installed.

    Args:
        cards: The library's and those of other distributions, sorted by kind and id.
        faults: Cards that could not be read.
        packages: Names of the packages that were searched.
    """

    cards: tuple[Card, ...]
    faults: tuple[Fault, ...]
    packages: tuple[str, ...]


def load_cards(package: str | None = None) -> tuple[Card, ...]:
    """Read every card, sorted by kind and id.

    Works from a source tree and from a wheel; imports the packages themselves and none of their modules.

    Args:
        package: Name of an importable package, to read its cards alone; ``None`` reads those of the library and of
            every distribution that names a package under the entry point ``interpolants.cards``. What is wrong with
            another distribution's cards is a `FileWarning`, shown once, and the cards are omitted.

    Returns:
        The cards; empty if the package has none.

    Raises:
        InvalidInputError: If a card of ``package``, or of the library, breaks the format, or two share kind and id.
    """
    if package is None:
        _warn_of_faults()
        return catalogue().cards
    return _package_cards(package)


@cache
def _package_cards(package: str) -> tuple[Card, ...]:
    places: dict[tuple[str, str], str] = {}
    return _sorted(_read(one, one.place, places) for one in card_files(package))


@cache
def catalogue() -> Catalogue:
    """All cards that are installed, and what is wrong with those of other distributions; without a warning."""
    cards = list(_package_cards(_OWN))
    places = {(card.kind, card.id): _OWN for card in cards}
    faults: list[Fault] = []
    packages = [_OWN]
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.value, point.name)):
        where = _where(point)
        try:
            found = list(card_files(point.value))
        except Exception as error:  # noqa: BLE001  # whatever the package does when it is imported
            faults.append(Fault(where=where, why=f"{type(error).__name__}: {error}"))
            continue
        packages.append(point.value)
        for one in found:
            try:
                cards.append(_read(one, f"{point.value}: {one.place}", places))
            except (InvalidInputError, OSError, UnicodeDecodeError) as error:
                faults.append(Fault(where=where, why=str(error)))
    return Catalogue(cards=_sorted(cards), faults=tuple(faults), packages=tuple(packages))


def refresh() -> None:
    """Look for cards again, e.g. after a distribution was installed in a running session; warnings are repeated."""
    for found in (catalogue, _package_cards, _warn_of_faults):
        found.cache_clear()


def carded(package: str) -> Callable[[str], object]:
    """The ``__getattr__`` of a subpackage: a member with a card is public there under the name of its entry.

    Args:
        package: Name of the subpackage, e.g. ``"interpolants.paths"``.

    Returns:
        A function from a name to the member, which raises ``AttributeError`` for a name that no card has.
    """

    def find(name: str) -> object:
        hint = f"; it was renamed to {RENAMED[name]!r}" if name in RENAMED else ""
        if not name.startswith("_"):
            for card in load_cards(package.partition(".")[0]):
                module, _, attribute = card.entry.partition(":")
                if attribute == name and module.startswith(f"{package}."):
                    return card.load_entry()
                if attribute == name:
                    hint = f"; see {module}"  # it moved, or this is not its package
        raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")

    return find


@cache
def _warn_of_faults() -> None:
    for fault in catalogue().faults:
        tell(FileWarning, f"cards omitted, {fault}")


def _where(point: EntryPoint) -> str:
    name = f"entry point {point.name} = {point.value!r}"
    return name if point.dist is None else f"{name} of {point.dist.name}"


def _read(one: CardFile, place: str, places: dict[tuple[str, str], str]) -> Card:
    """A card from its file; notes its place among those of the cards read before, and refuses a name that is taken."""
    card = parse_card(one.file.read_text(encoding="utf-8"), place, one.fill)
    key = (card.kind, card.id)
    if key in places:
        rule = f"id must be unique among its kind, and {places[key]} has it"
        raise invalid(place, rule, f"{card.kind} {card.id!r}", "Rename one of the two.")
    places[key] = place
    return card


def _sorted(cards: Iterable[Card]) -> tuple[Card, ...]:
    return tuple(sorted(cards, key=lambda card: (card.kind, card.id)))
