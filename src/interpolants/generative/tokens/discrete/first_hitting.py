"""First-hitting sampler for masked paths: exact unmasking times instead of a time grid.

Every masked token has a level U, uniform on (0, 1), and is revealed at the time when ``1 - kappa`` falls below it. So
the order is a uniformly random permutation, and with n masks left at ``1 - kappa = h`` the next of them goes at
``h u^(1/n)``, u uniform: the largest of n uniforms below h. Sorting the levels gives all times at once, with the joint
distribution of times, positions and tokens that the continuous-time chain has.

Source: Zheng, Chen, Mao, Liu, Zhu & Zhang (2024), arXiv:2409.02908, section 4. Drawing the levels first and sorting
them is ours; it lets the exact and the parallel mode, and any batch, share their noise.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.kinds import Count
from interpolants.generative.tokens.categorical import categorical_sample
from interpolants.generative.tokens.discrete.sampler import (
    TIME_STREAM,
    TOKEN_STREAM,
    TokenSampler,
    TokenSamples,
    Walk,
)


@dataclass(frozen=True, kw_only=True)
class FirstHitting(TokenSampler):
    """Unmask tokens in the order in which the continuous-time chain does, each when its time has come.

    By default one token per call of the posterior: exact, L calls. ``tokens_per_step`` or ``num_steps`` draw several
    tokens from the same mu, as if they were independent: fewer calls, an approximate distribution. A posterior that
    uses the time is given the time of the (first) unmasking, which is what makes it equivalent to the chain.

    Raises:
        InvalidInputError: If a setting is out of range or both are given.
    """

    tokens_per_step: Count | None = None
    """Tokens that are unmasked per call."""
    num_steps: Count | None = None
    """Instead: calls at most, for as many equal stretches of time; the tokens whose times fall into one stretch are
    unmasked together."""
    needs_mask: ClassVar[bool] = True

    def check_settings(self) -> None:
        """Refuse two sizes of a step."""
        if self.tokens_per_step is not None and self.num_steps is not None:
            both = (self.tokens_per_step, self.num_steps)
            raise invalid("tokens_per_step and num_steps must not both be given", both)

    def run(self, walk: Walk) -> TokenSamples:
        """Carry one chunk from its masks to data."""
        x, path = walk.x, walk.path
        free = path.undecided(x)
        levels = walk.noise(TIME_STREAM).uniform()
        uniform = walk.noise(TOKEN_STREAM).uniform()
        # Tokens of the prompt come last, after all masks.
        order = levels.masked_fill(~free, -1.0).argsort(1, descending=True)
        times = path.schedule.time_of_hidden(levels)
        bounds = self._bounds(times.gather(1, order), free.sum(1))
        for begin, end in pairwise(bounds):
            most = int((end - begin).max())
            if most == 0:
                continue
            ranks = begin[:, None] + torch.arange(most, device=x.device)
            # Wrapped, so that no place comes twice in a row of them.
            places = order.gather(1, ranks % x.shape[1])
            time = times.gather(1, places[:, :1])[:, 0]
            mu = self.sharpen(walk.posterior.at(x, time, places, walk.cond))
            drawn = categorical_sample(mu, uniform=uniform.gather(1, places), who="FirstHitting")
            # Rows that have fewer tokens to unmask write what is there already.
            x = x.scatter(1, places, torch.where(ranks < end[:, None], drawn, x.gather(1, places)))
        return TokenSamples(
            x=x,
            nfe=(bounds.diff(dim=0) > 0).sum(0),
            draws=float(free[walk.own].double().sum(1).mean()) * path.vocabulary,
            hit_times=times.masked_fill(~free, torch.nan),
            seed=walk.seed,
        )

    def _bounds(self, times: Tensor, count: Tensor) -> Tensor:
        """Ranks at which the calls begin, ``(G + 1, B)``: call g unmasks the tokens of ranks ``[g] ... [g + 1] - 1``.

        Args:
            times: ``(B, L)`` hit times in order; what lies beyond ``count`` is not looked at.
            count: ``(B,)`` masks.
        """
        length = times.shape[1]
        if self.num_steps is None:
            size = self.tokens_per_step or 1
            edges = torch.arange(0, length + size, size, device=times.device)
            return torch.minimum(edges[:, None], count)
        real = torch.arange(length, device=times.device) < count[:, None]
        cell = (times * self.num_steps).long().clamp(max=self.num_steps - 1)
        cell = cell.masked_fill(~real, self.num_steps)
        edges = torch.arange(self.num_steps + 1, device=times.device).expand(len(times), -1)
        return torch.searchsorted(cell, edges.contiguous()).T
