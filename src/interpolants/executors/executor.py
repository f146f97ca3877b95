"""Protocol of executors."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Protocol

from interpolants.foundations.errors import InterpolantsError

ATTEMPTS = 3


class LostWorkerError(InterpolantsError, RuntimeError):
    """A piece of work has lost its process in every attempt. What was finished is kept."""


class Executor(Protocol):
    """Calls a function once for each of many items, somewhere.

    The function is one of a module, and depends on its arguments alone. A piece whose process was killed is run again:
    what it writes must be whole or absent. Arguments and answers travel between processes.

    Attributes:
        one_driver: Whether one process hands out all the work; under ``torchrun`` each process takes its own share.
        workers: Pieces that run at a time, where this is known; 0 where the cluster decides.
        leads: Whether this process gets the answers.
    """

    one_driver: ClassVar[bool]

    @property
    def workers(self) -> int: ...  # noqa: D102

    @property
    def leads(self) -> bool: ...  # noqa: D102

    def each(
        self, call: Callable[..., Any], items: Mapping[str, tuple[Any, ...]], *, threads: int = 0
    ) -> Iterator[tuple[str, Any]]:
        """Names and answers of the items, each as soon as it is there.

        Args:
            call: The function.
            items: Arguments by name.
            threads: Threads of PyTorch in each process; 0 for as many as here, without which sums may round otherwise.

        Raises:
            LostWorkerError: If the process of a piece was killed in each of several attempts.
            Exception: What a piece raised; pieces that have not begun are then left.
        """
        ...


def lost(names: str) -> LostWorkerError:
    """The error for pieces that could not be finished.

    Args:
        names: Their names.
    """
    told = f"{names}: the process was killed in {ATTEMPTS} attempts, which is often for want of memory"
    return LostWorkerError(f"{told}. Finished pieces are kept. Use fewer workers or fewer rows at a time")
