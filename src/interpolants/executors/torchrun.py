"""Executor of the processes that torchrun has started."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import torch
import torch.distributed as dist

from interpolants.foundations.errors import invalid

# Ranks wait for the slowest one at the end.
_PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class Torchrun:
    """Processes of ``torchrun``: of W ranks, rank r calls items r, r + W, r + 2 W, ...

    Answers come to rank 0 when all are there.

    Raises:
        InvalidInputError: If ``torchrun`` has not started this process.
    """

    one_driver: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
            remedy = "torchrun --nproc-per-node 4 -m interpolants sample RUN ... --executor torchrun"
            raise invalid("--executor torchrun", "torchrun must have started this process", "no rank", remedy)

    @property
    def workers(self) -> int:
        """Number of ranks."""
        return int(os.environ["WORLD_SIZE"])

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return os.environ["RANK"] == "0"

    def each(
        self, call: Callable[..., Any], items: Mapping[str, tuple[Any, ...]], *, threads: int = 0
    ) -> Iterator[tuple[str, Any]]:
        """As in :class:`Executor`; ranks other than 0 get nothing."""
        if threads:
            torch.set_num_threads(threads)
        own = list(items)[int(os.environ["RANK"]) :: self.workers]
        answers = {name: call(*items[name]) for name in own}
        for part in self._gathered(answers):
            yield from part.items()

    def _gathered(self, answers: dict[str, Any]) -> list[dict[str, Any]]:
        """The answers of all ranks on rank 0, none elsewhere."""
        made = not dist.is_initialized()
        if made:
            dist.init_process_group("gloo", timeout=_PATIENCE)
        try:
            parts: list[Any] = [None] * dist.get_world_size()
            dist.gather_object(answers, parts if self.leads else None)
            return parts if self.leads else []
        finally:
            if made:
                dist.destroy_process_group()
