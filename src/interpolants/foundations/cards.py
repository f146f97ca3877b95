"""Cards of all members: one TOML file beside each; the card is the member's registration.

Nothing else lists the members. Whoever wants a list (the command line, the docs, the tests) asks
`load_cards`, which walks the installed package for ``*.card.toml`` and imports no member to do so.
"""

from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from interpolants.foundations.card_file import Card, parse_card
from interpolants.foundations.errors import invalid

SUFFIX = ".card.toml"


def load_cards(package: str = "interpolants") -> tuple[Card, ...]:
    """Read every card in a package, sorted by kind and id.

    Works from a source tree and from a wheel; imports ``package`` itself and none of its modules.

    Args:
        package: Name of an importable package.

    Returns:
        The cards; empty if the package has none.

    Raises:
        InvalidInputError: If a card breaks the format or two cards share kind and id.
    """
    places: dict[tuple[str, str], str] = {}
    cards = []
    for place, file in _card_files(files(package), ""):
        card = parse_card(file.read_text(encoding="utf-8"), place)
        key = (card.kind, card.id)
        if key in places:
            rule = f"id must be unique among its kind, and {places[key]} has it"
            raise invalid(place, rule, f"{card.kind} {card.id!r}", "Rename one of the two.")
        places[key] = place
        cards.append(card)
    return tuple(sorted(cards, key=lambda card: (card.kind, card.id)))


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


def _card_files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _card_files(item, f"{prefix}{item.name}/")
        elif item.name.endswith(SUFFIX):
            yield prefix + item.name, item
