"""Maximum mean discrepancy under a mixture of Gaussian kernels."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.pairwise import discrepancy, squared_distances
from interpolants.metrics.samples import ArrayLike, pooled, shuffled

MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
_SUBSAMPLE = 1000


def mmd(
    x: ArrayLike,
    y: ArrayLike,
    *,
    bandwidths: Sequence[float] | None = None,
    generator: torch.Generator | None = None,
) -> Estimate:
    """Unbiased squared MMD under ``k(x, y) = mean_b exp(-|x - y|^2 / (2 b^2))``; without unit.

    ``E k(X, X') + E k(Y, Y') - 2 E k(X, Y)``; zero if and only if the distributions agree, and slightly negative at
    times. The default bandwidths are 1/4, 1/2, 1, 2 and 4 times the median distance of at most 1,000 pooled
    samples. They depend on the data: to compare several models, fix them once by :func:`median_bandwidth`.

    The error is analytic, at fixed bandwidths, from the row sums of the same pass (see
    :func:`pairwise.discrepancy`). Memory is O(N + M).

    Args:
        x: First set, (N, *D), N >= 2.
        y: Second set, (M, *D), M >= 2.
        bandwidths: Standard deviations b of the kernels, in data units.
        generator: Chooses the subsample for the median.

    Raises:
        InvalidInputError: If a set is too small, not floating point or not finite, the event shapes
            differ, or a bandwidth is not positive.

    Source: Gretton et al., JMLR 13 (2012), lemma 6.
    """
    x, y = pooled("mmd", x, y)
    if bandwidths is None:
        median = _median("mmd", x, y, generator)
        bandwidths = [multiple * median for multiple in MULTIPLES]
    if not bandwidths or not all(math.isfinite(b) and b > 0 for b in bandwidths):
        raise invalid("mmd", "bandwidths must be finite and > 0, at least one", list(bandwidths))
    rates = [-0.5 / b**2 for b in bandwidths]

    def kernel(squared: Tensor) -> Tensor:
        total = torch.exp(squared * rates[0])
        for rate in rates[1:]:
            total += torch.exp(squared * rate)
        return total / len(rates)

    found = discrepancy(x, y, kernel, at_zero=1.0, unbiased=True)
    return Estimate(found.value, found.error, min(len(x), len(y)), "squared MMD")


def median_bandwidth(x: ArrayLike, y: ArrayLike, *, generator: torch.Generator | None = None) -> float:
    """Median distance between distinct samples of both sets together, from at most 1,000 of them; data units.

    Args:
        x: First set, (N, *D).
        y: Second set, (M, *D).
        generator: Chooses the subsample.

    Raises:
        InvalidInputError: As :func:`mmd`, or if all samples coincide.
    """
    who = "median_bandwidth"
    return _median(who, *pooled(who, x, y), generator)


def _median(who: str, x: Tensor, y: Tensor, generator: torch.Generator | None) -> float:
    # Half from each set, so that the larger one does not decide alone.
    parts = [z[shuffled(len(z), generator)[: _SUBSAMPLE // 2].to(z.device)] for z in (x, y)]
    both = torch.cat(parts)
    both = both - both.mean(0)
    upper = torch.triu_indices(len(both), len(both), 1, device=both.device)
    median = float(squared_distances(both, both)[upper[0], upper[1]].sqrt().median())
    if median == 0:
        remedy = "Most samples coincide; pass bandwidths= to mmd."
        raise invalid(who, "the median distance of the samples must be > 0", median, remedy)
    return median
