"""Sharding of large requests, one part after another or by an executor; the parts agree with one big call.

Row i of an answer has its own noise, so a part needs to know nothing but the index of its first row: any capability
that takes ``first_index`` can be cut.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from interpolants.executors.executor import Executor
from interpolants.foundations.randomness import BLOCK
from interpolants.framework.capabilities import Capability
from interpolants.framework.method import Method, load
from interpolants.framework.role import Role
from interpolants.framework.roles import count, take
from interpolants.runs.answers import Plain, plain_answer


@dataclass(frozen=True)
class Request:
    """A call of one capability of a stored method.

    Attributes:
        folder: Folder of the method: every process reads it for itself.
        verb: Name of the capability.
        n: Rows of the answer.
        data: Rows by argument, and single values that are for all rows.
        options: Everything else.
    """

    folder: Path
    verb: str
    n: int
    data: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def part(self, first: int, size: int) -> "Request":
        """Rows ``first`` to ``first + size`` of it."""
        rows = slice(first, first + size)
        data = {k: take(v, rows) if _has_rows(v, self.n) else v for k, v in self.data.items()}
        options = {**self.options, "first_index": self.options.get("first_index", 0) + first}
        if "n" in options:
            options["n"] = min(size, self.n - first)
        return Request(self.folder, self.verb, min(size, self.n - first), data, options)

    def of(self, method: Method) -> Any:
        """The answer of a method."""
        return getattr(method, self.verb)(**self.data, **self.options)


def can_be_cut(one: Capability, roles: Iterable[Role] = ()) -> bool:
    """Whether a capability's answers may be computed in parts.

    Args:
        one: The capability.
        roles: What it reads; the times of a series are no rows, and it goes as a whole.
    """
    return "first_index" in one.parameters and not any(role.kind == "series" for role in roles)


def in_parts(method: Method, request: Request, batch_size: int, *, progress: bool = False) -> Plain:
    """The answer as plain arrays or texts, so many rows at a time.

    Args:
        method: The method of the request.
        request: What is asked for.
        batch_size: Rows at a time, >= 1.
        progress: Show a bar if it takes more than a second.
    """
    with bar_of(request, progress) as bar:
        found = []
        for first in range(0, request.n, batch_size):
            found.append(plain_answer(request.part(first, batch_size).of(method), request.verb))
            bar.update(min(batch_size, request.n - first))
    return joined(found)


def by_executor(
    request: Request, batch_size: int, executor: Executor, *, progress: bool = False
) -> Plain | None:
    """The same from an executor, whose processes share the rows and the threads; None where others get the answer.

    Args:
        request: What is asked for.
        batch_size: Rows at a time in each process.
        executor: Where the parts are computed; fewer are made where there are not enough rows.
        progress: As `in_parts`; counts the parts.
    """
    # Parts begin where blocks of noise do: none is drawn twice.
    share = -(-request.n // ((executor.workers or _PARTS) * BLOCK)) * BLOCK
    parts = {f"{first:012d}": request.part(first, share) for first in range(0, request.n, share)}
    items = {name: (part, batch_size) for name, part in parts.items()}
    found: dict[str, Plain] = {}
    with bar_of(request, progress) as bar:
        for name, answer in executor.each(_share, items, threads=threads_of(executor, len(items))):
            found[name] = answer
            bar.update(parts[name].n)
    return joined([found[name] for name in sorted(found)]) if executor.leads else None


# Parts for a cluster whose size is not known.
_PARTS = 64


def threads_of(executor: Executor, parts: int) -> int:
    """Threads of each process: its share of those here; of a cluster's processes one."""
    at_once = min(executor.workers, parts) if executor.workers else torch.get_num_threads()
    return max(1, torch.get_num_threads() // at_once)


def _share(request: Request, batch_size: int) -> Plain:
    """A part in a process of its own: arrays and texts come back, since these travel as they are."""
    return in_parts(load(request.folder), request, batch_size)


def _has_rows(value: Any, n: int) -> bool:
    """Whether a value has one entry for each row, rather than being one for all."""
    return not isinstance(value, int | float | str | Method) and n > 1 and count(value) == n


def joined(parts: list[Plain]) -> Plain:
    """Parts one after another."""
    if isinstance(parts[0], list):
        return [line for part in parts for line in part]
    first: Any = parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in first}


def bar_of(request: Request, shown: bool) -> Any:
    """A bar that counts rows, shown if it takes more than a second."""
    return tqdm(
        total=request.n, unit="row", delay=1.0, disable=not shown, desc=request.verb.replace("_", "-")
    )
