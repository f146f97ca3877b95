"""Defaults of cards: those of the folder, and those derived from the name and position of the file.

A folder may hold ``_defaults.toml``: keys of cards, and tables by kind that hold only for cards of that kind. The
nearest folder wins, and what a card says itself wins over all. By convention

- ``id`` is the name of the file, and ``entry`` the module of that name next to it, with a member named after the id: by
  the key ``name`` of the defaults, ``{Id}`` for CamelCase, ``{id}`` unchanged, ``load_{id}``. ``entry = "other"`` names
  another module, ``entry = ":Other"`` another member, ``entry = "other:Other"`` both; with dots it is a full one;
- ``test`` is ``tests/<folder>/test_<module>.py``. With ``answer`` it stands for the table ``[proof]``.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from interpolants.foundations.errors import invalid

SUFFIX = ".card.toml"
DEFAULTS = "_defaults.toml"
# Keys that a folder may give; the others say what one member is.
_GIVEN = ("kind", "family", "ring", "status", "extra", "sources", "name")


@dataclass(frozen=True)
class CardFile:
    """A card that is not read yet.

    Args:
        file: What holds its TOML.
        package: Package whose folders are searched.
        place: Path below the package, with slashes.
        above: Defaults of its folders, outermost first.
    """

    file: Traversable
    package: str
    place: str
    above: tuple[Mapping[str, Any], ...]

    def fill(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """The whole card, of which ``table`` is what the file says."""
        return filled(table, self.place, self.package, self.above)


def card_files(package: str) -> Iterator[CardFile]:
    """Every card of a package, in the order of names.

    Raises:
        InvalidInputError: If defaults of a folder are not TOML, or contain a forbidden key.
    """
    return _below(files(package), package, "", ())


def _below(
    folder: Traversable, package: str, place: str, above: tuple[Mapping[str, Any], ...]
) -> Iterator[CardFile]:
    own = folder.joinpath(DEFAULTS)
    if own.is_file():
        above = (*above, _defaults(own, f"{place}{DEFAULTS}"))
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _below(item, package, f"{place}{item.name}/", above)
        elif item.name.endswith(SUFFIX):
            yield CardFile(item, package, f"{place}{item.name}", above)


def filled(
    table: Mapping[str, Any], place: str, package: str, above: tuple[Mapping[str, Any], ...]
) -> dict[str, Any]:
    """Return the card with all defaults filled in.

    Args:
        table: What its file says.
        place: Its path below the package, with slashes.
        package: Name of the package.
        above: Defaults of its folders, outermost first.
    """
    *folders, file = place.split("/")
    said = {"id": file.removesuffix(SUFFIX), **table}
    kind = said.get("kind", next((one["kind"] for one in reversed(above) if "kind" in one), None))
    given: dict[str, Any] = {}
    for one in above:
        for key, value in one.items():
            if not isinstance(value, dict):
                given[key] = value
            elif key == kind:
                given |= value
    name = given.pop("name", "{Id}")
    full = {**given, **({} if kind is None else {"kind": kind}), **said}
    full["entry"] = _entry(str(table.get("entry", "")), str(full["id"]), name, ".".join((package, *folders)))
    if "answer" in full:
        module = full["entry"].partition(":")[0].rpartition(".")[2]
        test = full.pop("test", "") or "/".join(("tests", *folders, f"test_{module}.py"))
        full["proof"] = {"test": test, "answer": full.pop("answer")}
    return full


def _entry(said: str, member: str, name: str, folder: str) -> str:
    module, colon, attribute = said.partition(":")
    if (
        "." in module and not colon
    ):  # neither a module beside the card nor a full entry: refused with the others
        return said
    attribute = attribute or name.format(
        id=member, Id="".join(part.capitalize() for part in member.split("_"))
    )
    module = module or member
    return f"{module if '.' in module else f'{folder}.{module}'}:{attribute}"


def _defaults(file: Traversable, place: str) -> Mapping[str, Any]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise invalid(place, "must be valid TOML", str(error), "Correct that line.") from error
    for name, value in table.items():
        inner = value if isinstance(value, dict) else {name: value}
        for key in inner:
            if key not in _GIVEN:
                raise invalid(place, f"defaults may hold {', '.join(_GIVEN)}", repr(key))
    return table
