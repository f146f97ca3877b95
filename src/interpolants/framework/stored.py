"""Trees as methods use them: the packer of :mod:`interpolants.foundations.trees`, and whose model a folder holds."""

import json
from pathlib import Path

from interpolants.foundations.trees import (
    TREE,
    MissingCode,
    Tree,
    fingerprint,
    holds_code,
    is_tree,
    misses_code,
    pack,
    read,
    write,
)

__all__ = [
    "MissingCode",
    "Tree",
    "fingerprint",
    "holds_code",
    "is_tree",
    "method_id",
    "misses_code",
    "pack",
    "read",
    "write",
]


def method_id(folder: str | Path) -> str:
    """The id of the card of the method that a folder holds; empty where it holds another tree. Nothing is loaded."""
    node = json.loads((Path(folder) / TREE).read_text(encoding="utf-8")).get("tree", {})
    method = node.get("items", {}).get("method", {}) if isinstance(node, dict) else {}
    return str(method.get("id", "")) if isinstance(method, dict) else ""
