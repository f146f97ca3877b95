"""Folder of the finished shards of a large request, with a manifest; what is missing is computed, the rest is kept.

``manifest.json`` says what was asked of which model, and with a hash of each shard when all are there. A shard is a
stored tree, whole or absent, with its answer and a hash of its own part of the request. Nothing in the folder tells a
time, a machine or a number of processes: the same request leaves the same bytes however it was computed, and however
often it was interrupted.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.executors.executor import Executor
from interpolants.foundations import trees
from interpolants.foundations.errors import InterpolantsError, invalid
from interpolants.foundations.folder_lock import locked
from interpolants.foundations.links import refuse_links
from interpolants.foundations.randomness import BLOCK
from interpolants.foundations.storage import MANIFEST as SEAL
from interpolants.foundations.storage import read_document, write_text
from interpolants.foundations.temporaries import sweep
from interpolants.framework.method import load
from interpolants.runs.answers import Plain
from interpolants.runs.shards import Request, bar_of, in_parts, joined, threads_of

PLAN = "manifest.json"
FORMAT = 2
# Rows of a shard beside those of a batch: a shard should cost more than to write it.
_ROWS = 10_000


@dataclass(frozen=True)
class ShardFolder:
    """A request that is computed shard by shard into a folder.

    Attributes:
        out: The folder; every process must see it under this name.
        request: What is asked for.
        rows: Rows of a shard, a multiple of 64; those of the folder count where it has some.
    """

    out: Path
    request: Request
    rows: int = _ROWS // BLOCK * BLOCK

    def compute(self, executor: Executor, batch_size: int, *, progress: bool = False) -> bool:
        """Compute the shards that are missing; whether this process goes on with the answer.

        Args:
            executor: Where.
            batch_size: Rows at a time in a process.
            progress: Show a bar if it takes more than a second.

        Raises:
            InvalidInputError: If the folder holds another request, or another process works in it.
        """
        refuse_links(self.request.verb, self.out)
        with locked(self.request.verb, self.out) if executor.leads else nullcontext():
            if executor.leads:
                sweep(self.out)
            rows = self._open()
            parts = {self._name(first): self.request.part(first, rows) for first in self._firsts(rows)}
            items = {name: (part, batch_size, self.out / name) for name, part in parts.items()}
            with bar_of(self.request, progress and executor.leads) as bar:
                for name, _ in executor.each(store_shard, items, threads=threads_of(executor, len(items))):
                    bar.update(parts[name].n)
            if executor.leads:
                self._seal()
        return executor.leads

    def answer(self) -> Plain:
        """All shards as one answer, in memory."""
        return joined(list(read_shards(self.out)))

    @cached_property
    def _plan(self) -> dict[str, Any]:
        """What must be the same for shards to belong together; plain values."""
        return _asked(self.request)

    def _open(self) -> int:
        """Open or create the folder, and return the number of rows per shard."""
        self.out.mkdir(parents=True, exist_ok=True)
        if not (self.out / PLAN).is_file():
            if any(entry.name[:1] != "." for entry in self.out.iterdir()):
                raise invalid("--shards", "the folder must be new or hold shards", str(self.out))
            self._write({**self._plan, "rows": self.rows})
            return self.rows
        found = _read_plan(self.out)
        other = [key for key, value in self._plan.items() if found.get(key) != value]
        if other:
            told = f"other {' and '.join(other)} ({found.get(other[0])!r}, not {self._plan[other[0]]!r})"[
                :300
            ]
            remedy = "Choose another folder, or delete that one."
            raise invalid("--shards", f"{self.out} must contain shards of this request", told, remedy)
        return int(found["rows"])

    def _seal(self) -> None:
        """Write the hashes of all shards into the manifest."""
        head = {key: value for key, value in _read_plan(self.out).items() if key != "shards"}
        firsts, shards = self._firsts(head["rows"]), {}
        for first in firsts:
            seal = self.out / self._name(first) / SEAL
            if not seal.is_file():
                rule = f"every process must have {self.out} at the same path"
                raise invalid(
                    "--shards", rule, f"no {seal.parent.name} there", "Use a folder on a shared file system."
                )
            rows = min(head["rows"], self.request.n - first)
            digest = hashlib.sha256(seal.read_bytes()).hexdigest()
            shards[seal.parent.name] = {"first": first, "rows": rows, "sha256": digest}
        self._write({**head, "shards": shards})

    def _write(self, head: Mapping[str, Any]) -> None:
        write_text(self.out / PLAN, json.dumps(head, indent=1, allow_nan=False) + "\n")

    def _firsts(self, rows: int) -> range:
        return range(0, self.request.n, rows)

    @staticmethod
    def _name(first: int) -> str:
        return f"shard-{first:012d}"


def store_shard(request: Request, batch_size: int, place: Path) -> None:
    """Compute a shard and store it, unless it is there, whole, and of this request.

    Args:
        request: The part of the request.
        batch_size: Rows at a time.
        place: Its folder.
    """
    own = hashlib.sha256(json.dumps(_asked(request), sort_keys=True).encode()).hexdigest()[:16]
    if trees.is_tree(place):
        try:
            if trees.read(place)["request"] == own:
                return
        except (InterpolantsError, KeyError, TypeError):  # damaged, or something else: computed again
            pass
    found = in_parts(load(request.folder), request, batch_size)
    plain = found if isinstance(found, list) else {name: torch.from_numpy(x) for name, x in found.items()}
    trees.write(place, {"request": own, "answer": plain})


def read_shards(folder: Path) -> Iterator[Plain]:
    """The shards of a finished folder in order, one in memory at a time: texts, or arrays by name.

    Args:
        folder: What ``--shards`` wrote.

    Raises:
        InvalidInputError: If shards are missing or damaged.
    """
    head = _read_plan(folder)
    if "shards" not in head:
        rule, remedy = (
            f"all shards must be in {folder}",
            "Run the command again: it computes what is missing.",
        )
        raise invalid("read_shards", rule, "an unfinished request", remedy)
    for name, told in head["shards"].items():
        found = trees.read(folder / name)["answer"]
        if hashlib.sha256((folder / name / SEAL).read_bytes()).hexdigest() != told["sha256"]:
            raise invalid("read_shards", f"{folder / name} must be the shard of the manifest", "another one")
        yield found if isinstance(found, list) else {key: x.numpy() for key, x in found.items()}


def _read_plan(folder: Path) -> dict[str, Any]:
    found = read_document(folder / PLAN)
    if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("rows"), int):
        raise invalid("--shards", f"{folder / PLAN} must be a manifest of shards", str(found)[:80])
    return found


def _asked(request: Request) -> dict[str, Any]:
    """What an answer depends on, in plain values."""
    sealed = (request.folder / SEAL).read_bytes()
    options = {name: _told(value) for name, value in sorted(request.options.items()) if name != "progress"}
    return {
        "format": FORMAT,
        "verb": request.verb,
        "n": request.n,
        "model": hashlib.sha256(sealed).hexdigest(),
        "data": {name: _fingerprint(value) for name, value in sorted(request.data.items())},
        "options": options,
    }


def _told(value: Any) -> str:
    """An option: long arrays show themselves in part alone."""
    return _fingerprint(value) if isinstance(value, Tensor | np.ndarray) else repr(value)


def _fingerprint(value: Any) -> str:
    """Of values that have a stored form, all of it; of others how they show themselves."""
    if isinstance(value, Tensor):
        return trees.fingerprint(value.contiguous())
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return trees.fingerprint(torch.from_numpy(np.ascontiguousarray(value)))
    if hasattr(value, "iloc"):  # a table, which shows itself in part
        rows = value.reset_index() if hasattr(value, "columns") else value.to_frame().reset_index()
        return trees.fingerprint(rows.to_csv(float_format="%.17g"))
    if hasattr(value, "dims") and hasattr(value, "values"):
        return _fingerprint(np.asarray(value.values))
    if isinstance(value, np.ndarray):
        return trees.fingerprint(value.tolist())
    try:
        return trees.fingerprint(value)
    except InterpolantsError:
        return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
