"""Sharding of large requests, one part after another or in several processes; the parts agree with one big call.

Row i of an answer has its own noise, so a part needs to know nothing but the index of its first row: any capability
that takes ``first_index`` can be cut.
"""

import multiprocessing
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from interpolants.foundations.randomness import BLOCK
from interpolants.framework.capabilities import Capability
from interpolants.framework.method import Method, load
from interpolants.framework.roles import Role, count, take
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
    with _bar(request, progress) as bar:
        found = []
        for first in range(0, request.n, batch_size):
            found.append(plain_answer(request.part(first, batch_size).of(method), request.verb))
            bar.update(min(batch_size, request.n - first))
    return _joined(found)


def by_processes(request: Request, batch_size: int, processes: int, *, progress: bool = False) -> Plain:
    """The same from several processes, each with its share of the rows and of the threads.

    Args:
        request: What is asked for.
        batch_size: Rows at a time in each.
        processes: How many, >= 1; fewer are started where there are not enough rows.
        progress: As `in_parts`; counts the processes' shares.
    """
    share = (
        -(-request.n // (processes * BLOCK)) * BLOCK
    )  # parts begin where blocks of noise do: none is drawn twice
    parts = [request.part(first, share) for first in range(0, request.n, share)]
    threads = max(1, torch.get_num_threads() // len(parts))
    # Fresh interpreters: a forked one would inherit PyTorch's threads in an undefined state.
    context = multiprocessing.get_context("spawn")
    with _bar(request, progress) as bar, ProcessPoolExecutor(len(parts), mp_context=context) as pool:
        jobs = {pool.submit(_share, part, batch_size, threads): part for part in parts}
        for job in as_completed(jobs):
            job.result()
            bar.update(jobs[job].n)
        return _joined([job.result() for job in jobs])


def _share(request: Request, batch_size: int, threads: int) -> Plain:
    """A part in a process of its own: arrays and texts come back, since these travel as they are."""
    torch.set_num_threads(threads)
    return in_parts(load(request.folder), request, batch_size)


def _has_rows(value: Any, n: int) -> bool:
    """Whether a value has one entry for each row, rather than being one for all."""
    return not isinstance(value, int | float | str | Method) and n > 1 and count(value) == n


def _joined(parts: list[Plain]) -> Plain:
    if isinstance(parts[0], list):
        return [line for part in parts for line in part]
    first: Any = parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in first}


def _bar(request: Request, shown: bool) -> Any:
    return tqdm(
        total=request.n, unit="row", delay=1.0, disable=not shown, desc=request.verb.replace("_", "-")
    )
