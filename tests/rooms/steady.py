"""A modifier of sampling, and the smallest protocol for one: state per run and chunk, none in the settings.

``begin(x, index)`` makes what is at work on one chunk, whose first row has that index in the whole job. It sees every
evaluation of the fields and the states after every step. An idle one must leave the fields as they are, to the bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.fields.wrapped import WrappedFields
from interpolants.foundations.randomness import BLOCK


class AtWork(Protocol):
    """A modifier at work on one chunk."""

    def evaluate(self, found: dict[str, Tensor], x: Tensor, t: Tensor) -> dict[str, Tensor]:
        """What the fields are taken to be; called at every stage of a step, so it must not count calls."""
        ...

    def after(self, x: Tensor) -> None:
        """Told of the states after a step."""
        ...


@dataclass(frozen=True, kw_only=True)
class Steady:
    """``b -> b / (1 + strength r)``, r the length of a row's last step over the running mean of its steps."""

    strength: float = 0.1
    decay: float = 0.8

    def why_not(self, model: Any) -> str:
        """Why it does not hold for a model; empty where it does."""
        return "" if hasattr(model, "fields") else "it needs a model with fields"

    def begin(self, x: Tensor, index: int) -> AtWork | None:
        """At work on a chunk; None where there is nothing to do."""
        return _Steadying(self, x) if self.strength else None


class _Steadying:
    def __init__(self, settings: Steady, x: Tensor) -> None:
        self.settings, self.last = settings, x
        self.mean, self.ratio = torch.zeros(len(x)), torch.zeros(len(x))

    def evaluate(self, found: dict[str, Tensor], x: Tensor, t: Tensor) -> dict[str, Tensor]:
        damping = (1 + self.settings.strength * self.ratio)[:, None]
        return {name: value / damping for name, value in found.items()}

    def after(self, x: Tensor) -> None:
        length, decay = (x - self.last).norm(dim=1), self.settings.decay
        self.mean = torch.where(self.mean == 0, length, decay * self.mean + (1 - decay) * length)
        self.ratio, self.last = length / self.mean.clamp_min(1e-12), x


class _Modified(WrappedFields):
    """Velocities as a modifier makes them."""

    def __init__(self, inner: Fields, work: AtWork) -> None:
        super().__init__(inner)
        self.work = work

    def provides(self, quantity: str) -> bool:
        return quantity == "velocity"

    def evaluate(self, x: Tensor, t: Tensor, want: Sequence[str], cond: Any = None) -> dict[str, Tensor]:
        return self.work.evaluate(self.inner.evaluate(x, t, want, cond), x, t)


def flow(
    fields: Fields, x: Tensor, modifier: Any = None, *, n_steps: int = 8, first_index: int = 0
) -> Tensor:
    """Points carried along the flow under a modifier, chunk by chunk and step by step."""
    parts = [
        _chunk(fields, x[rows], modifier, n_steps, first_index + rows.start)
        for rows in _chunks(len(x), first_index)
    ]
    return torch.cat(parts)


def _chunks(n: int, first: int) -> Iterator[slice]:
    """Rows in blocks of 64 that lie the same in every part of a job."""
    edges = [0, *range(BLOCK - first % BLOCK, n, BLOCK), n]
    return (slice(a, b) for a, b in pairwise(edges) if b > a)


def _chunk(fields: Fields, x: Tensor, modifier: Any, n_steps: int, index: int) -> Tensor:
    """One block; a short one is filled up, and the solver is not to try the fields on other rows."""
    rows, x = len(x), torch.cat([x, x[:1].expand(BLOCK - len(x), -1)])
    work = None if modifier is None else modifier.begin(x, index)
    used = fields if work is None else _Modified(fields, work)
    for grid in torch.linspace(0, 1, n_steps + 1, dtype=torch.float64).unfold(0, 2, 1):
        x = sample(used, x, method="euler", time_grid=grid, n_steps=1, chunk=BLOCK, invariant=False).x
        if work is not None:
            work.after(x)
    return x[:rows]
