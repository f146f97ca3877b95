"""Index of ``interpolants find`` for the search page of the site, which ranks by it in ``_static/search.js``."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from interpolants.foundations.cards import load_cards
from interpolants.runs.recipes import recipes
from interpolants.runs.search import Result, index

COMMANDS = "docs/howto#use-the-command-line"


def write(path: Path, documented: Mapping[str, str]) -> None:
    """Write the index as a script, which a page can load from a folder as well as from a server.

    Args:
        path: File to write.
        documented: Address of each documented object, by its dotted name.
    """
    addresses = _members(documented)
    addresses |= {("recipe", name): _recipe(file, name, addresses) for name, file in recipes().items()}
    table = index()
    table["entries"] = [
        {
            "kind": r.kind,
            "id": r.id,
            "title": r.title,
            "call": r.call,
            "address": _address(r, addresses),
            **ranks,
        }
        for r, ranks in table["entries"]
    ]
    path.write_text(f"const FIND_INDEX = {json.dumps(table, separators=(',', ':'))};\n", "utf-8")


def _address(result: Result, addresses: Mapping[tuple[str, str], str]) -> str:
    """Page without its file extension, and an anchor if there is one."""
    return addresses.get((result.kind, result.id)) or result.page.replace(".md", "")


def _members(documented: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Addresses of members: their documented objects, otherwise the tables of all members."""
    cards = load_cards("interpolants")
    tables = {card.kind: "docs/methods/README#" + card.kind.replace("_", "-") for card in cards}
    return {(c.kind, c.id): documented.get(c.entry.replace(":", "."), tables[c.kind]) for c in cards}


def _recipe(file: Path, name: str, addresses: Mapping[tuple[str, str], str]) -> str:
    """Address of the method that a recipe fits."""
    text = file.read_text("utf-8")
    reference = next(
        (c.id for c in load_cards("interpolants") if c.kind == "method" and c.recipe == name), None
    )
    method = reference or tomllib.loads(text).get("method", {}).get("kind", "")
    return addresses.get(("method", method), COMMANDS)
