"""Kinds of the members that a stored tree names, nested ones too."""

from collections.abc import Iterator
from typing import Any

from interpolants.foundations.registry import find_card, kinds, names


def kinds_in(node: Any) -> set[str]:
    """Kinds of all members in a packed tree, among them networks and methods, which have nodes of their own."""
    found = set()
    if isinstance(node, dict):
        if node.get("$") == "member":
            found |= set(_kinds_of(node["words"], ""))
        if node.get("$") in ("net", "method"):
            found.add(node["$"])
        node = list(node.values())
    if isinstance(node, list):
        found |= {kind for part in node for kind in kinds_in(part)}
    return found


def _kinds_of(words: Any, key: str) -> Iterator[str]:
    if isinstance(words, dict):
        name = words.get("kind")
        if isinstance(name, str):
            named = key in kinds() and name in names(key)
            yield key if named else find_card(name).kind
        for inner, part in words.items():
            yield from _kinds_of(part, inner)
    elif isinstance(words, list):
        for part in words:
            yield from _kinds_of(part, key)
