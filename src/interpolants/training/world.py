"""The processes that train together: one all-reduce per step, summed in a fixed order.

Gradients travel with the step's loss and a request to stop in one flat buffer whose layout never changes.
PyTorch's wrapper for data parallelism regroups its buckets after the first step, so a resumed run may add
in another order than the run it continues; and it needs the loss to be a module's ``forward``.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

import torch
import torch.distributed as dist
from torch import Tensor, nn

_groups = itertools.count()


def leads() -> bool:
    """Whether this process is the first of those that train together, or the only one."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return os.environ.get("RANK", "0") == "0"


def values_of_all(count: int, value: Callable[[int], float], device: torch.device) -> list[float]:
    """``value(k)`` for each k below ``count``, each computed by one of the processes that train together, for all.

    Every process makes the same number of calls, some of them for nothing where the processes do not divide ``count``:
    networks with cut weights are gathered by all processes together.
    """
    together = dist.is_available() and dist.is_initialized()
    rank, size = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)
    shared = torch.zeros(count, dtype=torch.float64, device=device)
    for k in range(rank, rank + -(-count // size) * size, size):
        number = value(k % count)
        if k < count:
            shared[k] = number
    if size > 1:
        dist.all_reduce(shared)  # of each entry all parts but one are zero, so the sum is exact
    numbers: list[float] = shared.tolist()
    return numbers


class World:
    """The place of this process among all; joins the group that ``torchrun`` announces, and leaves it again.

    Args:
        device: Where the training runs; decides between gloo and nccl for a new group.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._made = False
        self.rank, self.size = 0, 1

    def __enter__(self) -> "World":
        if not dist.is_available():
            return self
        if not dist.is_initialized() and "RANK" in os.environ and "WORLD_SIZE" in os.environ:
            if self._device.type == "cuda":
                torch.cuda.set_device(self._device)
            self._join("nccl" if self._device.type == "cuda" else "gloo")
        if dist.is_initialized():
            self.rank, self.size = dist.get_rank(), dist.get_world_size()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made:
            dist.destroy_process_group()

    def _join(self, backend: str) -> None:
        # The launcher's store outlives a group: a second run in the same processes would read the first
        # one's dead addresses there, so each group gets a part of the store for itself.
        from torch.distributed.distributed_c10d import PrefixStore  # absent from builds without distribution
        from torch.distributed.rendezvous import rendezvous

        store, rank, size = next(iter(rendezvous("env://")))
        own = PrefixStore(f"interpolants-{next(_groups)}", store)
        dist.init_process_group(backend, store=own, rank=rank, world_size=size)
        self._made = True

    @property
    def leads(self) -> bool:
        """Whether this process writes and shows."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        found = values.clone()
        if self.size > 1:
            dist.all_reduce(found)
        return found

    def average(self, parameters: Sequence[nn.Parameter], extras: Sequence[Tensor]) -> Tensor:
        """Average the gradients in place, and return the average of the 0-d ``extras``, ``(n,)``.

        A missing gradient counts as zero, here or everywhere: all processes must agree on the layout. All travel in
        the widest type among them, so that a loss does not overflow in that of the weights.
        """
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([part.reshape(-1) for part in (*parts, *(e.detach() for e in extras))])
        dist.all_reduce(flat)
        flat /= self.size
        pieces: tuple[Tensor, ...] = torch.split(flat, [*(p.numel() for p in parameters), len(extras)])
        for p, piece in zip(parameters, pieces, strict=False):
            p.grad = piece.view_as(p).to(p.dtype)
        return pieces[-1]

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the values of the first."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def agree(self, number: int) -> int:
        """The first process's number, for all."""
        if self.size == 1:
            return number
        value = torch.tensor([number], dtype=torch.int64, device=self._device)
        dist.broadcast(value, src=0)
        return int(value.item())

    def agree_value(self, value: float) -> float:
        """The first process's value, for all."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self._device)
        dist.broadcast(shared, src=0)
        return float(shared.item())

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.size

    def barrier(self) -> None:
        """Wait until all processes arrive."""
        if self.size > 1:
            dist.barrier()
