"""Background work for a page: one computation at a time, with progress, a time limit and cancellation."""

import asyncio
import json
import math
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import nn

from interpolants.foundations.errors import DivergedError, InterpolantsError, InvalidInputError, invalid

SECONDS = 60.0
MOST_WAITING = 8
# How often a page is told how far its work is.
_BEAT = 0.15

Result = TypeVar("Result")


class CancelledError(Exception):
    """Nobody waits for the answer any more."""


class OvertimeError(InvalidInputError):
    """Raised when work takes longer than it may."""


class BusyError(Exception):
    """Too much work waits already."""


@dataclass
class Work:
    """One computation, seen from inside (how far it is) and from outside (whether it is wanted).

    Attributes:
        seconds: It may take so long once it has begun.
        share: How much is done, in [0, 1]; None where nobody knows.
        said: What is being done, in words.
        server: Name of the server, used in error messages.
    """

    seconds: float = SECONDS
    share: float | None = None
    said: str = ""
    server: str = "explorer"
    _unwanted: threading.Event = field(default_factory=threading.Event)
    _begun: float | None = None

    def begin(self) -> None:
        """Let the clock run."""
        self._begun = time.monotonic()

    def cancel(self) -> None:
        """Say that nobody wants it; it stops at its next :meth:`step`."""
        self._unwanted.set()

    def step(self, share: float | None = None, said: str | None = None) -> None:
        """Note progress and go on.

        Raises:
            CancelledError: If nobody waits.
            OvertimeError: If the time is up.
        """
        if share is not None:
            self.share = min(max(share, 0.0), 1.0)
        if said is not None:
            self.said = said
        if self._unwanted.is_set():
            raise CancelledError
        if self._begun is not None and time.monotonic() - self._begun > self.seconds:
            rule, remedy = (
                f"work must end within {self.seconds:g} s",
                "Use fewer samples, steps or noise levels.",
            )
            raise OvertimeError(str(invalid(self.server, rule, "more", remedy)))


@contextmanager
def watched(
    work: Work, networks: Iterator[nn.Module] | list[nn.Module], calls: int | None = None, begun: int = 0
) -> Iterator[None]:
    """Let ``work`` end, and progress, at each call of these networks, whoever calls them.

    Args:
        work: What is going on.
        networks: The networks of a bridge.
        calls: How many calls are expected in all; None leaves the share alone.
        begun: How many of them were made before.
    """
    done = begun

    def note(*_: Any) -> None:
        nonlocal done
        done += 1
        work.step(None if not calls else min(done / calls, 0.99))

    hooks = [network.register_forward_pre_hook(note) for network in networks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Answer:
    """Plain facts, and numbers as bytes behind them.

    Attributes:
        facts: For JSON.
        blocks: Arrays as bytes; the facts say how to read them.
    """

    facts: dict[str, Any]
    blocks: tuple[bytes, ...] = ()


class Desk:
    """Takes work and tells of it as lines of JSON: ``{"waits"}``, ``{"share", "said"}``, then ``{"answer", "bytes"}``
    with that many bytes behind it, or ``{"error"}``.

    One thread computes, one piece of work after another: no two of them share a random generator or a model at a time.

    Args:
        seconds: Limit of each piece of work.
        waiting: Largest number of pieces that wait while one is computed.
        server: Name of the server, used in error messages.
    """

    def __init__(
        self, seconds: float = SECONDS, waiting: int = MOST_WAITING, server: str = "explorer"
    ) -> None:
        self.seconds, self.waiting, self.server = seconds, waiting, server
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=server)
        self._open = 0

    @property
    def open(self) -> int:
        """Number of pieces of work that are computed or wait."""
        return self._open

    def close(self) -> None:
        """Stop the thread; work that waits is cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def result(self, task: Callable[[Work], Result], has_left: Callable[[], Awaitable[bool]]) -> Result:
        """Return the result of a task, or raise its error.

        Args:
            task: The task.
            has_left: Whether the client has closed the connection; the task is then cancelled.

        Raises:
            BusyError: If too many wait.
            CancelledError: If the client has left.
        """
        if self._open > self.waiting:
            raise BusyError
        with self._begun(task) as (future, _):
            awaited = asyncio.wrap_future(future)
            awaited.add_done_callback(_seen)
            while not awaited.done():
                await asyncio.wait([awaited], timeout=_BEAT)
                if not awaited.done() and await has_left():
                    raise CancelledError
            return awaited.result()

    @contextmanager
    def _begun(self, task: Callable[[Work], Result]) -> Iterator[tuple["Future[Result]", Work]]:
        """Queue a task; at the end of the block, whatever ends it, the task is cancelled and frees the next."""
        job = Work(self.seconds, server=self.server)

        def run() -> Result:
            job.begin()
            job.step()
            return task(job)

        self._open += 1
        future = self._pool.submit(run)
        try:
            yield future, job
        finally:
            job.cancel()
            future.cancel()
            self._open -= 1

    def take(self, task: Callable[[Work], Answer]) -> AsyncIterator[bytes]:
        """Lines to read; the task is queued when the first is asked for.

        Raises:
            BusyError: If too many wait.
        """
        if self._open > self.waiting:
            raise BusyError
        return self._told(task)

    async def _told(self, task: Callable[[Work], Answer]) -> AsyncIterator[bytes]:
        # Queued when it is first read: what nobody ever reads takes no place.
        with self._begun(task) as (future, work):
            here = asyncio.wrap_future(future)
            here.add_done_callback(_seen)
            while not here.done():
                yield _line(_state(future, work))
                await asyncio.wait([here], timeout=_BEAT)
            yield _ending(future)


def _seen(future: "asyncio.Future[Any]") -> None:
    """Look at how it ended, so that nobody complains of a failure that has no reader any more."""
    if not future.cancelled():
        future.exception()


def _state(future: "Future[Answer]", work: Work) -> dict[str, Any]:
    return {"share": work.share, "said": work.said} if future.running() else {"waits": True}


def _ending(future: "Future[Answer]") -> bytes:
    try:
        answer = future.result()
    except CancelledError:
        return _line({"error": "Cancelled."})
    except (DivergedError, InterpolantsError) as error:
        return _line({"error": str(error)})
    except Exception as error:  # noqa: BLE001  # a fault of ours must not end as a page that waits for ever
        return _line(
            {"error": f"explorer: the work failed ({type(error).__name__}). Please report how you got here."}
        )
    body = b"".join(answer.blocks)
    return _line({"answer": answer.facts, "bytes": len(body)}) + body


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(finite(value), allow_nan=False).encode() + b"\n"


def finite(value: Any) -> Any:
    """Numbers that JSON has no words for become null, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    return [finite(inner) for inner in value] if isinstance(value, list | tuple) else value
