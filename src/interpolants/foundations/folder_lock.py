"""Lock of a folder: one process writes in it, and a second is refused with who holds it.

The lock is that of filelock on the file ``.lock`` in the folder. The operating system ends it with its process, so the
file of a dead process does not block. The file names the process that holds the lock.
"""

import errno
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.storage import StorageError

LOCK = ".lock"
_held: dict[str, int] = {}  # folders of this process's locks, and the thread that holds each
_LOCKED_BYTES = 1  # Windows locks the first byte, which others cannot read then
_WITHOUT_LOCKS = (
    errno.ENOLCK,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EOPNOTSUPP,
)  # errors of a disk without locks


@contextmanager
def locked(who: str, folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of a folder, which is made if it is missing; the thread that holds it may lock it again.

    Args:
        who: What is about to write, for the message.
        folder: The folder.

    Raises:
        InvalidInputError: If another process, or another thread, holds it; the message says which.
        StorageError: If the disk refuses.
    """
    place, thread = os.path.realpath(folder), threading.get_ident()
    if _held.get(place) == thread:
        yield
        return
    file = Path(folder) / LOCK
    lock, identity = _taken(who, file)
    _held[place] = thread
    try:
        yield
    finally:
        del _held[place]
        _leave(file, lock, identity)


def _taken(who: str, file: Path) -> tuple[Any, list[os.stat_result]]:
    """The lock, and the identity of its file; no identity where the disk has no locks."""
    from filelock import FileLock, Timeout  # 70 ms, of which a process without a lock has no need

    identity: list[os.stat_result] = []

    def sign(handle: int) -> None:
        identity.append(os.fstat(handle))
        _sign(handle)

    lock = FileLock(file, thread_local=False, fallback_to_soft=False, on_acquired=sign)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise _refused(who, file) from None
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            message = f"cannot lock {file.parent}: {error.strerror or error}"
            raise StorageError(error.errno, message) from error
    return lock, identity


def _sign(handle: int) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"process": os.getpid(), "machine": socket.gethostname(), "since": now}
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, b" " * _LOCKED_BYTES + json.dumps(holder).encode())


def _refused(who: str, file: Path) -> InvalidInputError:
    try:
        with file.open("rb", buffering=0) as record:
            record.seek(_LOCKED_BYTES)
            told = json.loads(record.read(1000))
        holder = f"process {told['process']} on {told['machine']}, at work there since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has not signed yet
        holder = "another process, at work there"
    remedy = "Wait until it ends, or choose another folder."
    return invalid(who, f"{file.parent} must have no other process that writes in it", holder, remedy)


def _leave(file: Path, lock: Any, identity: list[os.stat_result]) -> None:
    """Delete the file while the lock is held, so that no other process locks a deleted file."""
    with suppress(OSError):  # the lock ends anyway
        if os.name != "nt" and identity and os.path.samestat(file.lstat(), identity[0]):
            file.unlink()
    lock.release()
