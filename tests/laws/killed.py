"""Fits that are killed, each in a process of its own: ``python killed.py FOLDER '{"method": {"stage": step}}'``.

Without stages (null) a method is killed in each of its own, after two thirds of its steps. Prints for each method how
its processes ended, and the fingerprints of an undisturbed fit and of the one that was killed in all these stages and
gone on with. Processes are forked before anything is computed, so that torch and the
members are imported once.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from interpolants.framework import stored
from laws.instances import instance, method_cards

torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports what optimizers need, once for all processes
CARDS = {card.id: card for card in method_cards()}


def fit(name: str, out: Path, *, stage: str = "", at: int = 0, resume: bool = False) -> list[Any]:
    """Fit the instance of a method; send SIGKILL to this process after a step of a stage.

    Returns the fingerprint of what was learnt, and the stages with their steps.
    """
    torch.set_num_threads(1)
    stages: dict[str, int] = {}

    def watch(found: str, k: int, steps: int) -> None:
        stages.setdefault(found, steps)
        if (found, k) == (stage, at):
            os.kill(os.getpid(), signal.SIGKILL)

    one = instance(CARDS[name])
    method = one.method.fit_roles(one.task.for_fit(one.method), out=out, resume=resume, watch=watch)
    return [stored.fingerprint(method.learnt()), stages]


def forked(name: str, out: Path, **options: object) -> tuple[int, list[Any]]:
    """Number of the signal that ended a process (0 for none), and what it found; empty if it was killed."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        os.close(readable)
        os.write(writable, json.dumps(fit(name, out, **options)).encode())
        os._exit(0)
    os.close(writable)
    _, status = os.waitpid(child, 0)
    with os.fdopen(readable) as file:
        return status, json.loads(file.read() or "[]")


def killed(name: str, stages: Mapping[str, int] | None, place: Path) -> dict[str, object]:
    """Kill a fit in all of these stages, one after the other, and let it end."""
    _, found = forked(name, place / "whole")
    whole, own = found or ("", {})
    stages = {stage: max(1, 2 * steps // 3) for stage, steps in own.items()} if stages is None else stages
    ends: list[int] = []
    for stage, at in stages.items():
        ends.append(forked(name, place / "killed", stage=stage, at=at, resume=bool(ends))[0])
    resumed = forked(name, place / "killed", resume=True)[1] if stages else found
    return {"stages": len(stages), "ends": ends, "whole": whole, "resumed": resumed[0] if resumed else ""}


if __name__ == "__main__":
    jobs = json.loads(sys.argv[2])
    print(json.dumps({name: killed(name, stages, Path(sys.argv[1], name)) for name, stages in jobs.items()}))
