"""One mutant against its tests, in a child process of a process that has imported what is slow to import."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

from mutants.drawing import PACKAGE
from mutants.mutant import Mutant

LIMIT = 150.0  # seconds of processor time for the tests of one mutant
PATIENCE = 1200.0  # seconds by the clock, for a child that waits for what never comes
NEAREST = 2  # files that are asked first
_BROKEN = 70  # the exit status of a child that could not ask
CAUGHT, SURVIVED, HUNG = "caught", "survived", "hung"


def copied(root: Path, place: Path) -> Path:
    """A copy of what git tracks, which a fault may be written into."""
    shutil.rmtree(place, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in listed.split("\0"):
        if name and (root / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, place / name)
    return place


def tried(mutant: Mutant, copy: Path, tests: list[str], first: str = "") -> dict[str, object]:
    """Write the fault into a copy, run the tests until one fails, and take the fault out again.

    Args:
        mutant: The fault.
        copy: The folder of the copy.
        tests: Files of tests, the nearest first.
        first: The test that caught this fault before: it is asked alone, and the files only if it passes or is no more.

    Returns:
        ``outcome``: caught, survived or hung (more than `LIMIT` seconds of processor time, or `PATIENCE` by the clock);
        ``by``: the first test that failed; ``seconds``.
    """
    file, begun = copy / PACKAGE / mutant.module, time.monotonic()
    source = file.read_text()
    try:
        _write(file, mutant.applied(source))
        code, told = asked(copy, [first]) if first else (0, "")
        if (
            code != pytest.ExitCode.TESTS_FAILED
        ):  # pytest does not tell a test that is no more from one that it cannot load
            code = 0
        # Most are caught by the nearest, which are soon collected.
        for some in (tests[:NEAREST], tests[NEAREST:]):
            if some and not code:
                code, told = asked(copy, some)
    finally:
        _write(file, source)
    outcome = HUNG if code < 0 else CAUGHT if code else SURVIVED
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", told, re.MULTILINE)
    by = failed.group(1) if failed else "" if outcome != CAUGHT else told.strip()[-200:]
    return {"outcome": outcome, "by": by, "seconds": round(time.monotonic() - begun, 1)}


def _write(file: Path, source: str) -> None:
    """Write a module, and forget its byte code: two texts of one size in one second would pass for each other."""
    file.write_text(source)
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


def asked(copy: Path, tests: list[str]) -> tuple[int, str]:
    """Exit status of pytest (negative: ended by a signal) for some tests in a copy, and what it printed.

    The process must not have computed in threads before: a forked one would wait for them for ever.
    """
    log = copy / "told.txt"
    child = os.fork()
    if not child:
        _in_the_child(copy, tests, log)
    status = _waited(child, PATIENCE)
    code, told = os.waitstatus_to_exitcode(status), log.read_text(errors="replace")
    if code == _BROKEN:
        raise RuntimeError(f"the tests could not be run:\n{told}")
    return code, told


def _waited(child: int, patience: float) -> int:
    """The status a child ended with; one that takes too long is killed."""
    end = time.monotonic() + patience
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        time.sleep(0.05)


def _in_the_child(copy: Path, tests: list[str], log: Path) -> None:
    code = _BROKEN
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, (int(LIMIT), int(LIMIT) + 5))
        os.chdir(copy)
        os.environ["PYTHONPATH"] = str(copy / "src")
        sys.path[:0] = [str(copy / "src"), str(copy)]
        import torch

        torch.set_num_threads(1)
        options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no", "-rfE"]
        code = int(pytest.main([*options, "-m", "not gpu and not bench and not slow", *tests]))
        code = 0 if code == 5 else code  # no test ran
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
