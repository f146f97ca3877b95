"""How a batch is cut for the networks: chunks that fit the cache, padded so that no row feels its neighbours."""

from collections.abc import Iterator

import torch
from torch import Tensor

from interpolants.dynamics.invariance import SMALLEST, rows_are_independent
from interpolants.dynamics.job import Job
from interpolants.fields.protocol import Fields
from interpolants.foundations.memory import chunk_rows
from interpolants.foundations.randomness import BLOCK
from interpolants.foundations.types import Condition, take_rows

# Rows at which the independence of rows is tried when the whole batch may go through at once.
_PROBE_ROWS = 4096


class Chunks:
    """How the batch is cut: chunks that start at multiples of 64 in the job's index, padded to a safe size."""

    def __init__(
        self,
        fields: Fields,
        job: Job,
        x: Tensor,
        cond: Condition,
        chunk: int | None,
        first_index: int,
        invariant: bool,
    ) -> None:
        self.x, self.cond, self.first_index = x, cond, first_index
        few = slice(0, min(SMALLEST, x.shape[0]))
        field = job.velocity(take_rows(cond, few)) if job.noise is None else job.drift(take_rows(cond, few))
        time = torch.full(
            (), float(job.grid.mean()), dtype=torch.float64 if x.dtype == torch.float64 else torch.float32
        )
        time = time.to(x.device)
        networks = getattr(fields, "networks", [])
        rows = chunk if chunk is not None else chunk_rows(networks, lambda: field(x[few], time), x[few])
        self.chunk = x.shape[0] if rows is None else rows
        self.pad, self.aligned = 0, False
        if invariant:
            self._make_invariant(fields, job, time, rows)

    def _make_invariant(self, fields: Fields, job: Job, time: Tensor, rows: int | None) -> None:
        cond = self.cond

        def call(states: Tensor) -> Tensor:
            repeated = take_rows(cond, torch.zeros(states.shape[0], dtype=torch.long, device=states.device))
            field = job.velocity(repeated) if job.noise is None else job.drift(repeated)
            return field(states, time)

        # The verdict must not depend on this call's batch: it is asked for the size that any call may use.
        largest = rows if rows is not None else _PROBE_ROWS
        if rows_are_independent(fields, call, self.x, largest):
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
