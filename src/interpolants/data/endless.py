"""Endless data: rows that are drawn afresh for every training step, by a function, a distribution, or an iterable.

The rows of a step are a function of the step alone, so that a fit resumes to the same bits. A pilot, which no step
draws again, gives units, held-out rows and start points.
"""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from interpolants.data.arrays import Kind, as_tensor, is_draw, item_rows
from interpolants.foundations.devices import here
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import generator
from interpolants.foundations.records import record

# Rows of a pilot, the most entries in it, and the fewest rows whatever their size.
PILOT, _ENTRIES, _FEWEST = 20_000, 2**24, 256
# An iterable that ends within so many rows is an array.
_SHORT = 50_000
# Steps whose rows are drawn at once, and the most entries in them.
_STEPS, _BLOCK = 16, 2**20


@record("endless_rows", parts=lambda rows: {"pilot": rows.pilot, "seed": rows.seed})
@dataclass(eq=False)
class EndlessRows:
    """Rows drawn afresh for every step, and a pilot in memory.

    Attributes:
        pilot: ``(P, *D)``.
        draw: ``draw(n, block)`` gives the rows of a block of steps, ``(n, *D)``; all blocks of a fit are of one size.
        seed: Names the draws.
        change: What is done with rows once they are drawn, such as a change of units.
    """

    pilot: Tensor
    draw: Callable[[int, int], Tensor] = field(repr=False)
    seed: int
    change: Callable[[Tensor], Tensor] = field(default=lambda rows: rows, repr=False)
    _last: tuple[int, int, Tensor] | None = field(default=None, init=False, repr=False)

    @property
    def shape(self) -> torch.Size:
        """That of the pilot."""
        return self.pilot.shape

    def in_units(self, change: Callable[[Tensor], Tensor]) -> "EndlessRows":
        """The same with rows changed when they are drawn; the pilot is left as it is."""
        return EndlessRows(self.pilot, self.draw, self.seed, change)

    def batch(self, step: int, rows: int, rank: int = 0, world: int = 1) -> Tensor:
        """The share ``(rows, *D)`` of one of several processes in the rows of a step, which count from 1."""
        size = rows * world
        entries = size * math.prod(self.pilot.shape[1:])
        steps = max(1, min(_STEPS, _BLOCK // max(1, entries)))
        block, within = divmod(step - 1, steps)
        if self._last is None or self._last[:2] != (block, size):
            self._last = (block, size, self.change(here(self.draw(steps * size, block))))
        first = within * size + rank * rows
        return self._last[2][first : first + rows]


def endless_rows(value: Any, who: str, name: str, seed: int) -> tuple[EndlessRows, Kind] | None:
    """Endless rows of what makes them: a function ``draw(n, generator)``, a distribution, an iterable; else None.

    An iterable must give the same items whenever it is iterated; one that ends begins anew behind the pilot. What ends
    within 50,000 items is an array, and so is a distribution that takes no generator: None for these too.

    Args:
        value: Anything.
        who: Name of the caller, used in error messages.
        name: Name of the argument, used in error messages.
        seed: Seed of the draws.

    Raises:
        InvalidInputError: If what is drawn are no rows, or their shape changes.
    """
    if _is_iterable(value):
        return _iterated(value, who, name, seed)
    if not (is_draw(value) or _is_law(value)):
        return None

    def draw(n: int, part: str, k: int = 0) -> tuple[Tensor, Kind]:
        source = generator(seed, "endless data", name, part, k)
        return as_tensor(value, who, name, samples=n, generator=source)

    size = draw(2, "shape")[0][0].numel()
    pilot, kind = draw(_pilot_rows(size), "pilot")
    shape = pilot.shape[1:]

    def block(n: int, k: int) -> Tensor:
        rows = draw(n, "steps", k)[0]
        return _checked(rows, shape, who, name)

    return EndlessRows(pilot, block, seed), kind


def _is_law(value: Any) -> bool:
    """Whether a value is a distribution whose draws follow from a generator."""
    if isinstance(value, torch.distributions.Distribution):
        return True
    sample = getattr(value, "sample", None)
    if not callable(sample) or not hasattr(value, "event_shape"):
        return False
    try:
        return "generator" in inspect.signature(sample).parameters
    except (TypeError, ValueError):
        return False


def _is_iterable(value: Any) -> bool:
    return isinstance(value.dataset if isinstance(value, DataLoader) else value, IterableDataset)


def _pilot_rows(size: int) -> int:
    return min(PILOT, max(_FEWEST, _ENTRIES // max(1, size)))


def _checked(rows: Tensor, shape: torch.Size, who: str, name: str) -> Tensor:
    if rows.shape[1:] != shape:
        raise invalid(who, f"rows of {name} must keep their shape, {tuple(shape)}", tuple(rows.shape[1:]))
    return rows


def _iterated(value: Any, who: str, name: str, seed: int) -> tuple[EndlessRows, Kind] | None:
    def items() -> Iterator[Tensor]:
        return item_rows(value, who, name)

    left = items()
    first = next(left, None)
    if first is None:
        raise invalid(who, f"{name} must not be empty", "no items")
    count = _pilot_rows(first.numel())
    some = [first, *itertools.islice(left, count - 1)]
    if len(some) + sum(1 for _ in itertools.islice(left, _SHORT - len(some))) < _SHORT:
        return None
    stream = _Stream(items, count, lambda rows: as_tensor(torch.stack(rows), who, name)[0])
    pilot, kind = as_tensor(torch.stack(some), who, name)
    return EndlessRows(pilot, stream.block, seed), Kind("dataset", kind.dtype, kind.device)


@dataclass
class _Stream:
    """Items of an iterable behind its pilot, by block; it is read on, or from its start where a block lies behind."""

    items: Callable[[], Iterator[Tensor]]
    skip: int
    rows: Callable[[list[Tensor]], Tensor]
    at: int = 0
    left: Iterator[Tensor] | None = None

    def block(self, n: int, k: int) -> Tensor:
        """Items ``k n`` to ``(k + 1) n`` behind the pilot."""
        if self.left is None or self.at > k * n:
            self.left, self.at = self._again(), 0
        for _ in range(k * n - self.at):
            next(self.left)
        found = [next(self.left) for _ in range(n)]
        self.at = (k + 1) * n
        return self.rows(found)

    def _again(self) -> Iterator[Tensor]:
        while True:
            rest = itertools.islice(self.items(), self.skip, None)
            yield next(rest)  # an iterable that gives less than before ends here
            yield from rest
