"""Functions that workers of the tests import."""

import os
import signal
from pathlib import Path

import torch

from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.runs import shard_folder


def product(a, b):
    return a * b, torch.get_num_threads(), os.getpid()


def killed_once(a, folder):
    """The square of a number; the first process that is asked for 3 is killed in the middle."""
    kill_once(Path(folder) / "killed", a == 3)
    return a * a


def always_killed(a):
    if a == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return a


def refused(a):
    if a == 3:
        raise invalid("piece", "a must not be 3", a)
    return a


def kill_once(mark, meant):
    if meant and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def killed_shard(request, batch_size, place):
    """A shard as always, but that the worker of the second one is killed once, half a shard on the disk."""
    second = place.name.endswith("64")
    if second and not (place.parent / ".killed").exists():
        (place.parent / f".tmp-{place.name}").mkdir()
    kill_once(place.parent / ".killed", second)
    shard_folder_store(request, batch_size, place)


shard_folder_store = shard_folder.store_shard
__all__ = ["InvalidInputError"]
