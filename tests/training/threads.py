"""Processes that train together, played by threads of one: what they exchange, without starting any."""

import threading

import torch

from interpolants.training import world as module
from interpolants.training.world import World


class Processes:
    """Stands in for ``torch.distributed``: every thread is a process, and a collective call waits for all.

    Args:
        size: How many.
    """

    def __init__(self, size):
        self.size, self._here = size, threading.local()
        self._meeting, self._values = threading.Barrier(size, timeout=60), [None] * size

    def _of_all(self, value):
        self._values[self._here.rank] = value
        self._meeting.wait()
        found = list(self._values)
        self._meeting.wait()
        return found

    def all_reduce(self, x):
        found = self._of_all(x.clone())
        x.copy_(torch.stack(found).sum(0))

    def broadcast(self, x, src):
        x.copy_(self._of_all(x.clone())[src])

    def barrier(self):
        self._meeting.wait()

    def is_available(self):
        return True

    is_initialized = is_available

    def get_rank(self):
        return self._here.rank

    def get_world_size(self):
        return self.size

    def run(self, work):
        """What ``work(rank)`` gives in each process; the first error of any."""
        results, errors = [None] * self.size, []

        def one(rank):
            self._here.rank = rank
            try:
                results[rank] = work(rank)
            except BaseException as error:  # noqa: BLE001  # told by the thread that waits for it
                errors.append(error)
                self._meeting.abort()

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return results


def processes(monkeypatch, size=2):
    """So many processes; a `World` that is entered in one of them is its place among them."""
    made = Processes(size)
    monkeypatch.setattr(module, "dist", made)
    return made


def world_of(made):
    """The world of this thread, entered."""
    return World(torch.device("cpu")).__enter__()
