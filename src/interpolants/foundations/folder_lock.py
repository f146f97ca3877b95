"""Lock of a folder: one process writes in it, and a second is refused with who holds it.

The lock is the operating system's, on the file ``.lock`` in the folder. It ends with its process, however that ends, so
nothing stale can block: a file that a dead process left is taken over. The file tells people who is at work.
"""

import errno
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from interpolants.foundations.errors import InvalidInputError, invalid
from interpolants.foundations.storage import StorageError

LOCK = ".lock"
_held: dict[str, int] = {}  # folders of this process's locks, and the thread that holds each
_TRIES = 100
_BEYOND = 1 << 20  # the byte that Windows locks: what is locked there cannot be read


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
    handle = _taken(who, Path(folder))
    _held[place] = thread
    try:
        yield
    finally:
        del _held[place]
        _leave(Path(folder) / LOCK, handle)


def _taken(who: str, folder: Path) -> int:
    file = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            handle = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
            try:
                if not _lock(handle):
                    raise _refused(who, folder, handle)
                if _is_still(file, handle):
                    _sign(handle)
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # its holder deleted it while we waited: take the new one
    except OSError as error:
        raise StorageError(error.errno, f"cannot lock {folder}: {error.strerror or error}") from error
    raise invalid(who, f"{folder} must be free", "a lock that changes hands", "Try again.")


def _lock(handle: int) -> bool:
    """Whether the lock is ours now; also where the disk knows no locks."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(handle, _BEYOND, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
            return True
        raise
    return True


def _is_still(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(file, follow_symlinks=False), os.fstat(handle))
    except FileNotFoundError:
        return False


def _sign(handle: int) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    told = {"process": os.getpid(), "machine": socket.gethostname(), "since": now}
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(told).encode())


def _refused(who: str, folder: Path, handle: int) -> InvalidInputError:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        told = json.loads(os.read(handle, 1000))
        holder = f"process {told['process']} on {told['machine']}, at work there since {told['since']}"
    except (ValueError, KeyError, TypeError):  # it has not signed yet
        holder = "another process, at work there"
    remedy = "Wait until it ends, or choose another folder."
    return invalid(who, f"{folder} must have no other process that writes in it", holder, remedy)


def _leave(file: Path, handle: int) -> None:
    """Delete the file while the lock is held, so that nobody takes a file that goes away."""
    try:
        if os.name != "nt" and _is_still(file, handle):
            file.unlink(missing_ok=True)
    except OSError:
        pass  # the lock ends anyway
    finally:
        os.close(handle)
