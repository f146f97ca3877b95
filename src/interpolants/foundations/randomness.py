"""Random streams per sample: a sample's noise does not depend on its batch.

Samples live in fixed blocks of 64 consecutive indices. Each block owns one persistent generator per
stream, seeded from (seed, stream, block), and always draws all its 64 rows; a partly used block drops
the rows it does not need. Rows of 32,768 numbers and more are blocks of their own. Sample i therefore sees
the same numbers whatever the batch it travels in, and whichever process computes it, at the price of one
``normal_`` call per block.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.checks import is_whole, whole
from interpolants.foundations.devices import default_device, draws_on_cpu
from interpolants.foundations.errors import invalid

BLOCK = 64
# Rows of so many numbers and more have a generator each: drawing 64 of them for one would cost more than a network.
_LARGE_ROW = 2**15
# How far ahead small draws are made: at most so many draws, and so many numbers a block, at once.
_MOST_AHEAD, _NUMBERS_PER_CALL = 16, 2048
# Where the number of draws is known they are all made at once, if they are no more than so many numbers (8 MiB).
_MOST_AT_ONCE = 2**21


def key(*parts: int | str) -> int:
    """Mix integers and names into one 63-bit seed; distinct tuples give independent streams.

    By convention the first part is the run's seed, the second the name of the use, e.g. ``key(seed, "corrector")``, and
    counters follow. Two uses need two names, unless they are meant to see the same noise.

    Uses NumPy's ``SeedSequence``, whose mixing is documented as stable between versions. It drops trailing zeros and
    splits large integers into words, so the length and both words of every part are handed to it. A name counts as the
    first 64 bits of its SHA-256, and a last word, if there are any, says which parts are names: ``"5"`` and 5 differ.

    Raises:
        InvalidInputError: If an integer is negative or needs more than 64 bits.
    """
    numbers = [_number(part) if isinstance(part, str) else _plain(part) for part in parts]
    if any(not is_whole(number) or number < 0 or number >> 64 for number in numbers):
        rule = "every part of a seed must be a name or an integer in [0, 2^64)"
        raise invalid("key", rule, parts, "Use a non-negative integer seed.")
    names = sum(isinstance(part, str) << place for place, part in enumerate(parts))
    words = [len(parts), *(word for number in numbers for word in (number & 0xFFFFFFFF, number >> 32))]
    words += [names] if names else []
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _plain(part: Any) -> Any:
    """An integer of Python: NumPy's of few bits overflow in the mixing."""
    return int(part) if isinstance(part, np.integer) else part


@lru_cache(maxsize=256)
def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def checked_seed(who: str, seed: object) -> int:
    """Check the seed of a run: an integer in [0, 2^64); a string would name another stream, and True is not a number.

    Raises:
        InvalidInputError: If it is none.
    """
    found = whole(who, "seed", seed)
    if found >> 64:
        raise invalid(who, "seed must be below 2^64", seed)
    return found


def checked_place(who: str, first: object) -> int:
    """Check the index of a sample in a job: it must be below 2^38, above which blocks of 64 repeat earlier numbers.

    Raises:
        InvalidInputError: If it is none.
    """
    found = whole(who, "first_index", first)
    if found // BLOCK >> 32:
        raise invalid(who, "first_index must be below 2^38", first, "Use another seed for further samples.")
    return found


def generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator seeded from integers and names, e.g. ``generator(seed, "corrector", step)``."""
    return torch.Generator(device="cpu" if draws_on_cpu() else device).manual_seed(key(*parts))


def _block_seed(base: int, block: int) -> int:
    """A 32-bit seed per block, different for different blocks of one stream.

    PyTorch's CPU generator reads the low 32 bits of a seed only. Hashes of that size would make two of 100,000 blocks
    share their noise; adding the block number and mixing by a bijection (MurmurHash3's finaliser) cannot.
    """
    mask = 0xFFFFFFFF
    h = (base + block) & mask
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & mask
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & mask
    return h ^ (h >> 16)


def by_block(
    draw: Callable[[torch.Generator], Tensor],
    seed: int,
    stream: Sequence[int | str],
    *,
    first: int,
    count: int,
) -> Tensor:
    """Rows of any distribution for the samples ``first .. first + count - 1``; row i depends on (seed, stream, i) only.

    Args:
        draw: Draws 64 rows from a generator on the CPU.
        seed: Non-negative integer, the run's seed.
        stream: Names and counters that tell apart the uses of one seed, e.g. ``("start",)``.
        first: Index of the first sample.
        count: Number of samples, >= 1.
    """
    blocks = _blocks("by_block", first, count)
    base = key(seed, *stream)
    rows = torch.cat([draw(torch.Generator().manual_seed(_block_seed(base, block))) for block in blocks])
    begin = first - blocks[0] * BLOCK
    return rows[begin : begin + count]


def _blocks(who: str, first: int, count: int, size: int = BLOCK) -> range:
    """The blocks that hold the samples ``first .. first + count - 1``, ``size`` in each."""
    first = checked_place(who, first)
    count = whole(who, "count", count, at_least=1)
    return range(first // size, (first + count - 1) // size + 1)


class BlockNoise:
    """Standard normal rows for the samples ``first .. first + count - 1``, one persistent stream per block.

    Two objects with the same ``seed`` and ``stream`` give sample i the same sequence of draws, for any ``first`` and
    ``count``. An object serves one kind of draw; normal ones are made some way ahead. Draws are made on the CPU in
    float32 (float64 for float64 samples) and moved, so that devices agree.

    Args:
        seed: Non-negative integer, the run's seed.
        stream: Names and counters that tell apart the uses of one seed, e.g. ``("brownian", level)``.
        first: Index of the first sample.
        count: Number of samples, >= 1.
        shape: Shape of one sample's draw.
        dtype: Type of the result.
        device: Device of the result; default: the device of new tensors.
    """

    def __init__(
        self,
        seed: int,
        stream: Sequence[int | str],
        *,
        first: int = 0,
        count: int,
        shape: Sequence[int],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        size = 1 if math.prod(shape) >= _LARGE_ROW else BLOCK  # by the row alone: no batch changes it
        blocks = _blocks("BlockNoise", first, count, size)
        base = key(seed, *stream)
        self._generators = [torch.Generator().manual_seed(_block_seed(base, block)) for block in blocks]
        self._rows = slice(first - blocks[0] * size, first - blocks[0] * size + count)
        self._size, self._shape = size, (len(blocks) * size, *shape)
        self._draw = torch.float64 if dtype == torch.float64 else torch.float32
        self._dtype, self._device = dtype, default_device() if device is None else torch.device(device)
        # Small states: several draws per call of a block's generator, since the call costs more than the numbers.
        self._make_room(max(1, min(_MOST_AHEAD, _NUMBERS_PER_CALL // max(1, size * math.prod(shape)))))

    def _make_room(self, ahead: int) -> None:
        self._ahead: Tensor | None = None
        if ahead > 1:
            shape = len(self._generators), ahead, self._size, *self._shape[1:]
            self._ahead = torch.empty(shape, dtype=self._draw, device="cpu")
        self._next = ahead

    def expect(self, draws: int) -> None:
        """Announce the number of normal draws before the first one: they cost less if drawn together.

        Their values do not change, and more may be drawn.
        """
        if 1 <= draws <= _MOST_AT_ONCE // max(1, math.prod(self._shape)):
            self._make_room(draws)

    @classmethod
    def like(cls, x: Tensor, seed: int, *stream: int | str, first: int = 0) -> "BlockNoise":
        """Noise for the states ``x (B, *D)`` of samples ``first .. first + B - 1``, of their type and device."""
        shape, dtype, device = x.shape[1:], x.dtype, x.device
        return cls(seed, stream, first=first, count=x.shape[0], shape=shape, dtype=dtype, device=device)

    def normal(self, scale: float = 1.0) -> Tensor:
        """The next standard normal draw times ``scale``, ``(count, *shape)``; fresh memory, the caller may keep it."""
        if self._ahead is None:
            return self._taken(lambda rows, block: rows.normal_(0.0, scale, generator=block))
        if self._next == self._ahead.shape[1]:
            for draws, block in zip(self._ahead.unbind(), self._generators, strict=True):
                draws.normal_(generator=block)
            self._next = 0
        rows = torch.mul(self._ahead[:, self._next], scale).flatten(0, 1)
        self._next += 1
        return self._own(rows)

    def rademacher(self) -> Tensor:
        """The next draw of independent signs, ``(count, *shape)`` with entries -1 and +1."""
        return self._taken(lambda rows, block: rows.random_(0, 2, generator=block)).mul_(2).sub_(1)

    def uniform(self) -> Tensor:
        """The next draw of uniforms on [0, 1), ``(count, *shape)``."""
        return self._taken(lambda rows, block: rows.uniform_(generator=block))

    def _taken(self, fill: Callable[[Tensor, torch.Generator], object]) -> Tensor:
        rows = torch.empty(self._shape, dtype=self._draw, device="cpu")
        for part, block in zip(torch.split(rows, self._size), self._generators, strict=True):
            fill(part, block)
        return self._own(rows)

    def _own(self, rows: Tensor) -> Tensor:
        own = rows[self._rows]
        # A few rows must not keep the memory of their whole block alive.
        return own.to(device=self._device, dtype=self._dtype, copy=2 * own.shape[0] < rows.shape[0])


def seed_torch(seed: int) -> None:
    """Seed the generators that PyTorch draws from by itself.

    Where there is no accelerator that is the CPU's alone: ``torch.manual_seed`` notes the stack of each call for
    devices that may come, which takes as long as a step of a small network.
    """
    seeded = torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed
    seeded(seed)


@contextmanager
def global_generators(seed: int) -> Iterator[None]:
    """Global generators of PyTorch and NumPy seeded for a while and put back: other people's code draws from them."""
    before = np.random.get_state()
    with torch.random.fork_rng([]):
        seed_torch(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)
