"""Hashes of the files that a recipe's data name: results of other contents under the same name are told apart."""

import functools
import hashlib
from collections.abc import Mapping
from os.path import exists
from pathlib import Path
from typing import Any


def file_hashes(data: Mapping[str, Any]) -> dict[str, str]:
    """Role -> hash of the file or folder that it names; what names none, or one that is not there, is left out.

    Args:
        data: Tables of ``[data]`` by role.
    """
    return {role: _hash_of(place) for role, place in named_files(data).items()}


def named_files(data: Mapping[str, Any]) -> dict[str, Path]:
    """Role -> the file or folder that it names, if that exists.

    Args:
        data: Tables of ``[data]`` by role.
    """
    named = {role: table.get("file") if isinstance(table, Mapping) else table for role, table in data.items()}
    return {role: Path(name) for role, name in named.items() if isinstance(name, str) and exists(name)}


def _hash_of(place: Path) -> str:
    """16 hexadecimal digits for the contents of a file, or of all files of a folder with their names."""
    if place.is_file():
        facts = place.stat()
        return _hash_of_contents(place.absolute(), facts.st_mtime_ns, facts.st_size)
    files = sorted(file for file in place.rglob("*") if file.is_file())
    told = [f"{file.relative_to(place)} {_hash_of(file)}" for file in files]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=10_000)
def _hash_of_contents(place: Path, time: int, size: int) -> str:
    """Read once for as long as it stays as it is."""
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
