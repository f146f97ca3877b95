"""Loaders of files: what all of them do, around a function of the opened file.

``@packaged`` makes ``load_x(split, *, path, **settings)`` of a function that reads all rows. It checks the split, opens
the package's files or the user's own, cuts the split out, and fills in the origin.
"""

import hashlib
import inspect
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from interpolants.data.bundled import (
    BundledFile,
    DataInfo,
    Dataset,
    Split,
    check_split,
    firsts,
    held_out,
    reads,
)
from interpolants.data.table_files import csv_frame, rows_of
from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.unpacking import gunzipped, refusing_content


@dataclass(frozen=True, kw_only=True)
class Found:
    """All rows of a set, and what they mean; the other fields are those of :class:`DataInfo`.

    Attributes:
        x: (N, *D), of the type that the data set shall have.
        labels: (N,), whole numbers; None where there are none.
        part: (N,), the words ``train`` and ``test``, and ``all`` for rows that are in neither; None for our own split,
            one row in five of each label, in which equal rows lie in one part.
        is_cut: Whether ``x`` has the rows of the split alone, because others were not read.
        times: (N,), times of rows that follow each other by one ``frequency``.
    """

    x: NDArray[Any]
    labels: NDArray[Any] | None = None
    part: NDArray[np.str_] | None = None
    is_cut: bool = False
    times: NDArray[np.datetime64] | None = None
    frequency: str = ""
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    scaling: str = "none"
    gridded: Any = None
    picture: Any = None


@dataclass(frozen=True)
class Opened:
    """The files that a loader reads: those of its package, or the user's own.

    Attributes:
        who: Public name of the loader.
        split: Which rows are asked for.
        path: File or folder of the user's own; empty for the package's.
        files: Those of the package.
        hashes: File name -> SHA-256 of the package's files that were read.
    """

    who: str
    split: Split
    path: str
    files: tuple[BundledFile, ...]
    hashes: dict[str, str] = field(default_factory=dict)

    def raw(self, name: str = "") -> bytes:
        """The bytes of a file: the only one, or that of this name in the package or in the user's folder."""
        if self.path:
            return (Path(self.path) / name).read_bytes()
        file = self._of_package(name)
        data = file.read(self.who)
        self.hashes[file.name] = hashlib.sha256(data).hexdigest()
        return data

    def place(self, name: str = "") -> Path:
        """Where the file lies, for readers that take no bytes."""
        if self.path:
            return Path(self.path) / name
        self.raw(name)
        return Path(str(self._of_package(name).locate()))

    def _of_package(self, name: str) -> BundledFile:
        return next(one for one in self.files if name in ("", one.name))

    def text(self, name: str = "") -> str:
        """Text in UTF-8, plain or packed by gzip."""
        return gunzipped(self.who, name or "the file", self.raw(name)).decode("utf-8-sig")

    def rows(self, *columns: str, name: str = "") -> list[dict[str, str]]:
        """Rows of a CSV by the names of its first line, which must have these columns; cells left out are empty."""
        found = rows_of(self.who, self.text(name), "the file must be a CSV with rows")
        self._check_columns(columns, [key for key in found[0] if key is not None])
        return found

    def numbers(self, *columns: str) -> NDArray[np.float64]:
        """These columns of a CSV, ``(N, C)``."""
        return np.array([[float(row[column]) for column in columns] for row in self.rows(*columns)])

    def frame(self, *columns: str) -> Any:
        """A DataFrame of the user's own CSV, which must have these columns."""
        found = csv_frame(self.who, self.path)
        self._check_columns(columns, list(found.columns))
        return found

    def _check_columns(self, columns: tuple[str, ...], known: list[str]) -> None:
        for column in columns:
            if column not in known:
                rule = f"the file must have a column {column}"
                raise invalid(self.who, rule, "none", nearest(column, known))


