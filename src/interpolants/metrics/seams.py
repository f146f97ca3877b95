"""Seam score: jumps across the edge of what was filled in, against those of real data at the same places."""

import math

import torch
from torch import Tensor

from interpolants.foundations.checks import shaped
from interpolants.foundations.errors import invalid
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike, pooled


def seam_score(
    x: ArrayLike, y: ArrayLike, *, mask: Tensor, generator: torch.Generator | None = None
) -> Estimate:
    """Mean absolute jump of ``x`` across the edge of a mask over that of real ``y`` there; 1 where no seam can be seen.

    An edge lies between neighbours along a dimension of the event, channels aside, of which only one is known.

    Args:
        x: Completed rows, (N, *D).
        y: Real rows, (M, *D).
        mask: What was known, of the event's shape; above 1/2 counts as known.
        generator: Not used: nothing is drawn. Accepted so that all metrics are called alike.

    Returns:
        The ratio, with its standard error by the delta method.

    Raises:
        InvalidInputError: If shapes differ, the mask has no edge, or real data do not change there.
    """
    x, y = pooled("seam_score", x, y, flat=False)
    shaped("seam_score", "mask", mask, *x.shape[1:])
    inside = mask.to(x.device) > 0.5
    (a, da), (b, db) = (_mean(_jumps(z, inside)) for z in (x, y))
    if b == 0:
        raise invalid("seam_score", "real data must change across the edge", "no change")
    error = a / b * math.sqrt((da / a) ** 2 + (db / b) ** 2) if a else da / b
    return Estimate(a / b, error, min(len(x), len(y)), "seam score")


def _jumps(x: Tensor, inside: Tensor) -> Tensor:
    """Mean jump of each row, ``(N,)``."""
    first = 1 if inside.ndim == 3 else 0  # pictures (C, H, W): channels are no neighbours
    parts = []
    for dim in range(first, inside.ndim):
        edge = inside.diff(dim=dim)
        parts.append(x.diff(dim=dim + 1).abs()[:, edge])
    jumps = torch.cat(parts, 1)
    if not jumps.shape[1]:
        raise invalid(
            "seam_score", "the mask must have an edge", "none", "Some entries are known, others not."
        )
    return jumps.mean(1)


def _mean(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / len(values) ** 0.5
