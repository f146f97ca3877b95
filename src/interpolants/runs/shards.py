"""A large sampling job in parts, one after the other or in several processes: the parts agree with one big call.

Sample i has its own noise, so a part needs to know nothing but the index of its first row.
"""

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interpolants.estimator.bridge import Bridge
from interpolants.foundations.randomness import BLOCK


def sampled(bridge: Bridge, n: int, cond: Tensor | None, batch_size: int, how: Mapping[str, Any]) -> Tensor:
    """Samples 0 .. n - 1, ``(n, *D)``.

    Args:
        bridge: A trained bridge.
        n: Number of samples, >= 1.
        cond: One condition per sample.
        batch_size: Rows at a time.
        how: Options of ``Bridge.sample``; must hold a ``seed``.
    """
    return _rows(bridge, 0, n, cond, batch_size, how)


def sampled_by_processes(
    folder: Path, n: int, cond: Tensor | None, batch_size: int, how: Mapping[str, Any], processes: int
) -> Tensor:
    """The same from several processes, each with its share of the samples and of the threads.

    Args:
        folder: Folder of the saved bridge: every process reads it for itself.
        n: As `sampled`.
        cond: As `sampled`.
        batch_size: As `sampled`.
        how: As `sampled`.
        processes: How many, >= 1; fewer are started where there are not enough samples.
    """
    share = -(-n // (processes * BLOCK)) * BLOCK  # parts begin where blocks of noise do: none is drawn twice
    starts = range(0, n, share)
    threads = max(1, torch.get_num_threads() // len(starts))
    # Fresh interpreters: a forked one would inherit PyTorch's threads in an undefined state.
    with ProcessPoolExecutor(len(starts), mp_context=multiprocessing.get_context("spawn")) as pool:
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
        return torch.cat([torch.from_numpy(job.result()) for job in jobs])


def _share(
    folder: Path, first: int, count: int, cond: Any, batch_size: int, how: dict[str, Any], threads: int
) -> Any:
    """In a process of its own: arrays in, array out, since these travel between processes as they are."""
    torch.set_num_threads(threads)
    given = None if cond is None else torch.from_numpy(cond)
    return _rows(Bridge.load(folder), first, count, given, batch_size, how).numpy()


def _rows(
    bridge: Bridge, first: int, count: int, cond: Tensor | None, batch_size: int, how: Mapping[str, Any]
) -> Tensor:
    parts = [
        bridge.sample(
            min(batch_size, count - done),
            cond=None if cond is None else cond[done : done + batch_size],
            first_index=first + done,
            details=True,
            **how,
        ).x
        for done in range(0, count, batch_size)
    ]
    return torch.cat(parts)
