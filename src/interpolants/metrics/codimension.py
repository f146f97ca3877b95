"""Codimension of the data: the slope of the best log-likelihood against the logarithm of the noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interpolants.foundations.errors import invalid


@dataclass(frozen=True)
class CodimensionSlope:
    """Codimension D - d of the set, from a straight line through log-likelihoods.

    Attributes:
        value: Minus the slope of log-likelihood against ``log noise``, without unit.
        error: Standard error of the slope from the scatter about the line; NaN for two levels.
        local: Minus the slope between neighbouring levels, from the smallest up.
        levels: The noise levels, increasing.
    """

    value: float
    error: float
    local: tuple[float, ...]
    levels: tuple[float, ...]

    def __str__(self) -> str:
        between = f"between noise {self.levels[0]:g} and {self.levels[-1]:g}"
        return f"codimension {self.value:.3g} ± {self.error:.2g} {between}"


def codimension_slope(levels: Sequence[float], log_likelihoods: Sequence[float]) -> CodimensionSlope:
    """Codimension of the set that data lie on, from models that were fitted at several noise levels.

    Near a set of dimension d in D dimensions the density of data with noise s is ``s^-(D - d)`` times what the
    distribution on the set says: so the best mean log-likelihood falls by D - d for every factor e in the noise, while
    the noise is small against the features of the set and above the error of the model.

    Args:
        levels: Noise on the data, distinct, finite and > 0, in data units; at least two.
        log_likelihoods: Mean log-likelihood of data with that noise under a model fitted to such data, in nats.

    Raises:
        InvalidInputError: If there are fewer than two levels, one is repeated or not > 0, or a value is not finite.

    Source: Chae, Kim, Kim & Lin (2023), arXiv:2105.04046, for the divergence; the slope as a diagnostic is ours.
    """
    who = "codimension_slope"
    if len(levels) != len(log_likelihoods) or len(levels) < 2:
        sizes = (len(levels), len(log_likelihoods))
        raise invalid(who, "levels and log_likelihoods must have the same length, at least 2", sizes)
    if not all(math.isfinite(level) and level > 0 for level in levels) or len(set(levels)) < len(levels):
        raise invalid(
            who, "levels must be distinct, finite and > 0", list(levels), "Noise 0 has no likelihood."
        )
    if not all(math.isfinite(value) for value in log_likelihoods):
        raise invalid(who, "log-likelihoods must be finite", list(log_likelihoods))
    order = np.argsort(levels)
    x = np.log(np.asarray(levels, dtype=np.float64)[order])
    y = np.asarray(log_likelihoods, dtype=np.float64)[order]
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - slope * centred
    free = len(x) - 2
    error = math.sqrt(float(rest @ rest) / free / float(centred @ centred)) if free else math.nan
    local = tuple((-np.diff(y) / np.diff(x)).tolist())
    return CodimensionSlope(-slope, error, local, tuple(np.exp(x).tolist()))
