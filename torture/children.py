"""Child processes that do one command and may be killed; forked, so that the library is imported once."""

import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import torch

from interpolants.cli.app import main

# What a run leaves when it has ended, and must not leave when it was stopped.
PUBLISHED = {"results", "gathered", "report.html", "figures", ".lock", "command.txt"}


def small_run(steps: int = 30, checkpoint_every: int = 5) -> str:
    """A recipe of seconds with two stages: a bridge, and a leg to its start."""
    return f"""
[data.x0]
problem = "moons"
n = 80
[data.x1]
problem = "moons"
n = 80
[method]
kind = "bridge"
steps = {steps}
batch_size = 16
checkpoint_every = {checkpoint_every}
net = {{ kind = "mlp", width = 8, depth = 1 }}
leg = {{ steps = {steps} }}
[[ask]]
question = "sample_quality"
n = 20
"""


def interpolants(*words: object) -> Callable[[], None]:
    """A command line as a function for `forked`."""

    def call() -> None:
        sys.argv = ["interpolants", *map(str, words)]
        main()

    return call


def forked(
    work: Callable[[], object],
    place: Path,
    *,
    send: signal.Signals = signal.SIGKILL,
    after: float | None = None,
    before: Callable[[], object] | None = None,
) -> tuple[int, str]:
    """Do something in a child process.

    Args:
        work: What to do.
        place: A folder for what the child prints.
        send: The signal that it is sent.
        after: Seconds after which it is sent, if it still runs; never by default.
        before: What to do first, in the child: a limit.

    Returns:
        Its exit status (minus the number of the signal that ended it), and what it printed.
    """
    log, child = place / f"told-{time.monotonic_ns()}.txt", os.fork()
    if not child:
        _in_the_child(work, log, before)
    if after is not None:
        end = time.monotonic() + after
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return _ended(status, log)
            time.sleep(0.002)
        os.kill(child, send)
    return _ended(os.waitpid(child, 0)[1], log)


def _in_the_child(work: Callable[[], object], log: Path, before: Callable[[], object] | None) -> None:
    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        torch.set_num_threads(1)
        if before is not None:
            before()
        work()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ended(status: int, log: Path) -> tuple[int, str]:
    told = log.read_text(errors="replace") if log.exists() else ""
    log.unlink(missing_ok=True)
    return os.waitstatus_to_exitcode(status), told


def digest(run: Path) -> dict[str, str]:
    """SHA-256 of the numbers of a run: answers and models."""
    files = [*run.glob("gathered/tree.json"), *run.glob("results/tree.json"), *run.glob("work/*/model/*")]
    return {str(file.relative_to(run)): sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


def emptied(folder: Path) -> Path:
    """The folder, which is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder
