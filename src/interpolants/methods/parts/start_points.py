"""Start points: draws from the base of a one-sided path, or rows of the samples that a method was fitted to.

Start i depends on (seed, i) only, like all noise.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import BLOCK, BlockNoise, by_block, generator
from interpolants.foundations.records import record
from interpolants.foundations.row_access import Rows, in_memory, some_rows
from interpolants.foundations.row_weights import even_rows
from interpolants.foundations.types import take_rows

# Rows kept of each end: enough to start from and to check against, small enough to store with the method.
KEPT_ROWS = 10_000
# Samples whose distances to all kept rows are in memory at a time.
_BLOCK_OF_DISTANCES = 256


@record("pool")
@dataclass(frozen=True)
class Pool:
    """Rows of a sample set, and the condition of each row if there was one."""

    x: Tensor
    cond: Tensor | None = None

    @classmethod
    def of(cls, x: Rows, cond: Tensor | None, seed: int, weights: Tensor | None = None) -> Self:
        """At most ``KEPT_ROWS`` rows, chosen at random but reproducibly.

        Weighted rows are repeated to that many rows of equal weight, so that later draws from the pool are from the
        weighted distribution.
        """
        source = generator(seed, "kept rows")
        if weights is not None:
            rows = even_rows(weights, KEPT_ROWS, source)
            rows = rows[torch.randperm(KEPT_ROWS, generator=source)]  # the first of a pool stand for all
            different, index = torch.unique(rows, return_inverse=True)  # each row on disk is read once
            return cls(x[different][index], take_rows(cond, rows))
        if len(x) <= KEPT_ROWS:
            return cls(in_memory(x), cond)
        rows = some_rows(len(x), KEPT_ROWS, source)
        return cls(x[rows], take_rows(cond, rows))

    def draw(self, n: int, seed: int, first: int, labels: Tensor | None = None) -> Tensor:
        """Rows ``(n, *D)`` with replacement for the samples ``first .. first + n - 1``.

        Args:
            n: Number of rows.
            seed: Seed of the draws.
            first: Index of the first sample.
            labels: Label of each row to draw, ``(n,)``, where the pool has labels; -1 for any.

        Raises:
            InvalidInputError: If no row has a label that is asked for.
        """
        uniform, every = _uniform(n, seed, first), torch.arange(len(self.x))
        if labels is None:
            return self.x[_pick(uniform, torch.tensor(len(every)))]
        assert self.cond is not None
        # All rows first, then those of label 0, of label 1, ...: a label is a stretch of this list.
        order = torch.cat([every, self.cond.argsort(stable=True)])
        counts = torch.cat([torch.tensor([len(every)]), torch.bincount(self.cond)])
        stretch = (labels + 1).clamp(0, len(counts) - 1)
        if bool((missing := (labels >= len(counts) - 1) | (counts[stretch] == 0)).any()):
            remedy = "Pass your own rows to transport."
            rule = "each label must have stored rows, from which its samples start"
            raise invalid("sample", rule, f"label {int(labels[missing][0])}", remedy)
        return self.x[order[(counts.cumsum(0) - counts)[stretch] + _pick(uniform, counts[stretch])]]

    def draw_near(self, n: int, seed: int, first: int, cond: Tensor) -> Tensor:
        """Rows ``(n, *D)`` with replacement, each one of the sqrt(N) rows with the nearest conditions.

        Args:
            n: Number of rows.
            seed: Seed of the draws.
            first: Index of the first sample.
            cond: Condition of each row to draw, ``(n, *C)``; distances are in standard deviations of each number.
        """
        assert self.cond is not None
        own, asked = (c.reshape(len(c), -1).double() for c in (self.cond, cond.expand(n, *cond.shape[1:])))
        scale = own.std(0, correction=0)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        among = math.isqrt(len(own) - 1) + 1
        pick = _pick(_uniform(n, seed, first), torch.tensor(among))
        rows = [
            torch.cdist(block / scale, own / scale, compute_mode="donot_use_mm_for_euclid_dist")
            .topk(among, largest=False)
            .indices
            for block in torch.split(asked, _BLOCK_OF_DISTANCES)
        ]
        return self.x[torch.cat(rows).gather(1, pick[:, None])[:, 0]]


def _uniform(n: int, seed: int, first: int) -> Tensor:
    return BlockNoise(seed, ("kept start",), first=first, count=n, shape=(), dtype=torch.float64).uniform()


def _pick(uniform: Tensor, among: Tensor) -> Tensor:
    """Whole numbers below ``among`` from uniforms in [0, 1)."""
    return torch.minimum((uniform * among).long(), among - 1)


def draw_base(base: Any, shape: tuple[int, ...], n: int, seed: int, first: int) -> Tensor:
    """Base points ``(n, *D)`` for the samples ``first .. first + n - 1``, float32."""

    def draw(source: Generator) -> Tensor:
        noise: Tensor = base.noise((BLOCK, *shape), generator=source, dtype=torch.float32)
        return noise

    colored: Tensor = base.color(by_block(draw, seed, ("start",), first=first, count=n))
    return colored


@record("start_points")
@dataclass(frozen=True)
class StartPoints:
    """Where the samples of a method begin: its path's base, or stored rows.

    Attributes:
        shape: Event shape.
        base: The base of a one-sided path, or None.
        pool: Stored rows of x0, or None.
    """

    shape: tuple[int, ...]
    base: Any = None
    pool: Pool | None = None

    @classmethod
    def of(cls, base: Any, x0: Tensor | None, *, seed: int, shape: tuple[int, ...]) -> Self:
        """From the base if there is one, else from rows of ``x0``."""
        return cls(shape, base) if x0 is None else cls(shape, None, Pool.of(x0, None, seed))

    def draw(self, n: int, seed: int, first: int) -> Tensor:
        """Start points ``(n, *D)`` of the samples ``first .. first + n - 1``."""
        if self.pool is not None:
            return self.pool.draw(n, seed, first)
        return draw_base(self.base, self.shape, n, seed, first)
