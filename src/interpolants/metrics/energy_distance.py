"""Energy distance, ``2 E|X - Y| - E|X - X'| - E|Y - Y'|``."""

import torch
from torch import Tensor

from interpolants.metrics.estimate import Estimate
from interpolants.metrics.pairwise import discrepancy
from interpolants.metrics.samples import ArrayLike, pooled


def energy_distance(
    x: ArrayLike, y: ArrayLike, *, unbiased: bool = True, generator: torch.Generator | None = None
) -> Estimate:
    """Energy distance of two sets of samples, in data units; zero if and only if the distributions agree.

    ``2 E|X - Y| - E|X - X'| - E|Y - Y'|`` with the Euclidean norm of the flattened event. This is the squared
    form: some libraries return its root. The unbiased U-statistic can be slightly negative;
    the V-statistic cannot, and exceeds it by about ``(E|X - X'| + E|Y - Y'|) / N`` on average.

    The error is analytic, from the row sums of the same pass (see :func:`pairwise.discrepancy`). Memory is
    O(N + M).

    Args:
        x: First set, (N, *D), N >= 2.
        y: Second set, (M, *D), M >= 2.
        unbiased: U-statistic (default) or V-statistic.
        generator: Not used: nothing is drawn. Accepted so that all metrics are called alike.

    Returns:
        The estimate, in data units.

    Raises:
        InvalidInputError: If a set is too small, not floating point or not finite, or the event shapes
            differ.

    Source: Szekely & Rizzo, J. Statist. Plann. Inference 143 (2013).
    """
    x, y = pooled("energy_distance", x, y)
    found = discrepancy(x, y, _negative_distance, at_zero=0.0, unbiased=unbiased)
    return Estimate(found.value, found.error, min(len(x), len(y)), "energy distance")


def _negative_distance(squared: Tensor) -> Tensor:
    return squared.sqrt_().neg_()
