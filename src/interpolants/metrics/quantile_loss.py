"""Scores of ensembles by their quantiles: the normalised quantile loss, and the coverage of central intervals.

Letters: q a level, ``f_q`` the ensemble's quantile, y what came, ``e = y - f_q``, ``l_q = 2 max(q e, (q - 1) e)``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.metrics.crps import forecast_arrays, score_estimate
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike

# The levels of the forecasting literature.
DECILES = tuple(k / 10 for k in range(1, 10))


def quantile_loss(members: Tensor, truth: Tensor, levels: Sequence[float] = DECILES) -> Tensor:
    """``l_q`` averaged over the levels, for every entry: ``(B, M, *D)``, ``(B, *D)`` -> ``(B, *D)`` in data units.

    With the levels dense in (0, 1) it is the CRPS of the ensemble; for a single member, the absolute error.

    Raises:
        InvalidInputError: If there is no level, or one outside (0, 1).
    """
    if not levels:
        raise invalid("quantile_loss", "levels must have at least one entry", "none")
    for level in levels:
        number("quantile_loss", "every level", level, above=0, below=1)
    q = torch.tensor(tuple(levels), dtype=members.dtype)
    gap = truth - members.quantile(q, 1)
    wide = q.reshape(-1, *(1,) * truth.ndim)
    return 2 * torch.maximum(wide * gap, (wide - 1) * gap).mean(0)


def normalised_quantile_loss(
    members: ArrayLike, truth: ArrayLike, *, levels: Sequence[float] = DECILES
) -> Estimate:
    """``sum l_q / sum |y|``, averaged over levels: often called CRPS for series, of which it is a coarse form.

    Lower is better. Ensembles of different sizes compare, but a small one has coarse quantiles.

    Args:
        members: Ensembles, ``(B, M, *D)``.
        truth: What came, ``(B, *D)``.
        levels: Levels in (0, 1).

    Returns:
        The ratio, without unit; its error from the spread over the B cases, taken as independent.

    Raises:
        InvalidInputError: If shapes do not fit, values are not finite, or what came is zero everywhere.

    Source: Kollovieh et al. (2023), arXiv:2307.11494, section 5, after Gneiting & Raftery (2007).
    """
    x, y = forecast_arrays("normalised_quantile_loss", members, truth)
    seen = torch.ones_like(y, dtype=torch.bool)
    return score_estimate(loss_of_cases(x, y, seen, levels), "normalised quantile loss")


def loss_of_cases(members: Tensor, truth: Tensor, seen: Tensor, levels: Sequence[float] = DECILES) -> Tensor:
    """Shares ``(B,)`` whose mean is the normalised loss over the entries that were seen.

    Args:
        members: ``(B, M, *D)``.
        truth: ``(B, *D)``, finite also where it was not seen.
        seen: Which entries count, ``(B, *D)``.
        levels: Levels in (0, 1).

    Raises:
        InvalidInputError: If what came is zero everywhere.
    """
    loss = (quantile_loss(members, truth, levels) * seen).flatten(1).sum(1)
    size = (truth.abs() * seen).flatten(1).sum(1).mean()
    if not float(size) > 0:
        remedy = "It is relative to the size of the truth: take CRPS."
        raise invalid("normalised_quantile_loss", "the truth must not be zero everywhere", 0, remedy)
    return loss / size


def interval_coverage(members: ArrayLike, truth: ArrayLike, *, level: float = 0.8) -> Estimate:
    """Share of entries within the central interval of the ensemble that should hold ``level`` of them.

    Args:
        members: Ensembles, ``(B, M, *D)``.
        truth: What came, ``(B, *D)``.
        level: Probability of the interval, in (0, 1).

    Returns:
        The share; its error from the spread over the B cases.

    Raises:
        InvalidInputError: If shapes do not fit, or the level is out of range.

    Source: Gneiting & Raftery (2007).
    """
    x, y = forecast_arrays("interval_coverage", members, truth)
    return score_estimate(within(x, y, level).double().mean(1), "coverage")


def within(members: Tensor, truth: Tensor, level: float) -> Tensor:
    """Whether each entry lies in the central interval: ``(B, M, *D)``, ``(B, *D)`` -> ``(B, *D)`` bool."""
    number("interval_coverage", "level", level, above=0, below=1)
    # An interval between order statistics i and M + 1 - i holds 1 - 2 i/(M + 1): interpolate in these.
    count = members.shape[1]
    place = (count + 1) * (1 - level) / 2 - 1
    ordered = members.sort(1).values
    low, high = _at(ordered, place), _at(ordered, count - 1 - place)
    return (truth >= low) & (truth <= high)


def _at(ordered: Tensor, place: float) -> Tensor:
    """Order statistics ``(B, M, *D)`` at a place that may lie between two, or beyond the ends."""
    place = min(max(place, 0.0), ordered.shape[1] - 1.0)
    below = math.floor(place)
    above = min(below + 1, ordered.shape[1] - 1)
    return torch.lerp(ordered[:, below], ordered[:, above], place - below)
