"""Correlation dimension of a set of points, and the correlation integral behind it."""

import math

import torch
from torch import Tensor

from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike

# Rows of the matrix of distances that are held at once.
_TOGETHER = 500


def correlation_integral(x: ArrayLike, radii: ArrayLike, *, window: int = 0) -> Tensor:
    """Share of the pairs of points that are nearer than each radius, ``(R,)``.

    Args:
        x: Points ``(N, d)``, in the order of time if they are of a path.
        radii: Radii ``(R,)``, in the units of the points.
        window: Pairs that are at most this many rows apart are left out: points of a path are near each other because
            they follow each other.
    """
    r = torch.as_tensor(radii).double()
    counts, pairs = torch.zeros_like(r), 0
    for distances in _distances("correlation_integral", x, window):
        ordered = distances.sort().values
        counts += torch.searchsorted(ordered, r)
        pairs += len(ordered)
    return counts / max(pairs, 1)


def correlation_dimension(x: ArrayLike, *, share: float = 0.02, window: int = 0) -> Estimate:
    """``1 / mean(log(r_max / r))`` over the pairs that are nearer than ``r_max``, the estimate of Takens.

    It is that of greatest likelihood if the share of pairs within r grows as a power of r up to ``r_max``.

    Args:
        x: Points ``(N, d)``, in the order of time if they are of a path.
        share: Share of the pairs that count as near, in (0, 1): small enough for the power law, large enough for noise
            and the finite number of points not to matter.
        window: As in :func:`correlation_integral`; about the autocorrelation time of a path.

    Returns:
        The dimension. Its error takes as many pairs for independent as there are points, for those of one point are
        not.

    Raises:
        InvalidInputError: If there are too few points, or they coincide.

    Source: Grassberger & Procaccia (1983), Physica D 9, 189-208; Takens (1985).
    """
    who = "correlation_dimension"
    number(who, "share", share, above=0, below=1)
    distances = torch.cat(list(_distances(who, x, window)))
    near = distances.kthvalue(max(1, round(share * len(distances)))).values
    inside = distances[(distances < near) & (distances > 0)]
    if len(inside) < 20:
        raise invalid(
            who, "x must have at least 20 close pairs of different points", len(inside), "Use more points."
        )
    logs = (near / inside).log()
    value = 1 / float(logs.mean())
    effective = min(len(torch.as_tensor(x)), len(inside))
    return Estimate(value, value / math.sqrt(effective), len(inside), who)


def _distances(who: str, x: ArrayLike, window: int) -> list[Tensor]:
    """Distances of pairs i < j - window, in parts."""
    points = torch.as_tensor(x).double()
    whole(who, "window", window, at_least=0)
    if points.ndim != 2 or len(points) < window + 10:
        raise invalid(who, f"points must be (N, d), at least {window + 10}", tuple(points.shape))
    if not bool(torch.isfinite(points).all()):
        raise invalid(who, "points must be finite", "nan or inf")
    index = torch.arange(len(points))
    found = []
    for begin in range(0, len(index), _TOGETHER):
        rows = index[begin : begin + _TOGETHER]
        later = index[None, :] - rows[:, None] > window
        found.append(torch.cdist(points[rows], points, compute_mode="donot_use_mm_for_euclid_dist")[later])
    return found
