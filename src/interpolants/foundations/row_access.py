"""Rows of which not all need to be in memory: read by slice or index, and gone through in pieces.

A tensor ``(N, *D)`` and :class:`LazyRows` of the same numbers give the same bits wherever code reads them by
:func:`pieces`, :func:`each` and ``x[rows]``.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.foundations.records import record

# Entries of a piece: 8 MiB of float64.
PIECE = 2**20
# Rows above which some are chosen without a list of all.
MANY = 2**16


def _identity(rows: "LazyRows") -> dict[str, Any]:
    changes = {"variation": rows.variation} if rows.variation else {}
    return {"shape": list(rows.shape), "bytes": hash_of(rows), **changes}


@record("lazy_rows", parts=_identity)
@dataclass(frozen=True, eq=False)
class LazyRows:
    """Rows that are computed on request.

    Attributes:
        read: Rows by slice or by a tensor of indices, in memory.
        shape: ``(N, *D)``.
        dtype: Type of the rows.
        vary: Rows by indices and a generator, changed at random (flipped, say) each time that training draws them;
            None where training sees what ``read`` gives.
        variation: Description of the random change, part of the identity of a fit.
    """

    read: Callable[[Any], Tensor] = field(repr=False)
    shape: torch.Size
    dtype: torch.dtype
    vary: Callable[[Tensor, Generator], Tensor] | None = field(default=None, repr=False)
    variation: str = ""

    @property
    def ndim(self) -> int:
        """Number of dimensions, that of rows included."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Tensor:
        return self.read(rows)


Rows = Any  # a tensor, or LazyRows; a union would make every reader of tensors generic


def training_rows(x: Rows, index: Tensor, generator: Generator) -> Tensor:
    """Rows of a training step by index, with the random changes of rows that have some."""
    if isinstance(x, LazyRows) and x.vary is not None:
        return x.vary(index, generator)
    rows: Tensor = x[index]
    return rows


def each(x: Rows, change: Callable[[Tensor], Tensor]) -> Rows:
    """A function that keeps rows apart, of all rows: at once for a tensor, else on request."""
    if isinstance(x, Tensor):
        return change(x)
    head, vary = change(x[:1]), x.vary
    return replace(
        x,
        read=lambda rows: change(x[rows]),
        shape=torch.Size((len(x), *head.shape[1:])),
        dtype=head.dtype,
        vary=None if vary is None else lambda index, source: change(vary(index, source)),
    )


def in_memory(x: Rows) -> Tensor:
    """All rows as a tensor."""
    found: Tensor = x if isinstance(x, Tensor) else x[:]
    return found


def pieces(x: Rows, entries: int = PIECE) -> Iterator[Tensor]:
    """All rows in order, a bounded number of entries at a time."""
    rows = max(1, entries // max(1, math.prod(x.shape[1:])))
    return (x[start : start + rows] for start in range(0, len(x), rows))


def joined(first: Rows, second: Rows) -> Rows:
    """The rows of one after those of the other, in the type of the first; to be read by slice where it is lazy."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.cat([first, second.to(first)])
    n, both = len(first), len(first) + len(second)

    def read(rows: slice) -> Tensor:
        start, stop, _ = rows.indices(both)
        head, tail = first[min(start, n) : min(stop, n)], second[max(start - n, 0) : max(stop - n, 0)]
        return torch.cat([head, tail.to(head)])

    return LazyRows(read, torch.Size((both, *first.shape[1:])), first.dtype)


def root_mean_square(x: Rows) -> float:
    """Root mean square over the entries of all rows, or of 65,536 evenly spaced ones, in float64."""
    some = x if len(x) <= MANY else taken(x, torch.arange(0, len(x), -(-len(x) // MANY)))
    total = [piece.double().square().mean() * (len(piece) / len(some)) for piece in pieces(some)]
    return float(torch.stack(total).sum().sqrt())


def hash_of(x: Rows) -> str:
    """SHA-256 of the bytes of all rows."""
    found = hashlib.sha256(str(x.dtype).encode())
    for piece in pieces(x):
        found.update(piece.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


# --- choosing rows -------------------------------------------------------------------------------------------


def some_rows(n: int, count: int, generator: Generator) -> Tensor:
    """``count`` different rows of ``n`` in random order; of many rows without a list of all."""
    if n <= MANY or 2 * count > n:
        return torch.randperm(n, generator=generator)[:count]
    found: list[int] = []
    while len(found) < count:
        drawn = torch.randint(n, (2 * count,), generator=generator).tolist()
        found = list(dict.fromkeys([*found, *drawn]))
    return torch.tensor(found[:count])


def taken(x: Rows, index: Tensor) -> Rows:
    """Return the selected rows, by index."""
    if isinstance(x, Tensor):
        return x[index]
    return _selected(x, lambda rows: x[index[rows]], len(index), lambda rows: index[rows])


def without_rows(x: Rows, away: Tensor) -> Rows:
    """All rows but some, in order."""
    kept = len(x) - len(away)
    # Row k of what is left is row k + j of all, where j of those that are away lie before it.
    before = away.sort().values - torch.arange(len(away))

    def among_all(rows: Any) -> Tensor:
        index = torch.arange(kept)[rows] if isinstance(rows, slice) else rows
        return index + torch.searchsorted(before, index, right=True)

    if isinstance(x, Tensor):
        return x[among_all(slice(None))]

    def read(rows: Any) -> Tensor:
        if not isinstance(rows, slice):
            found: Tensor = x[among_all(rows)]
            return found
        start, stop, step = rows.indices(kept)
        return torch.empty(0) if stop <= start else _read(torch.arange(start, stop, step))

    def _read(index: Tensor) -> Tensor:
        first, last = (int(row) for row in among_all(index[[0, -1]]))
        stretch: Tensor = x[first : last + 1]  # in one go: a piece is read in order
        return stretch[among_all(index) - first]

    return _selected(x, read, kept, among_all)


def _selected(x: Rows, read: Callable[[Any], Tensor], n: int, among: Callable[[Tensor], Tensor]) -> Rows:
    vary = x.vary
    return replace(
        x,
        read=read,
        shape=torch.Size((n, *x.shape[1:])),
        vary=None if vary is None else lambda index, source: vary(among(index), source),
    )
