"""Symbolic links in a folder that may be a stranger's: refused before anything in it is written, deleted or read."""

import os
from collections.abc import Iterator
from pathlib import Path

from interpolants.foundations.errors import invalid


def refuse_links(who: str, folder: str | os.PathLike[str]) -> None:
    """Raise an error if a folder has a symbolic link below it; the folder itself may be one, and need not exist.

    Args:
        who: Operation in the folder, used in error messages.
        folder: The folder.

    Raises:
        InvalidInputError: If there is a link; the message names it.
    """
    place = Path(folder)
    for path in _links(place):
        shown = repr(path.relative_to(place).as_posix())
        remedy = "It would lead out of the folder. Delete it, or put the real file there."
        raise invalid(who, f"{place} must contain no symbolic link", shown, remedy)


def refuse_link(who: str, place: Path, *parts: str) -> None:
    """Refuse a link on the way from ``place`` down through ``parts``, and look at nothing else.

    Raises:
        InvalidInputError: If one of them is a link.
    """
    path = place
    for part in parts:
        path = path / part
        if path.is_symlink():
            shown = repr(path.relative_to(place).as_posix())
            raise invalid(
                who, f"{place} must contain no symbolic link", shown, "It would lead out of the folder."
            )


def _links(folder: Path) -> Iterator[Path]:
    """Links below a folder; none of them is followed."""
    for root, folders, files in os.walk(folder):
        yield from (path for name in (*folders, *files) if (path := Path(root, name)).is_symlink())
