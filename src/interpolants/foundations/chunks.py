"""Chunking of batches: chunks that fit the cache, padded so that a row's result does not depend on its neighbours."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from interpolants.foundations.invariance import SMALLEST, rows_are_independent
from interpolants.foundations.memory import chunk_rows
from interpolants.foundations.randomness import BLOCK
from interpolants.foundations.types import Condition, take_rows

# Rows at which the independence of rows is tried when the whole batch may go through at once.
_PROBE_ROWS = 4096


class Chunks:
    """Chunking of a batch: chunks that start at multiples of 64 in the job's index, padded to a safe size.

    Args:
        owner: What the verdict on the independence of rows belongs to: the fields, the network.
        call: ``call(x, cond)`` evaluates it once, at any fixed time.
        x: States of the whole batch, ``(B, *D)``.
        cond: Their conditions.
        networks: The modules behind ``call``, whose activations decide how many rows fit the cache.
        chunk: Rows at once; chosen when None.
        first_index: Index of the first row in the whole job.
        invariant: Whether rows must not feel their batch, to the last bit.
    """

    def __init__(
        self,
        owner: object,
        call: Callable[[Tensor, Condition], Tensor],
        x: Tensor,
        cond: Condition,
        *,
        networks: Iterable[nn.Module] = (),
        chunk: int | None,
        first_index: int,
        invariant: bool,
    ) -> None:
        self.x, self.cond, self.first_index = x, cond, first_index
        few = slice(0, min(SMALLEST, x.shape[0]))
        given = take_rows(cond, few)
        rows = chunk if chunk is not None else chunk_rows(networks, lambda: call(x[few], given), x[few])
        self.chunk = x.shape[0] if rows is None else rows
        self.pad, self.aligned = 0, False
        if invariant:
            self._make_invariant(owner, call, rows)

    def _make_invariant(
        self, owner: object, call: Callable[[Tensor, Condition], Tensor], rows: int | None
    ) -> None:
        def probe(states: Tensor) -> Tensor:
            return call(
                states,
                take_rows(self.cond, torch.zeros(states.shape[0], dtype=torch.long, device=states.device)),
            )

        # The verdict must not depend on this call's batch: it is asked for the size that any call may use.
        largest = rows if rows is not None else _PROBE_ROWS
        if rows_are_independent(owner, probe, self.x, largest):
            self.pad = SMALLEST
        else:
            self.chunk, self.pad, self.aligned = BLOCK, BLOCK, True

    def __iter__(self) -> Iterator[tuple[slice, int]]:
        """Row ranges and the index of the first row of the padded chunk."""
        begin, total = 0, self.x.shape[0]
        while begin < total:
            index = self.first_index + begin
            room = self.chunk - index % BLOCK if (self.aligned or self.chunk > BLOCK) else self.chunk
            end = min(total, begin + max(1, room))
            yield slice(begin, end), index - index % BLOCK if self.aligned else index
            begin = end

    def lead(self, rows: slice, first: int) -> int:
        """Padding rows before the chunk's own."""
        lead: int = self.first_index + rows.start - first
        return lead

    def take(self, rows: slice, first: int) -> tuple[Tensor, Condition]:
        """States and conditions of a chunk, padded by repeating its first row."""
        lead, count = self.lead(rows, first), rows.stop - rows.start
        total = max(self.pad, lead + count)
        if total == count:
            return self.x[rows], take_rows(self.cond, rows)
        where = torch.full((total,), rows.start, dtype=torch.long, device=self.x.device)
        where[lead : lead + count] = torch.arange(rows.start, rows.stop, device=self.x.device)
        return self.x[where], take_rows(self.cond, where)
