"""Executor of this machine: this process, or processes of its own."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import Any, ClassVar

import torch

from interpolants.executors.executor import ATTEMPTS, lost
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Count


@dataclass(frozen=True)
class Local(Checked):
    """Processes of this machine. One worker, or one item, is run in this process.

    Processes are fresh interpreters: a forked one would inherit PyTorch's threads in an undefined state. A pool that
    lost a process is started again with what is left; three times without progress are an error.
    """

    one_driver: ClassVar[bool] = True
    leads: ClassVar[bool] = True

    workers: Count = 1
    """Number of processes."""

    def each(
        self, call: Callable[..., Any], items: Mapping[str, tuple[Any, ...]], *, threads: int = 0
    ) -> Iterator[tuple[str, Any]]:
        """As in :class:`Executor`."""
        if min(self.workers, len(items)) <= 1:
            for name, arguments in items.items():
                yield name, _here(call, arguments, threads or torch.get_num_threads())
            return
        left, failures = dict(items), 0
        while left:
            failures += 1
            try:
                for name, answer in self._pooled(call, dict(left), threads or torch.get_num_threads()):
                    del left[name]
                    failures = 0
                    yield name, answer
            except BrokenProcessPool as error:
                if failures >= ATTEMPTS:
                    raise lost(", ".join(sorted(left)[:4])) from error

    def _pooled(
        self, call: Callable[..., Any], items: Mapping[str, tuple[Any, ...]], threads: int
    ) -> Iterator[tuple[str, Any]]:
        with ProcessPoolExecutor(
            min(self.workers, len(items)),
            mp_context=get_context("spawn"),
            initializer=_join,
            initargs=(threads,),
        ) as pool:
            futures = {pool.submit(call, *arguments): name for name, arguments in items.items()}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            except BaseException:
                for future in futures:
                    future.cancel()
                raise


def _here(call: Callable[..., Any], arguments: tuple[Any, ...], threads: int) -> Any:
    """An answer under a number of threads, which is afterwards as it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return call(*arguments)
    finally:
        torch.set_num_threads(before)


def _join(threads: int) -> None:
    """Prepare a process: its threads, and that it ends when its parent does."""
    torch.set_num_threads(threads)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
