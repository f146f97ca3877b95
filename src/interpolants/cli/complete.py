"""Shell completion of settings, recipes, methods and problems; never raises an error.

A completion runs while somebody types, so it reads cards and the settings' schema and nothing else.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def settings(incomplete: str) -> list[str]:
    """Dotted keys for ``--set``, and after ``=`` the values of a key that has few."""
    key, equals, value = incomplete.partition("=")
    leaves = dict(_leaves())
    if not equals:
        return _starting([f"{name}=" for name in leaves], incomplete)
    return _starting([f"{key}={choice}" for choice in leaves.get(key, [])], f"{key}={value}")


def recipes(incomplete: str) -> list[str]:
    """Recipes by name, the files of ``recipes/``, and those of the folder that is being typed."""
    from interpolants.runs.recipes import recipes

    folder = Path(incomplete).parent if "/" in incomplete else Path()
    found = [
        *recipes(),
        *Path("recipes").glob("*.toml"),
        *folder.glob("*.toml"),
        *folder.glob("*.yaml"),
        *folder.glob("*.json"),
    ]
    return _starting(sorted({str(file) for file in found}), incomplete)


def recipe_names(incomplete: str) -> list[str]:
    """Recipes by name."""
    from interpolants.runs.recipes import recipes

    return _starting(recipes(), incomplete)


def method_words(incomplete: str) -> list[str]:
    """Completions of ``methods``: ``show``, and the ids of all members."""
    return _starting(["show", *_ids()], incomplete)


def kinds(incomplete: str) -> list[str]:
    """Kinds of members."""
    from interpolants.foundations.cards import catalogue

    return _starting(dict.fromkeys(card.kind for card in catalogue().cards), incomplete)


def path_ids(incomplete: str) -> list[str]:
    """Ids of the paths."""
    return _starting(_ids("path"), incomplete)


def _ids(kind: str | None = None) -> list[str]:
    from interpolants.foundations.cards import catalogue

    return [card.id for card in catalogue().cards if kind in (None, card.kind)]


def _starting(words: Iterable[str], start: str) -> list[str]:
    return [word for word in words if word.startswith(start)]


def _leaves() -> list[tuple[str, list[str]]]:
    """Dotted keys of one task's settings as they are typed, each with its choices if there are few."""
    from interpolants.runs.config import settings_schema

    schema = settings_schema()
    known = schema["$defs"]
    top = {name: part for name, part in schema["properties"].items() if name != "tasks"}
    tables = {**top, **known["TaskConfig"]["properties"]}
    found: list[tuple[str, list[str]]] = []
    for name, part in tables.items():
        found += _walk(name, part, known)
    return sorted(dict(found).items())


def _walk(key: str, part: dict[str, Any], known: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The keys below a key, depth first; a union offers what any of its members has."""
    found: list[tuple[str, list[str]]] = []
    members = list(_members(part))
    for inner in members:
        table = known[inner["$ref"].rpartition("/")[2]] if "$ref" in inner else inner
        for name, child in table.get("properties", {}).items():
            found += _walk(f"{key}.{name}", child, known)
    return found or [(key, _choices(key, members))]


def _members(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield part
    for inner in (*part.get("anyOf", ()), *part.get("oneOf", ())):
        yield from _members(inner)


_NAMED = {"bridge.path": "path", "bridge.coupling": "coupling", "bridge.net": "net"}


def _choices(key: str, members: list[dict[str, Any]]) -> list[str]:
    if key in _NAMED:
        return _ids(_NAMED[key])
    listed: list[Any] = []
    for inner in members:
        listed += [*inner.get("enum", ()), *([inner["const"]] if "const" in inner else [])]
        listed += ["true", "false"] if inner.get("type") == "boolean" else []
    return [str(value) for value in listed]
