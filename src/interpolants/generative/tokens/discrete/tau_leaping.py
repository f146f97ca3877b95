"""Tau-leaping sampler on a time grid: ancestral sampling of masks, and discrete flows from any base.

The rates are held over a step and integrated exactly, each token by itself: the error of a step is that tokens which
change in the same step do not see each other, and is of first order in its length.

Source: Gat et al. (2024), arXiv:2407.15595, section 3; Campbell et al. (2024), arXiv:2402.04997 (rates, stochasticity);
Gillespie (2001) for leaping.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.kinds import Count, NonNegative, Remedy
from interpolants.foundations.randomness import generator
from interpolants.foundations.types import take_rows
from interpolants.generative.tokens.categorical import categorical_sample
from interpolants.generative.tokens.discrete.sampler import (
    TIME_STREAM,
    TOKEN_STREAM,
    TokenSampler,
    TokenSamples,
    Walk,
)

DrawFunction = Callable[[Tensor, Generator], Tensor]


@dataclass(frozen=True, kw_only=True)
class TauLeaping(TokenSampler):
    """Step through a grid of times; on a masked path without corrector this is ancestral sampling.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    num_steps: Count = 256
    """Number of equal steps in t."""
    corrector: Annotated[NonNegative, Remedy("0 switches it off.")] = 0.0
    """Strength eta at which tokens are forgotten and drawn again, which lets early mistakes be mended; with an exact
    posterior every value has the same marginals, and larger ones need more steps."""
    draw: Literal["two_stage", "joint"] = "two_stage"
    """``"two_stage"`` asks first whether a token changes, and then to what; ``"joint"`` draws once from a distribution
    in which staying is one of the states. The same distribution; the second is what many implementations do, and is
    where coarse noise hurts (see ``discrete.precision``)."""
    joint_sampler: DrawFunction | None = None
    """For ``"joint"``: what draws, ``f(p, generator)``; the library's own, in float64, when None. Its noise belongs to
    the batch, not to the sample."""
    cache: bool = False
    """Ask a posterior that does not use the time again only for sequences in which something changed. Their number
    varies, so the last bits of a network's answer, and rarely a token, may depend on the batch."""

    def check_settings(self) -> None:
        """Refuse what draws for ``"joint"`` alone."""
        if self.joint_sampler is not None and self.draw != "joint":
            raise invalid("joint_sampler goes with draw='joint'", repr(self.draw))

    def run(self, walk: Walk) -> TokenSamples:
        """Carry one chunk from t = 0 to t = 1."""
        path, x = walk.path, walk.x
        free = path.undecided(x)
        events, tokens = walk.noise(TIME_STREAM), walk.noise(TOKEN_STREAM)
        source = generator(walk.seed, "joint tokens", walk.first, device=x.device)
        hit_times = torch.full(x.shape, torch.nan, dtype=torch.float64, device=x.device)
        asked = _Asked(self, walk)
        grid = torch.linspace(0, 1, self.num_steps + 1, dtype=torch.float64).tolist()
        for start, stop in pairwise(grid):
            mu = asked(x, start)
            if self.draw == "two_stage":
                fresh, forgets = path.step(x, mu, start, stop, corrector=self.corrector)
                u = events.uniform()
                drawn = categorical_sample(self.sharpen(mu), uniform=tokens.uniform(), who="TauLeaping")
                new = torch.where(u < fresh, drawn, x)
                if self.corrector:
                    # What is left of the uniform is uniform again: it chooses the token of the base.
                    left = ((u - fresh) / forgets.clamp(min=1e-300)).clamp(0, 1)
                    new = torch.where((u >= fresh) & (left < 1), path.start(left), new)
            else:
                distribution = path.transition(
                    x, mu, start, stop, corrector=self.corrector, drawn=self.sharpen(mu)
                )
                new = (
                    categorical_sample(distribution, uniform=events.uniform(), who="TauLeaping")
                    if self.joint_sampler is None
                    else self.joint_sampler(distribution, source)
                )
            new = torch.where(free, new, x)
            if path.mask is not None:
                hit_times = torch.where(path.undecided(x) & ~path.undecided(new), stop, hit_times)
            asked.note((new != x).any(1))
            x = new
        classes = path.states if self.draw == "joint" else path.vocabulary
        return TokenSamples(
            x=x,
            nfe=asked.count,
            draws=float(self.num_steps * free[walk.own].double().sum(1).mean() * classes),
            hit_times=hit_times if path.mask is not None else None,
            seed=walk.seed,
        )


class _Asked:
    """The posterior along a walk, remembered where nothing has changed since."""

    def __init__(self, sampler: TauLeaping, walk: Walk) -> None:
        self.posterior, self.cond = walk.posterior, walk.cond
        self.remembers = sampler.cache and not walk.posterior.uses_time
        self.count = torch.zeros(len(walk.x), dtype=torch.int64, device=walk.x.device)
        self.stale = torch.ones(len(walk.x), dtype=torch.bool, device=walk.x.device)
        self.mu: Tensor | None = None

    def __call__(self, x: Tensor, t: float) -> Tensor:
        if not self.remembers or self.mu is None:
            self.count += 1
            self.mu = self.posterior(x, t, self.cond)
        elif bool(self.stale.any()):
            rows = self.stale.nonzero().flatten()
            self.count[rows] += 1
            self.mu = self.mu.index_copy(0, rows, self.posterior(x[rows], t, take_rows(self.cond, rows)))
        return self.mu

    def note(self, changed: Tensor) -> None:
        """Which sequences are no longer what was asked about."""
        self.stale = changed
