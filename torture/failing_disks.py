"""A disk that fails at each single call of a save: the old contents stay, the error says so, nothing is left."""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from interpolants.foundations import storage
from interpolants.foundations.storage import StorageError, read_folder, replacing, write_folder, write_text
from torture.children import emptied
from torture.rows import Row

CALLS = ("open", "write", "fsync", "rename", "replace")
CODES = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT)


class _Os:
    """The module ``os``, one call of which fails."""

    def __init__(self, name: str, index: int, code: int) -> None:
        self.name, self.left, self.code, self.failed = name, index, code, False

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name != self.name:
            return real

        def call(*args: Any, **given: Any) -> Any:
            self.left -= 1
            if self.left == -1:
                self.failed = True
                raise OSError(self.code, os.strerror(self.code))
            return real(*args, **given)

        return call


@contextmanager
def _failing(name: str, index: int, code: int) -> Iterator[_Os]:
    faulty = _Os(name, index, code)
    storage.os = faulty  # type: ignore[assignment, attr-defined]
    try:
        yield faulty
    finally:
        storage.os = os  # type: ignore[attr-defined]


def _folder(place: Path, mark: float) -> None:
    write_folder(place / "model", {"w": {"a": torch.full((50,), mark)}}, {"x.json": {"mark": mark}})


def _text(place: Path, mark: float) -> None:
    write_text(place / "note.txt", str(mark))


def _file(place: Path, mark: float) -> None:
    with replacing(place / "samples.csv") as temporary:
        temporary.write_text(str(mark))


def _seen(place: Path) -> str:
    """What a reader finds."""
    if (place / "model").exists() or (place / ".old-model").exists():
        found = read_folder(place / "model")
        assert bool((found.tensors["w"]["a"] == found.documents["x.json"]["mark"]).all())
        return str(found.documents["x.json"]["mark"])
    file = next(f for f in place.iterdir() if f.suffix in (".txt", ".csv"))
    return file.read_text()


def attack(scale: float, work: Path) -> Row:
    """400 faults: three ways to save, each call of each function of the operating system, five errors."""
    row, wanted = Row("faults of the disk at each call of a save"), max(20, round(400 * scale))
    for repeat in itertools.count():
        tried = row.tried
        for save, name, code in itertools.product((_folder, _text, _file), CALLS, CODES):
            for index in itertools.count():
                if row.tried >= wanted:
                    return row
                place = emptied(work / "place")
                place.mkdir()
                if not _attempt(row, place, save, (name, index, code), replaces=repeat % 2 == 0):
                    break
        if row.tried == tried:
            return row


def _attempt(row: Row, place: Path, save: Callable, where: tuple[str, int, int], *, replaces: bool) -> bool:
    """One save with one fault; whether there was such a call."""
    if replaces:
        save(place, 1.0)
    told, error = f"{save.__name__} {where}", None
    with _failing(*where) as faulty:
        try:
            save(place, 2.0)
        except BaseException as found:
            error = found
    if not faulty.failed:
        return False
    harm = "" if error is None or isinstance(error, StorageError) else f"{told}: {error!r}"
    left = [f.name for f in place.iterdir() if f.name.startswith(".tmp") or f.suffix == ".part"]
    if not harm and (replaces or error is None):
        try:
            seen = _seen(place)
        except BaseException as found:
            seen = repr(found)
        harm = "" if seen in ("1.0", "2.0") and (error or seen == "2.0") else f"{told}: {seen}"
    row.count(refused=error is not None, harm=harm or (f"{told}: left {left}" if left else ""))
    return True
