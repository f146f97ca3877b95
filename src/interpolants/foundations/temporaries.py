"""Temporary files and folders next to their targets, and removal of those that dead processes left."""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import socket
from pathlib import Path

TEMPORARY = ".tmp-"
_MACHINE = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def temporary_for(target: Path) -> Path:
    """New name next to ``target``, which contains the machine and the process."""
    return target.parent / f"{TEMPORARY}{target.name}-{_MACHINE}-{os.getpid()}-{secrets.token_hex(4)}"


def sweep_dead(target: Path) -> None:
    """Delete temporary files next to a path whose processes on this machine no longer exist."""
    name = re.compile(rf"{re.escape(f'{TEMPORARY}{target.name}-{_MACHINE}')}-(\d{{1,10}})-[0-9a-f]{{8}}")
    for entry in os.listdir(target.parent):
        found = name.fullmatch(entry)
        if found is not None and not _lives(int(found[1])):
            _delete(target.parent / entry)


def sweep(parent: str | os.PathLike[str]) -> list[str]:
    """Delete what interrupted writes left in ``parent``; no other process may be writing there."""
    stale = [entry for entry in sorted(Path(parent).glob(f"{TEMPORARY}*")) if not entry.is_symlink()]
    for entry in stale:
        _delete(entry)
    return [entry.name for entry in stale]


def _lives(process: int) -> bool:
    if os.name == "nt":
        return True  # signal 0 would end it there
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # another user's
    return True


def _delete(entry: Path) -> None:
    if entry.is_symlink() or not entry.is_dir():
        with contextlib.suppress(OSError):
            entry.unlink()
    else:
        shutil.rmtree(entry, ignore_errors=True)
