"""Equal rows, which a random split must keep together: otherwise training rows would also be test rows."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.foundations.randomness import generator
from interpolants.foundations.row_access import MANY, LazyRows, in_memory, pieces, some_rows, taken

# Fewest different rows, and the largest share of rows of one value, of which repetitions are copies: not few values,
# rather than an atom of a distribution, such as exact zeros.
_FEWEST, _ATOM = 20, 0.05
# Rows in which the values of columns are counted, and how near to multiples of one step values must lie.
_LOOKED_AT, _NEAR = 4096, 0.05
# Entries of the rows on disk that are looked at first: 32 MiB of float32.
_ENTRIES = 2**23

_Words = NDArray[np.uint64]


def copies(*values: Any) -> Tensor | None:
    """Return the number of the first row that each row is a copy of, ``(N,)``, or None if no row is a copy.

    Rows are copies if all their values are equal, where continuous rows would not be: rows of few whole or rounded
    numbers, which repeat by chance, are not copies, and neither is a row that makes up more than 5 % of all, nor one
    of fewer than 20 different ones. Rows are compared by 64-bit hashes, in one pass. Of more than 65,536 rows on disk
    some are looked at first, and all only if there are copies among these: a few copies among millions are not seen.

    Args:
        values: Tensors or ``LazyRows`` ``(N, *D)``, or lists of N tensors, whose rows belong together. Other values
            are not compared.
    """
    rows = [value for value in values if _has_rows(value)]
    if not rows or not len(rows[0]) or _some_differ(rows):
        return None
    _, first, inverse, counts = np.unique(
        row_hashes(*rows), return_index=True, return_inverse=True, return_counts=True
    )
    n, different = len(inverse), len(first)
    if different == n or different < _FEWEST or _repeat_by_chance(rows, different):
        return None
    own, number = np.arange(n), first[inverse]
    found = np.where(counts[inverse] > _ATOM * n, own, number)
    return None if bool((found == own).all()) else torch.from_numpy(found)


def _some_differ(rows: Sequence[Any]) -> bool:
    """Whether rows on disk are many, and some of them all different.

    Hashes of all would be a list as long as the file. Of N rows of which each has c copies, n that are drawn at random
    hold n^2 (c - 1) / (2 N) equal pairs: 400 for four copies each in 16 million.
    """
    n = len(rows[0])
    if n <= MANY or not any(isinstance(value, LazyRows) for value in rows):
        return False
    if any(isinstance(value, list) for value in rows):
        return False
    wide = sum(math.prod(value.shape[1:]) for value in rows)
    count = min(MANY, max(_LOOKED_AT, _ENTRIES // max(wide, 1)))
    index = some_rows(n, count, generator(0, "rows to look at for copies")).sort().values
    hashes = row_hashes(*(taken(value, index) for value in rows))
    return len(np.unique(hashes)) == len(hashes)


def row_hashes(*values: Any) -> _Words:
    """Return a 64-bit hash of each row of some values that belong together, ``(N,)``; -0 and 0 are equal.

    Args:
        values: Tensors or ``LazyRows`` ``(N, *D)``, or lists of N tensors.
    """
    found = np.zeros(len(values[0]), dtype=np.uint64)
    for value in values:
        found = _mixed(found) + _hashes(value)
    return found


def together(order: Tensor, first: Tensor | None) -> Tensor:
    """Return an order of rows in which copies follow the first of them at once; the order itself without copies.

    Args:
        order: Some or all rows.
        first: What :func:`copies` returned.
    """
    if first is None:
        return order
    groups = first[order].numpy()
    _, where, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return order[torch.from_numpy(np.argsort(where[inverse], kind="stable"))]


def uncut(order: Tensor, first: Tensor | None, at: int) -> int:
    """Return the place nearest to one in an order of :func:`together` at which it is cut without parting copies.

    Args:
        order: Rows in an order in which copies follow each other.
        first: What :func:`copies` returned.
        at: Requested number of rows before the split.
    """
    if first is None or not 0 < at < len(order):
        return at
    groups = first[order]
    ends = (groups[1:] != groups[:-1]).nonzero().flatten() + 1
    return int(ends[(ends - at).abs().argmin()]) if len(ends) else at


def count_shared(there: Sequence[Any], here: Sequence[Any]) -> int:
    """Return the number of rows of ``here`` that are copies of a row of ``there``; 0 where rows repeat by chance.

    Args:
        there: Values whose rows belong together, as for :func:`copies`.
        here: The same values of other rows.
    """
    some = [(a, b) for a, b in zip(there, here, strict=True) if _has_rows(a) and _has_rows(b)]
    if not some or not len(some[0][1]):
        return 0
    sides = [row_hashes(*rows) for rows in zip(*some, strict=True)]
    values, counts = np.unique(np.concatenate(sides), return_counts=True)
    n = sum(map(len, sides))
    rare = values[counts <= max(_ATOM * n, 2)]
    shared = int((np.isin(sides[1], sides[0]) & np.isin(sides[1], rare)).sum())
    by_chance = len(values) < _FEWEST or _repeat_by_chance([a for a, _ in some], len(values))
    return 0 if shared and by_chance else shared


def _has_rows(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(part, Tensor) for part in value)
    return isinstance(value, Tensor | LazyRows) and value.ndim > 0


def _hashes(value: Any) -> _Words:
    if isinstance(value, list):
        return np.array([_hashes(part.reshape(1, -1))[0] for part in value], dtype=np.uint64)
    return np.concatenate([_of_piece(piece) for piece in pieces(value)])


def _of_piece(piece: Tensor) -> _Words:
    """Each entry mixed with its place, and summed: sums of entries alone would be those of others."""
    flat = piece.detach().cpu().reshape(len(piece), -1)
    plain = flat.double() + 0.0 if flat.is_floating_point() else flat.long()
    words = np.ascontiguousarray(plain.numpy()).view(np.uint64)
    places = _mixed(np.arange(1, words.shape[1] + 1, dtype=np.uint64))
    found: _Words = _mixed(words ^ places).sum(1, dtype=np.uint64)
    return found


def _mixed(words: _Words) -> _Words:
    """The finaliser of SplitMix64, a bijection in which every bit depends on all."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _repeat_by_chance(rows: Sequence[Any], different: int) -> bool:
    """Whether there are fewer possible rows than pairs of different ones, so that some are equal by chance."""
    pairs, possible = different**2 / 2, 1.0
    for value in rows:
        if isinstance(value, list):
            return False
        some = in_memory(value[:_LOOKED_AT]).detach().cpu().reshape(min(len(value), _LOOKED_AT), -1)
        for column in some.double().numpy().T:
            possible *= _possible_values(column)
            if possible > pairs:
                return False
    return True


def _possible_values(column: NDArray[np.float64]) -> float:
    """Number of values between the ends of a column of multiples of one step; infinite for others."""
    values = np.unique(column[np.isfinite(column)])
    if len(values) < 2:
        return 1.0
    step = float(np.diff(values).min())
    steps = (values - values[0]) / step
    return float(steps[-1]) + 1 if bool((np.abs(steps - steps.round()) < _NEAR).all()) else np.inf
