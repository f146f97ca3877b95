"""Reliability of ensembles: spread against skill, and rank histograms."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.metrics.crps import forecast_arrays
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike

# Cases that a bin must expect for the chi-square distribution to hold.
_PER_BIN = 5


def spread_skill(members: ArrayLike, truth: ArrayLike) -> Estimate:
    """Spread over skill, 1 for a reliable ensemble, below 1 for an overconfident one.

    ``sqrt((M + 1) / M mean variance) / root mean squared error of the ensemble mean``; the factor accounts for the
    error of a mean of M members. Variances (with M - 1) and errors are pooled over coordinates, so coordinates in
    larger units count for more: standardise first where units differ.

    Args:
        members: Ensembles, ``(B, M, *D)``, M >= 2.
        truth: What came, ``(B, *D)``.

    Returns:
        The ratio, without unit; its error by the delta method over the B cases, taken as independent.

    Raises:
        InvalidInputError: If shapes do not fit, M < 2, or the mean is without error.

    Source: Fortin, Abaza, Anctil & Turcotte (2014).
    """
    x, y = forecast_arrays("spread_skill", members, truth)
    count = x.shape[1]
    if count < 2:
        raise invalid("spread_skill", "x must have at least two members", count)
    spread = (count + 1) / count * x.var(1).mean(1)
    skill = (x.mean(1) - y).square().mean(1)
    top, bottom, n = float(spread.mean()), float(skill.mean()), len(y)
    if bottom == 0:
        raise invalid("spread_skill", "the ensemble mean must err somewhere", "no error at all")
    ratio = math.sqrt(top / bottom)
    slope = spread - (top / bottom) * skill  # of the ratio's square, times its denominator
    error = float(slope.std()) / math.sqrt(n) / bottom / (2 * ratio) if ratio else 0.0
    return Estimate(ratio, error, n, "spread / skill")


@dataclass(frozen=True)
class RankHistogram:
    """Rank histogram: how often the outcome had each rank among the members.

    Attributes:
        counts: ``(D, M + 1)`` cases by rank, for each coordinate.
        p: Probability of a histogram at least as uneven if the ensemble is reliable: of the chi-square test, the least
            over coordinates times their number (at most 1).
        p_each: ``(D,)`` the same for each coordinate alone.
        bins: Bins of the test; neighbouring ranks are joined so that each expects at least five cases, as far as two
            bins allow.
        n: Number of cases.
    """

    counts: Tensor
    p: float
    p_each: Tensor
    bins: int
    n: int

    @property
    def frequency(self) -> Tensor:
        """``(D, M + 1)`` relative to a flat histogram: 1 where reliable."""
        return self.counts * self.counts.shape[1] / self.n

    @property
    def unreliability(self) -> float:
        """``(M + 1) / M sum_b (f_b - 1 / (M + 1))^2`` of the ranks of all coordinates: 0 when flat, 1 at most."""
        return unreliability(self.counts.sum(0))

    def __str__(self) -> str:
        return f"rank histogram: p = {self.p:.3g} ({self.bins} bins, n = {self.n})"


def rank_histogram(
    members: ArrayLike, truth: ArrayLike, *, generator: Generator | None = None
) -> RankHistogram:
    """Ranks of what came among the members, and the chi-square test of their evenness.

    Under a reliable forecast all M + 1 ranks are equally likely. Ties get a random rank among those they span. A
    U-shape means too little spread, a hump too much, a slope a bias. Cases are taken as independent: true for separate
    starts, and for successive one-step forecasts of a Markov process.

    Args:
        members: Ensembles, ``(B, M, *D)``.
        truth: What came, ``(B, *D)``.
        generator: Source of the random ranks of ties; drawn from only when there are ties.

    Returns:
        Counts and p-values.

    Raises:
        InvalidInputError: If shapes do not fit, or there are fewer than ten cases.

    Source: Hamill (2001); Anderson (1996).
    """
    x, y = forecast_arrays("rank_histogram", members, truth)
    n, count, dim = x.shape
    if n < 2 * _PER_BIN:
        raise invalid("rank_histogram", f"x must have at least {2 * _PER_BIN} cases", n)
    counts = rank_counts(x, y, generator=generator)
    joined = math.ceil((count + 1) * _PER_BIN / n)  # ranks in the smallest bin
    bins = max(2, (count + 1) // joined)
    p_each = torch.stack([_evenness(row, bins) for row in counts])
    return RankHistogram(counts, min(1.0, dim * float(p_each.min())), p_each, bins, n)


def rank_counts(x: Tensor, y: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Cases by rank of ``y (B, D)`` among ``x (B, M, D)``, ``(D, M + 1)``; ties get a random rank among theirs."""
    count, dim = x.shape[1:]
    below = (x < y[:, None]).sum(1)
    ties = (x == y[:, None]).sum(1)
    if bool(ties.any()):
        u = torch.rand(ties.shape, generator=generator, dtype=torch.float64).to(x.device)
        below = below + (u * (ties + 1)).long()
    return torch.stack([torch.bincount(below[:, d], minlength=count + 1) for d in range(dim)]).cpu()


def unreliability(counts: Tensor) -> float:
    """Distance of ranks ``(M + 1,)`` from even ones, ``(M + 1) / M sum_b (f_b - 1 / (M + 1))^2``, in [0, 1]."""
    ranks = len(counts)
    share = counts.double() / counts.sum()
    return float(ranks / (ranks - 1) * (share - 1 / ranks).square().sum())


def _evenness(counts: Tensor, bins: int) -> Tensor:
    """p-value of the chi-square test after joining neighbouring ranks into ``bins`` groups."""
    ranks = len(counts)
    group = torch.arange(ranks) * bins // ranks
    observed = torch.zeros(bins, dtype=torch.float64).index_add_(0, group, counts.double())
    expected = counts.sum() * torch.bincount(group, minlength=bins).double() / ranks
    statistic = ((observed - expected).square() / expected).sum()
    half = torch.tensor((bins - 1) / 2, dtype=torch.float64)
    p: Tensor = torch.special.gammaincc(half, statistic / 2)
    return p