def packaged(
    *files: BundledFile, licence: str, own: str = ""
) -> Callable[[Callable[..., Found]], Callable[..., Dataset]]:
    """Decorator: a loader ``load_x(split="train", *, path="", **settings)`` of ``f(file, **settings) -> Found``.

    What a file of the user's own ends in, while it is read, is one error that says what it must be. The bytes of a
    packaged file are known, so an error in it is ours and raised as it is.

    Args:
        files: What the function reads of packages. The first of each package must be there for the set to be there.
        licence: Of the data, as the package states it.
        own: What ``path`` must be, after "must be"; empty for a loader without ``path``.
    """
    carriers: dict[str, BundledFile] = {}
    for file in files:
        carriers.setdefault(file.package, file)

    def decorate(function: Callable[..., Found]) -> Callable[..., Dataset]:
        who = function.__name__
        signature = _signature(function, own)

        @wraps(function)
        def load(split: Split = "train", **settings: Any) -> Dataset:
            try:
                signature.bind(split, **settings)
            except TypeError as error:
                raise TypeError(f"{who}() {error}") from None
            check_split(who, split)
            path = str(settings.pop("path", "") or "") if own else ""
            file = Opened(who, split, path, files)
            with refusing_content(who, f"path must be {own}") if path else nullcontext():
                found = function(file, **settings)
            x, labels, times = _cut(found, split)
            if not len(x):
                raise invalid(who, f"the part {split!r} must have rows", "none", "Pass a larger file.")
            source = ", ".join(f"{one.package} {one.installed_version()}" for one in carriers.values())
            info = DataInfo(
                name=who.removeprefix("load_"),
                shape=x.shape,
                split=split,
                source=path or source,
                licence="" if path else licence,
                sha256=file.hashes,
                columns=found.columns,
                classes=found.classes,
                scaling=found.scaling,
                symbols=found.symbols,
                start="" if times is None else str(times[0]),
                frequency=found.frequency,
                gridded=found.gridded,
                picture=found.picture,
            )
            codes = None if labels is None else torch.from_numpy(labels.astype(np.int64))
            return Dataset(torch.from_numpy(np.ascontiguousarray(x)), codes, info)

        load.__signature__ = signature  # type: ignore[attr-defined]
        load.__doc__ = _docstring(function, own)
        return reads(*carriers.values())(load)

    return decorate


def _cut(found: Found, split: Split) -> tuple[Any, ...]:
    """Rows, labels and times of a split."""
    if split == "all" or found.is_cut:
        return found.x, found.labels, found.times
    if found.part is None:
        codes = None if found.labels is None else found.labels.astype(np.int64)
        kept = held_out(len(found.x), codes)[firsts(found.x)] == (split == "test")
    else:
        kept = found.part == split
    return tuple(None if one is None else one[kept] for one in (found.x, found.labels, found.times))


def _signature(function: Callable[..., Found], own: str) -> inspect.Signature:
    kind = inspect.Parameter
    split = kind("split", kind.POSITIONAL_OR_KEYWORD, default="train", annotation=Split)
    path = [kind("path", kind.KEYWORD_ONLY, default="", annotation=str)] if own else []
    settings = list(inspect.signature(function).parameters.values())[1:]
    return inspect.Signature([split, *settings, *path], return_annotation=Dataset)


def _docstring(function: Callable[..., Found], own: str) -> str:
    """The function's own, with what holds of every loader: ``split``, ``path`` and errors."""
    text = inspect.cleandoc(function.__doc__ or "")
    shared = "    split: ``train``, ``test`` or ``all``.\n"
    path = f"    path: {own[:1].upper()}{own[1:]}, instead of the package's; its hash is not checked.\n"
    before, _, settings = text.partition("Args:\n")
    if not settings:
        before, _, settings = text.partition("Returns:\n")
        settings = f"\nReturns:\n{settings}"
    settings, source, end = settings.partition("\nSource: ")
    return (
        f"{before}Args:\n{shared}{path if own else ''}{settings.rstrip()}\n\n"
        f"Raises:\n    MissingExtraError: If a package that is read, or that reads a file, is not installed.\n"
        f"    InvalidInputError: If a file is another one than it must be, or for an unknown split or setting.\n"
        f"{source}{end}"
    )
