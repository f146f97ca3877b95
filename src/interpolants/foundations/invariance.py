"""Batch invariance: whether a row of a network's output depends on the rest of the batch.

Two things round a row differently in batches of other sizes. Elementwise functions use vector code for whole vectors
and scalar code for the few entries that are left over: of one tensor, or of each thread's part. None are left over
where a call has 32 rows (16 for layers of even size) or a multiple of 64, and at most two threads share it. Chunks are
cut so; half precision, and wide layers on several threads, take 64 rows, and three threads or more chunks that one
thread does (PyTorch splits tensors of more than 32,768 entries). And products of matrices pick other kernels for other
numbers of rows. That is tried out once per model (and shape, precision, thread count, and again when its weights
changed), layer by layer. Where it fails, every call gets one block of 64 rows, in which each row has its own place:
then it holds by construction.
"""

import weakref
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from interpolants.foundations.memory import watched
from interpolants.foundations.randomness import BLOCK

SMALLEST = 16
VECTOR = 32  # entries that vector code takes at once: two registers of 64 bytes
GRAIN = 32_768  # entries up to which PyTorch leaves a tensor to one thread (at::internal::GRAIN_SIZE)
_MOST_KNOWN = 128  # verdicts per model
_known: "weakref.WeakKeyDictionary[Any, dict[Hashable, Any]]" = weakref.WeakKeyDictionary()


def weights_of(networks: Iterable[nn.Module]) -> int:
    """A number that changes with the weights of networks."""
    return hash(tuple((p.data_ptr(), p._version) for net in networks for p in net.parameters()))


def found_of(owner: object) -> dict[Hashable, Any]:
    """Cached verdicts about ``owner``, by circumstances: callers look them up and add new ones."""
    try:
        known = _known.setdefault(owner, {})
    except TypeError:  # an owner that cannot be hashed, or weakly referenced, is tested each time
        return {}
    if len(known) >= _MOST_KNOWN:
        known.clear()
    return known


def fewest_rows(x: Tensor, sizes: Collection[int]) -> int:
    """Minimum number of rows in a call for states like ``x``, if its layers return ``sizes`` entries per row."""
    shared = x.is_cpu and torch.get_num_threads() > 1 and BLOCK * max(sizes) > GRAIN
    if shared or x.element_size() < 4:
        return BLOCK
    return SMALLEST if all(SMALLEST * size % VECTOR == 0 for size in sizes) else VECTOR


def most_rows(x: Tensor, widest: int) -> int | None:
    """Maximum number of rows in a call so that no thread's part ends within a vector; None if any number is fine."""
    if not x.is_cpu or torch.get_num_threads() <= 2:
        return None
    return max(BLOCK, GRAIN // widest // BLOCK * BLOCK)


def whole_rows(rows: int, fewest: int) -> int:
    """The number of rows that a call of at least ``rows`` is padded to: ``fewest``, or a multiple of 64."""
    return fewest if rows <= fewest else -(-rows // BLOCK) * BLOCK


def rows_are_independent(
    owner: object,
    call: Callable[[Tensor], Tensor],
    x: Tensor,
    chunk: int,
    *,
    fewest: int = VECTOR,
    networks: Iterable[nn.Module] = (),
    how: str = "",
    weights: int | None = None,
) -> bool:
    """Whether the rows of ``call``, and of every layer in it, are bitwise identical for all batches that chunks have.

    Args:
        owner: Object of the verdict, which is cached while the weights are unchanged.
        call: ``(b, *D) -> (b, ...)``, the field at one fixed time.
        x: At least one row to build test states from, ``(B, *D)``.
        chunk: Largest batch that will be used.
        fewest: Smallest batch that will be used; those between have multiples of 64 rows.
        networks: The modules behind ``call``, whose layers are compared too.
        how: How ``call`` asks, where there are several ways.
        weights: ``weights_of(networks)``, if known.
    """
    networks = list(networks)
    weights = weights_of(networks) if weights is None else weights
    place = (tuple(x.shape[1:]), x.dtype, str(x.device), torch.get_num_threads(), chunk, fewest, how, weights)
    known = found_of(owner)
    if place not in known:
        known[place] = _probe(call, x, chunk, fewest, networks)
    found: bool = known[place]
    return found


def _probe(
    call: Callable[[Tensor], Tensor], x: Tensor, chunk: int, fewest: int, networks: list[nn.Module]
) -> bool:
    """Other numbers of rows, from other places, and the same number in another order."""
    rows = whole_rows(max(chunk, 3 * BLOCK), BLOCK)
    states, turned = _test_states(rows, x), torch.arange(rows, device=x.device).roll(fewest + 5)
    whole, layers = _answers(call, states, networks)
    if not torch.equal(_answers(call, states[turned], [])[0], whole[turned]):
        return False
    for size in (fewest, BLOCK, 2 * BLOCK):
        for first in (0, 1, 51):
            answer, found = _answers(call, states[first : first + size], networks)
            same = torch.equal(answer, whole[first : first + size])
            if not same or not (first or _agree(found, layers)):
                return False
    return True


def _answers(
    call: Callable[[Tensor], Tensor], states: Tensor, networks: list[nn.Module]
) -> tuple[Tensor, list[Tensor]]:
    """The answer, and the first rows of what each layer gave, in the order of their calls."""
    seen: list[Tensor] = []
    with watched(networks, lambda output: seen.append(output.detach()[: 2 * BLOCK].clone())):
        return call(states), seen


def _agree(found: list[Tensor], layers: list[Tensor]) -> bool:
    """Whether layers gave the same rows; where they were called otherwise, only the answer can be compared."""
    if len(found) != len(layers):
        return True
    pairs = [(a, b[: len(a)]) for a, b in zip(found, layers, strict=True)]
    return all(torch.equal(a, b) for a, b in pairs if a.shape == b.shape)


def _test_states(rows: int, x: Tensor) -> Tensor:
    """Noise around the first state; for tokens, random ones up to the largest of ``x``."""
    generator, shape = torch.Generator().manual_seed(0), (rows, *x.shape[1:])
    if x.is_floating_point():
        return torch.randn(shape, generator=generator).to(x) + x[:1]
    return torch.randint(int(x.max()) + 1, shape, generator=generator).to(x)
