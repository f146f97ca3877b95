"""Resampling: weighted particles to equally weighted ones, without bias.

Letters: G groups of m particles, weights ``w`` that sum to one in each group, ``N_i`` how often particle i is copied.
Every scheme has ``E N_i = m w_i``; they differ in the variance of ``N_i``. Particles are resampled within their group
only, so groups are independent populations.

Source: Douc, Cappe & Moulines (2005), arXiv:cs/0507025, for the four schemes and their variances.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Remedy


@dataclass(frozen=True)
class Resampler(Checked, ABC):
    """Base of the resampling schemes."""

    ess: Annotated[
        float, Interval(ge=0, le=1), Remedy("0.5 resamples when half of the particles are worth nothing.")
    ] = 0.5
    """A group is resampled when its effective size falls below this share of it; 1 resamples at every step unless all
    weights are equal, 0 never."""

    # Whether one uniform serves a whole group, and whether slots are drawn independently of each other.
    shared_draw: ClassVar[bool] = False
    independent: ClassVar[bool] = False

    def draws(self, size: int) -> int:
        """Uniforms that a group of ``size`` asks for."""
        return 1 if self.shared_draw else size

    @abstractmethod
    def ancestors(self, weights: Tensor, uniforms: Tensor) -> Tensor:
        """Whom each slot copies, ascending within a group.

        Args:
            weights: ``(G, m)``, non-negative, with sum 1 in each row.
            uniforms: ``(G, draws(m))`` on [0, 1).

        Returns:
            ``(G, m)`` integers in [0, m).
        """


@dataclass(frozen=True)
class Systematic(Resampler):
    """One uniform u per group, positions ``(i + u)/m``: ``N_i`` is ``m w_i`` rounded down or up.

    Least variance in practice; in theory it depends on the order of the particles and has no general bound.
    """

    shared_draw: ClassVar[bool] = True

    def ancestors(self, weights: Tensor, uniforms: Tensor) -> Tensor:
        """Whom each slot copies."""
        return _inverse(weights, _strata(weights, uniforms))


@dataclass(frozen=True)
class Stratified(Resampler):
    """One uniform in each of m strata, positions ``(i + u_i)/m``: never more variance than multinomial."""

    def ancestors(self, weights: Tensor, uniforms: Tensor) -> Tensor:
        """Whom each slot copies."""
        return _inverse(weights, _strata(weights, uniforms))


@dataclass(frozen=True)
class Multinomial(Resampler):
    """m independent draws: ``Var N_i = m w_i (1 - w_i)``; the one whose theory is simplest."""

    independent: ClassVar[bool] = True

    def ancestors(self, weights: Tensor, uniforms: Tensor) -> Tensor:
        """Whom each slot copies."""
        return _inverse(weights, uniforms.sort(1).values)


@dataclass(frozen=True)
class Residual(Resampler):
    """``floor(m w_i)`` copies of each particle for certain, the rest by independent draws from what is left."""

    def ancestors(self, weights: Tensor, uniforms: Tensor) -> Tensor:
        """Whom each slot copies."""
        size = weights.shape[1]
        wanted = size * weights.double()
        # 49 times 1/49 rounds below 1: equal weights are to be copied once each all the same.
        certain = (wanted * (1 + 8 * torch.finfo(weights.dtype).eps)).floor()
        rest = (wanted - certain).clamp_min(0)
        count = certain.sum(1, keepdim=True)
        slot = torch.arange(size, device=weights.device, dtype=torch.float64).expand(weights.shape)
        sure = torch.searchsorted(certain.cumsum(1), slot.contiguous(), right=True)
        # Where everything is certain there is nothing left to draw from, and no slot that asks for it.
        drawn = _inverse(rest, uniforms)
        return torch.where(slot < count, sure, drawn).sort(1).values


def effective_size(log_weights: Tensor) -> Tensor:
    """``(sum w)^2 / sum w^2`` over the last dimension, between 1 and m; NaN where no weight is positive."""
    peak = log_weights.amax(-1, keepdim=True)
    weights = (log_weights.double() - peak.double()).exp()
    return weights.sum(-1).square() / weights.square().sum(-1)


def _strata(weights: Tensor, uniforms: Tensor) -> Tensor:
    size = weights.shape[1]
    return (torch.arange(size, device=weights.device) + uniforms.double()) / size


def _inverse(weights: Tensor, positions: Tensor) -> Tensor:
    """The particle whose share of [0, 1) holds each position, by weights of any sum; those without weight have none."""
    levels = weights.double().cumsum(1)
    levels = levels / levels[:, -1:]
    found: Tensor = torch.searchsorted(levels, positions.double().contiguous(), right=True)
    # A position that rounds to 1 belongs to the last particle that has weight.
    last = (levels < 1).sum(1, keepdim=True)
    return torch.minimum(found, last)
