"""One run of a sampler: what acts before it, between its steps and after it, put together for every chunk."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from interpolants.dynamics.between_steps import AfterStep, OnStep
from interpolants.dynamics.modifiers import Modifier, Work, modified
from interpolants.dynamics.samplers import Arrival, Sampler, arrival_status
from interpolants.fields.protocol import Fields
from interpolants.foundations.chunks import Chunk
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import time_dtype
from interpolants.foundations.randomness import generator
from interpolants.foundations.types import Condition


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """A sampler with a corrector, a constraint, modifiers, and perhaps a last step to the mean end point.

    Args:
        sampler: Carries the states.
        between: Corrector and constraint.
        modifiers: Each begins anew in every chunk.
        last: The time to which the mean end point leads, or None for no such step.
        seed: Seed of the noise between the steps.
    """

    sampler: Sampler
    between: AfterStep
    modifiers: Sequence[Modifier] = ()
    last: float | None = None
    seed: int = 0

    @cached_property
    def _times(self) -> Tensor:
        """All times of the run, the last step to the mean end point included."""
        ends = [] if self.last is None else [self.last]
        return torch.tensor([*self.sampler.grid, *ends], dtype=torch.float64)

    def __call__(self, chunk: Chunk, *, keep: bool = False, watch: OnStep | None = None) -> Arrival:
        """Propagate a chunk, whose condition is a pair: that of the fields, and that of the constraint for each row.

        Args:
            chunk: Rows to propagate.
            keep: Keep the states at all times.
            watch: Called with the number, the time and the states of every finished step.
        """
        cond, known = chunk.cond
        works = [modifier.begin(chunk.x, chunk.first, self._times) for modifier in self.modifiers]
        for work in works:
            work.fewest_rows = chunk.fewest
        sampler = self.sampler.on(modified(self.sampler.fields, works))
        after = self.between.over(sampler.fields, chunk.x, cond, known, chunk.first, self.seed)
        x, on_step = after.start(chunk.x), _in_turn(after.hook(), works, sampler.fields, watch)
        if len(sampler.grid) < 2:  # the one step is that to the mean end point
            done = Arrival(x, 0, arrival_status(x), x[:, None] if keep else None)
        else:
            done = sampler.run(x, cond, chunk.first, keep=keep, on_step=on_step)
        done = done._replace(nfe=done.nfe + self.between.nfe)
        if self.last is not None:
            now, end = torch.tensor([sampler.grid[-1], self.last], dtype=time_dtype(x)).to(x.device)
            quantity = "denoised" if self.last else "endpoint0"
            mean = sampler.fields.evaluate(done.x, now, (quantity,), cond)[quantity]
            x = _all_after(works, after.result(end, mean), end, sampler.fields)
            path = None if done.path is None else torch.cat([done.path, x[:, None]], 1)
            done = done._replace(x=x, nfe=done.nfe + 1, status=arrival_status(x), path=path)
        return done._replace(reports=tuple(work.report() for work in works))


_STARTS = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class TrialRun:
    """A run by the same sampler and without anything else, on starts of its base at a fixed seed.

    So what it finds is the same for all batches and shards of a job.

    Args:
        sampler: That of the coming run.
        last: As in :class:`Run`.
        between: One that does nothing.
        like: States of the coming run, ``(B, *D)``.
        cond: Their condition.
    """

    sampler: Sampler
    last: float | None
    between: AfterStep
    like: Tensor
    cond: Condition

    def observe(self, who: str, modifier: Modifier) -> dict[str, Tensor]:
        """Run the trial of a modifier; see ``modifiers.Trial``."""
        path, forwards = self.sampler.fields.path, self.sampler.grid[0] < self.sampler.grid[-1]
        base = None if path is None else path.base
        remedy = "Tune it on starts of your own, and pass what was found."
        if self.cond is not None:
            raise invalid(who, "what is tuned in the run itself must do without a condition", "cond", remedy)
        if base is None or not forwards:
            raise invalid(
                who, "what is tuned in the run itself must start from a Gaussian base", "none", remedy
            )
        shape, source = (_STARTS, *self.like.shape[1:]), generator(0, "trial run")
        x = base.color(base.noise(shape, generator=source, dtype=time_dtype(self.like))).to(self.like)
        run = Run(sampler=self.sampler, between=self.between, modifiers=(modifier,), last=self.last)
        everything = slice(0, _STARTS)
        return run(Chunk(x, (None, None), 0, everything, everything)).reports[0]


def _in_turn(
    hook: OnStep | None, works: Sequence[Work], fields: Fields, watch: OnStep | None
) -> OnStep | None:
    """One function for all that acts after a step; None if nothing does."""
    if hook is None and watch is None and not works:
        return None

    def after(n: int, t: Tensor, x: Tensor) -> Tensor:
        replaced = None if hook is None else hook(n, t, x)
        x = _all_after(works, x if replaced is None else replaced, t, fields)
        if watch is not None:
            watch(n, t, x)
        return x

    return after


def _all_after(works: Sequence[Work], x: Tensor, t: Tensor, fields: Fields) -> Tensor:
    for work in works:
        x = work.after(x, t, fields)
    return x
