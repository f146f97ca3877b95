"""Fits that are killed, each in a process of its own: ``python killed.py FOLDER '{"method": {"stage": step}}'``.

Prints for each method how its processes ended, and the fingerprints of an undisturbed fit and of the one that was
killed in all these stages and gone on with. Processes are forked before anything is computed, so that torch and the
members are imported once.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from interpolants.framework import stored
from laws.instances import instance, method_cards

torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports what optimizers need, once for all processes
CARDS = {card.id: card for card in method_cards()}


def fit(name: str, out: Path, *, stage: str = "", at: int = 0, resume: bool = False) -> str:
    """Fit the instance of a method; send SIGKILL to this process after a step of a stage."""
    torch.set_num_threads(1)

    def watch(found: str, k: int, steps: int) -> None:
        if (found, k) == (stage, at):
            os.kill(os.getpid(), signal.SIGKILL)

    one = instance(CARDS[name])
    method = one.method.fit_roles(one.task.for_fit(one.method), out=out, resume=resume, watch=watch)
    return stored.fingerprint(method.learnt())


def forked(name: str, out: Path, **options: object) -> tuple[int, str]:
    """Number of the signal that ended a process (0 for none), and what it found."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        os.close(readable)
        os.write(writable, fit(name, out, **options).encode())
        os._exit(0)
    os.close(writable)
    _, status = os.waitpid(child, 0)
    with os.fdopen(readable) as file:
        return status, file.read()


def killed(name: str, stages: Mapping[str, int], place: Path) -> dict[str, object]:
    """Kill a fit in all of these stages, one after the other, and let it end."""
    _, whole = forked(name, place / "whole")
    ends = []
    for stage, at in stages.items():
        ends.append(forked(name, place / "killed", stage=stage, at=at, resume=bool(ends))[0])
    return {"ends": ends, "whole": whole, "resumed": forked(name, place / "killed", resume=True)[1]}


if __name__ == "__main__":
    jobs = json.loads(sys.argv[2])
    print(json.dumps({name: killed(name, stages, Path(sys.argv[1], name)) for name, stages in jobs.items()}))
