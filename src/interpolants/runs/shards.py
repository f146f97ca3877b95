"""Sharding of large jobs, one part after another or in several processes; the parts agree with one big call.

Sample i has its own noise, so a part needs to know nothing but the index of its first row. A bar counts what is done.
"""

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from interpolants.foundations.randomness import BLOCK
from interpolants.methods.bridge.bridge import Bridge


def sampled(
    bridge: Bridge,
    n: int,
    cond: Tensor | None,
    batch_size: int,
    how: Mapping[str, Any],
    *,
    progress: bool = False,
) -> Tensor:
    """Samples 0 .. n - 1, ``(n, *D)``.

    Args:
        bridge: A trained bridge.
        n: Number of samples, >= 1.
        cond: One condition per sample.
        batch_size: Rows at a time.
        how: Options of ``Bridge.sample``; must hold a ``seed``.
        progress: Show a bar if it takes more than a second.
    """
    with _bar(n, "sample", progress) as bar:
        return _rows(bridge, 0, n, cond, batch_size, how, bar)


def sampled_by_processes(
    folder: Path,
    n: int,
    cond: Tensor | None,
    batch_size: int,
    how: Mapping[str, Any],
    processes: int,
    *,
    progress: bool = False,
) -> Tensor:
    """The same from several processes, each with its share of the samples and of the threads.

    Args:
        folder: Folder of the saved bridge: every process reads it for itself.
        n: As `sampled`.
        cond: As `sampled`.
        batch_size: As `sampled`.
        how: As `sampled`.
        processes: How many, >= 1; fewer are started where there are not enough samples.
        progress: As `sampled`; counts the processes' shares.
    """
    share = -(-n // (processes * BLOCK)) * BLOCK  # parts begin where blocks of noise do: none is drawn twice
    starts = range(0, n, share)
    threads = max(1, torch.get_num_threads() // len(starts))
    # Fresh interpreters: a forked one would inherit PyTorch's threads in an undefined state.
    context = multiprocessing.get_context("spawn")
    with _bar(n, "sample", progress) as bar, ProcessPoolExecutor(len(starts), mp_context=context) as pool:
        jobs = [
            pool.submit(
                _share,
                folder,
                first,
                min(share, n - first),
                None if cond is None else cond[first : first + share].numpy(),
                batch_size,
                dict(how),
                threads,
            )
            for first in starts
        ]
        for job in as_completed(jobs):
            bar.update(len(job.result()))
        return torch.cat([torch.from_numpy(job.result()) for job in jobs])


def scored(
    bridge: Bridge,
    points: Tensor,
    cond: Tensor | None,
    batch_size: int,
    how: Mapping[str, Any],
    *,
    progress: bool = False,
) -> Tensor:
    """Log densities of ``points (n, *D)`` under a bridge, ``(n,)``.

    Args:
        bridge: A trained bridge.
        points: Points at t = 1.
        cond: One condition per point.
        batch_size: Points at a time.
        how: Options of ``Bridge.log_prob``.
        progress: Show a bar if it takes more than a second, and that of a leg that must be trained.
    """
    parts = []
    with _bar(len(points), "point", progress) as bar:
        for first in range(0, len(points), batch_size):
            rows = slice(first, first + batch_size)
            given = None if cond is None else cond[rows]
            own: dict[str, Any] = {"cond": given, "first_index": first, "details": True, "progress": progress}
            parts.append(bridge.log_prob(points[rows], **own, **how).log_prob)
            bar.update(len(parts[-1]))
    return torch.cat(parts)


def _share(
    folder: Path, first: int, count: int, cond: Any, batch_size: int, how: dict[str, Any], threads: int
) -> Any:
    """In a process of its own: arrays in, array out, since these travel between processes as they are."""
    torch.set_num_threads(threads)
    given = None if cond is None else torch.from_numpy(cond)
    with _bar(count, "sample", shown=False) as bar:
        return _rows(Bridge.load(folder), first, count, given, batch_size, how, bar).numpy()


def _rows(
    bridge: Bridge,
    first: int,
    count: int,
    cond: Tensor | None,
    batch_size: int,
    how: Mapping[str, Any],
    bar: "tqdm[Any]",
) -> Tensor:
    parts = [
        bridge.sample(
            min(batch_size, count - done),
            cond=None if cond is None else cond[done : done + batch_size],
            first_index=first + done,
            details=True,
            progress=lambda rows, done=done: bar.update(done + rows - bar.n),
            **how,
        ).x
        for done in range(0, count, batch_size)
    ]
    return torch.cat(parts)


def _bar(total: int, unit: str, shown: bool) -> "tqdm[Any]":
    return tqdm(total=total, unit=unit, delay=1.0, dynamic_ncols=True, disable=not shown)
