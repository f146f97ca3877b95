"""Chunking of batches: chunks that fit the cache, padded so that a row's result does not depend on its neighbours."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from interpolants.foundations.invariance import (
    fewest_rows,
    found_of,
    most_rows,
    rows_are_independent,
    weights_of,
    whole_rows,
)
from interpolants.foundations.memory import chunk_rows, layer_sizes
from interpolants.foundations.randomness import BLOCK
from interpolants.foundations.types import Condition, join_rows, parts_of, take_rows

# Rows at which the independence of rows is tried when the whole batch may go through at once.
_PROBE_ROWS = 4096
_FEW = 13  # rows that show the sizes of layers: a prime, unlikely as the size of anything else
# A tuple of answers, named or plain.
T = TypeVar("T", bound=tuple[Any, ...])


@dataclass(frozen=True)
class Chunk:
    """Padded rows of a batch that pass through the networks together.

    Attributes:
        x: States ``(b, *D)``.
        cond: Their conditions.
        first: Index of the first row in the whole job.
        own: The requested rows, without padding.
        rows: Their indices in the batch.
        fewest: Minimum number of rows of a call with results that are bitwise independent of the other rows; 0 if
            it may depend on them.
    """

    x: Tensor
    cond: Condition
    first: int
    own: slice
    rows: slice
    fewest: int = 0


class Chunks:
    """Chunking of a batch: chunks that start at multiples of 64 in the job's index, padded to a safe size.

    Args:
        owner: What the verdict on the independence of rows belongs to: the fields, the network.
        call: ``call(x, cond)`` evaluates it once, at any fixed time.
        x: States of the whole batch, ``(B, *D)``.
        cond: Their conditions.
        networks: The modules behind ``call``, whose activations decide how many rows fit the cache.
        chunk: Rows at once; chosen when None. 64 with ``invariant``: each call has exactly 64 rows, and each row
            its own place among them, so that no kernel can tell batches apart.
        first_index: Index of the first row in the whole job.
        invariant: Whether the result of a row must be bitwise independent of its batch.
        how: How ``call`` asks, where there are several ways; a verdict holds for one.
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
        how: str = "",
    ) -> None:
        self.how = how
        self.x, self.cond, self.first_index = x, cond, first_index
        few = slice(0, _FEW)
        states, given, networks = x[few], take_rows(cond, few), list(networks)
        self._weights = weights_of(networks)
        known = found_of(owner)
        shapes = tuple(part.shape for part in parts_of(given))
        place = ("sizes", states.shape, states.dtype, str(states.device), shapes, how, self._weights)
        if place not in known:
            known[place] = layer_sizes(networks, partial(call, states, given), states)
        sizes: set[int] = known[place]
        rows = chunk if chunk is not None else chunk_rows(x, max(sizes))
        self.chunk = x.shape[0] if rows is None else rows
        self.pad, self.aligned = 0, False
        if not invariant:
            return

        def probe(states: Tensor) -> Tensor:
            first = torch.zeros(states.shape[0], dtype=torch.long, device=states.device)
            return call(states, take_rows(cond, first))

        self.pad, most = fewest_rows(x, sizes), most_rows(x, max(sizes))
        if rows is not None:  # rows of 1 to 64 are padded, more come in multiples of 64
            rows = max(BLOCK, rows // BLOCK * BLOCK)
        if most is not None:
            rows = most if rows is None else min(rows, most)
        # The verdict must not depend on this call's batch: it is asked for the size that any call may use.
        largest = min(rows, 2 * _PROBE_ROWS) if rows is not None else _PROBE_ROWS
        asked: dict[str, Any] = {"networks": networks, "how": how, "weights": self._weights}
        if chunk != BLOCK and rows_are_independent(owner, probe, x, largest, fewest=self.pad, **asked):
            self.chunk = self.chunk if rows is None else min(self.chunk, rows)
        else:
            self.chunk, self.pad, self.aligned = BLOCK, BLOCK, True

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks in order."""
        begin, total = 0, self.x.shape[0]
        while begin < total:
            index = self.first_index + begin
            room = self.chunk - index % BLOCK if (self.aligned or self.chunk > BLOCK) else self.chunk
            end = min(total, begin + max(1, room))
            yield self._padded(slice(begin, end), index % BLOCK if self.aligned else 0)
            begin = end

    def map(self, run: Callable[[Chunk], T], progress: Callable[[int], None] | None = None) -> T:
        """Run every chunk and put the answers together, without the padding.

        Args:
            run: A chunk -> a tuple, named or plain. Tensors have one row per row of the chunk, in dicts and tuples too;
                anything else must be the same for all chunks, and is kept unchanged.
            progress: Called with the number of rows done after each chunk.
        """
        parts = []
        for chunk in self:
            parts.append(_cut(run(chunk), chunk))
            if progress is not None:
                progress(chunk.rows.stop)
        return join(parts)

    def _padded(self, rows: slice, lead: int) -> Chunk:
        """States and conditions of some rows, padded by repeating the first; ``lead`` is the padding before them."""
        count, first = rows.stop - rows.start, self.first_index + rows.start - lead
        total = whole_rows(lead + count, self.pad) if self.pad else count
        own = slice(lead, lead + count)
        if total == count:
            return Chunk(self.x[rows], take_rows(self.cond, rows), first, own, rows, self.pad)
        where = torch.full((total,), rows.start, dtype=torch.long, device=self.x.device)
        where[own] = torch.arange(rows.start, rows.stop, device=self.x.device)
        return Chunk(self.x[where], take_rows(self.cond, where), first, own, rows, self.pad)


def _cut(answers: T, chunk: Chunk) -> T:
    whole = chunk.own.start == 0 and chunk.own.stop == chunk.x.shape[0]
    return answers if whole else _like(answers, (_apply(value, chunk.own) for value in answers))


def join(parts: Sequence[T]) -> T:
    """Concatenate tuples of answers: tensors in sequence, the first of anything else."""
    if len(parts) == 1:
        return parts[0]
    return _like(parts[0], (_joined(values) for values in zip(*parts, strict=True)))


def _like(like: T, values: Iterable[Any]) -> T:
    # A plain tuple takes one iterable: given a single tensor by itself, it would hold the tensor's rows.
    make: Callable[[Iterable[Any]], T] = getattr(type(like), "_make", type(like))
    return make(values)


def _apply(value: Any, rows: slice) -> Any:
    return take_rows(value, rows) if isinstance(value, Tensor | dict | tuple) else value


def _joined(values: Sequence[Any]) -> Any:
    return join_rows(values) if isinstance(values[0], Tensor | dict | tuple) else values[0]
