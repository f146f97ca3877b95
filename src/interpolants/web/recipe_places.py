"""What a run's recipe would open beside the run itself: the explorer opens it if the command line allows it.

A run folder may come from anybody, and its recipe may name any file. So what its data name is read where it lies in the
run's folder, or in a place that was given with ``--data``; a page says what is left closed.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import names, stored_kinds
from interpolants.foundations.size_guard import check_sizes

# Keys of a table of data, or of a method, whose words are looked up among members, roles and columns alone.
_WORDS = (
    "kind",
    "dataset",
    "problem",
    "member",
    "follows",
    "labels_of",
    "beside",
    "part",
    "key",
    "labels",
    "columns",
)


def closed(data: Mapping[str, Any], run: Path, allowed: Sequence[Path]) -> str:
    """Why the data that a recipe names are not read, in a sentence; empty where nothing is in the way.

    Args:
        data: Tables of its data by role.
        run: Folder of the run.
        allowed: Files and folders that the user gave.
    """
    if told := outside(data, run, allowed):
        return told
    stored = {name for kind in stored_kinds() for name in names(kind)}
    for table in (table for table in data.values() if isinstance(table, Mapping)):
        if str(table.get("member", "")).rpartition("/")[2] not in {"", *stored}:
            return f"The recipe of this run builds {table['member']!r}, which no folder may name. Its data stay closed."
        try:
            check_sizes({"kind": "", "table": table})
        except InvalidInputError as error:
            return f"The data of this run are not drawn: {str(error).removeprefix('load: ')}."
    return ""


def outside(tables: Mapping[str, Any], run: Path, allowed: Sequence[Path]) -> str:
    """The first file or folder outside of a run and of the allowed places that its tables name, in a sentence.

    Args:
        tables: Tables of the recipe.
        run: Folder of the run.
        allowed: Files and folders that the user gave.
    """
    roots = [os.path.realpath(place) for place in (run, *allowed)]
    for text in (text for table in tables.values() for text in _texts(table, _WORDS)):
        place = _place(text)
        if place and not any(place == root or place.startswith(os.path.join(root, "")) for root in roots):
            remedy = "To open it, start the explorer with --data and this file, or a folder that holds it."
            return f"The recipe of this run names {text!r}, which lies outside of the run and is not opened. {remedy}"
    return ""


def _texts(value: Any, known: Sequence[str] = ("kind",)) -> Iterator[str]:
    """All words of a table but those that name members, roles and columns."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in known:
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _place(text: str) -> str:
    """The file or folder that a word names, without links; empty for one that names none."""
    try:
        named = os.path.lexists(text) or ".." in Path(text).parts
        return os.path.realpath(text) if named and text else ""
    except (OSError, ValueError):  # longer than any name, or with a zero byte
        return ""
