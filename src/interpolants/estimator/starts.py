"""Where sampling starts: the base of a one-sided path, or rows drawn from the samples a bridge was trained on.

Start i depends on (seed, i) only, like all noise.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.base import BaseDistribution
from interpolants.foundations.errors import invalid
from interpolants.foundations.randomness import BLOCK, BlockNoise, by_block, generator

# Rows kept from each end: enough to start from and to check against, small enough to store with the model.
POOL_ROWS = 10_000


@dataclass(frozen=True)
class Pool:
    """Rows of a sample set, and the condition of each row if there was one."""

    x: Tensor
    cond: Tensor | None = None

    @classmethod
    def of(cls, x: Tensor, cond: Tensor | None, seed: int) -> "Pool":
        """At most ``POOL_ROWS`` rows, chosen at random but reproducibly."""
        if len(x) <= POOL_ROWS:
            return cls(x, cond)
        rows = torch.randperm(len(x), generator=generator(seed, "pool rows"))[:POOL_ROWS]
        return cls(x[rows], None if cond is None else cond[rows])

    def draw(self, n: int, seed: int, first: int, labels: Tensor | None = None) -> Tensor:
        """Rows ``(n, *D)`` with replacement for the samples ``first .. first + n - 1``.

        Args:
            n: Number of rows.
            seed: Seed of the draws.
            first: Number of the first sample.
            labels: Label of each row to draw, ``(n,)``, where the pool has labels; -1 for any.

        Raises:
            InvalidInputError: If no row has a label that is asked for.
        """
        noise = BlockNoise(seed, ("pool start",), first=first, count=n, shape=(), dtype=torch.float64)
        uniform, every = noise.uniform(), torch.arange(len(self.x))
        if labels is None:
            return self.x[_pick(uniform, torch.tensor(len(every)))]
        assert self.cond is not None
        # All rows first, then those of label 0, of label 1, ...: a label is a stretch of this list.
        order = torch.cat([every, self.cond.argsort(stable=True)])
        counts = torch.cat([torch.tensor([len(every)]), torch.bincount(self.cond)])
        stretch = (labels + 1).clamp(0, len(counts) - 1)
        if bool((missing := (labels >= len(counts) - 1) | (counts[stretch] == 0)).any()):
            remedy = "Carry rows of your own with transport."
            rule = "samples start from stored rows of their label, and there must be some"
            raise invalid("Bridge.sample", rule, f"label {int(labels[missing][0])}", remedy)
        return self.x[order[(counts.cumsum(0) - counts)[stretch] + _pick(uniform, counts[stretch])]]


def _pick(uniform: Tensor, among: Tensor) -> Tensor:
    """Whole numbers below ``among`` from uniforms in [0, 1)."""
    return torch.minimum((uniform * among).long(), among - 1)


def draw_base(base: BaseDistribution, shape: tuple[int, ...], n: int, seed: int, first: int) -> Tensor:
    """Base points ``(n, *D)`` for the samples ``first .. first + n - 1``, float32."""

    def draw(source: Generator) -> Tensor:
        return base.noise((BLOCK, *shape), generator=source, dtype=torch.float32)

    return base.color(by_block(draw, seed, ("base start",), first=first, count=n))


def check_count(n: int) -> int:
    """A number of samples."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise invalid("Bridge.sample", "n must be an integer >= 1", n)
    return n
