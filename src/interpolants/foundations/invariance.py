"""Batch invariance: whether a row of a network's output depends on the rest of the batch.

Matrix products pick other kernels for small batches, and rows then differ in the last bits. On the machines measured,
rows of a multilayer perceptron agree to the bit for every batch of 16 rows or more. This is checked once per model
(and shape, precision, thread count); where it fails, sampling falls back to blocks of one fixed size.
"""

import weakref
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.randomness import BLOCK

SMALLEST = 16
_known: "weakref.WeakKeyDictionary[Any, dict[Hashable, bool]]" = weakref.WeakKeyDictionary()


def rows_are_independent(owner: object, call: Callable[[Tensor], Tensor], x: Tensor, chunk: int) -> bool:
    """Whether the rows of ``call`` agree to the bit for batches of 16 rows up to ``chunk``.

    Args:
        owner: What the verdict belongs to; remembered for it.
        call: ``(b, *D) -> (b, ...)``, the field at one fixed time.
        x: At least one row to build test states from, ``(B, *D)``.
        chunk: Largest batch that will be used.
    """
    try:
        known = _known.setdefault(owner, {})
    except TypeError:  # an owner that cannot be hashed is probed each time
        known = {}
    place = (tuple(x.shape[1:]), x.dtype, str(x.device), torch.get_num_threads(), chunk)
    if place not in known:
        known[place] = _probe(call, x, chunk)
    return known[place]


def _probe(call: Callable[[Tensor], Tensor], x: Tensor, chunk: int) -> bool:
    rows = max(chunk, 2 * BLOCK)
    states = _test_states(rows, x)
    whole = call(states[:chunk]) if chunk >= 2 * BLOCK else call(states)
    for size in (SMALLEST, SMALLEST + 1, 31, BLOCK, BLOCK + 36):
        if size < rows and not torch.equal(call(states[:size]), whole[:size]):
            return False
    return True


def _test_states(rows: int, x: Tensor) -> Tensor:
    """Noise around the first state; for tokens, any that are no larger than those of ``x``."""
    generator, shape = torch.Generator().manual_seed(0), (rows, *x.shape[1:])
    if x.is_floating_point():
        return torch.randn(shape, generator=generator).to(x) + x[:1]
    return torch.randint(int(x.max()) + 1, shape, generator=generator).to(x)
