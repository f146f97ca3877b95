"""Trees as methods use them: the packer of :mod:`interpolants.foundations.trees`, and whose model a folder holds."""

from pathlib import Path

from interpolants.foundations.storage import read_document
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
    node = read_document(Path(folder) / TREE)
    for key in ("tree", "items", "method", "id"):
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, str) else ""
