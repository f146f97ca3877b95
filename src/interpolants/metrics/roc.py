"""Receiver operating characteristic: how well a score tells the rows that should be found from the others."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid

_WHO = "roc"


@dataclass(frozen=True)
class Roc:
    """The curve of a score, from the strictest threshold to none.

    Attributes:
        false: Share of the other rows above each threshold, ``(K,)``, from 0 to 1.
        true: Share of the rows to be found above it, ``(K,)``, from 0 to 1.
        thresholds: Falling thresholds, ``(K,)``, the first infinite; a row is found where its score is at least that.
        area: Chance that a row to be found scores higher than another one; ties count half.
        error: Its standard error.
        found: Number of rows to be found.
        others: Number of the others.
    """

    false: Tensor
    true: Tensor
    thresholds: Tensor
    area: float
    error: float
    found: int
    others: int

    def found_at(self, kept: float) -> float:
        """Share of the rows that are found by the lowest threshold that keeps a share of the others below it.

        Args:
            kept: Share of the others, in (0, 1].
        """
        number(_WHO, "kept", kept, above=0, at_most=1)
        allowed = self.false <= 1 - kept + 1e-12
        return float(self.true[allowed].max())


def roc(scores: Tensor, wanted: Tensor) -> Roc:
    """The curve of a score that should be high in some rows.

    Args:
        scores: ``(N,)``; infinite ones rank as such, NaN is refused.
        wanted: Which rows should be found, ``(N,)`` bool, some and not all.

    Raises:
        InvalidInputError: If the shapes differ, a score is NaN, or one of the two kinds is missing.

    Source: error of the area: Hanley & McNeil, Radiology 143 (1982).
    """
    scores, wanted = torch.as_tensor(scores), torch.as_tensor(wanted)
    if scores.ndim != 1 or wanted.shape != scores.shape or wanted.dtype != torch.bool:
        found = f"{tuple(scores.shape)} and {wanted.dtype} {tuple(wanted.shape)}"
        raise invalid(_WHO, "scores (N,) and wanted (N,) bool must be of one length", found)
    bad = int(torch.isnan(scores).sum())
    if bad:
        raise invalid(_WHO, "scores must not be NaN", f"{bad} of {len(scores)}", "Leave those rows out.")
    n, m = int(wanted.sum()), int((~wanted).sum())
    if not n or not m:
        raise invalid(_WHO, "both classes must have rows", f"{n} positive, {m} negative")
    values, place = torch.unique(scores.double(), return_inverse=True)  # rising
    hits = torch.bincount(place[wanted], minlength=len(values)).flip(0)
    misses = torch.bincount(place[~wanted], minlength=len(values)).flip(0)
    start = torch.zeros(1, dtype=torch.float64)
    true = torch.cat([start, hits.cumsum(0).double() / n])
    false = torch.cat([start, misses.cumsum(0).double() / m])
    area = float((false.diff() * (true[1:] + true[:-1]) / 2).sum())
    thresholds = torch.cat([start + math.inf, values.flip(0)])
    return Roc(false, true, thresholds, area, _error(area, n, m), n, m)


def _error(area: float, n: int, m: int) -> float:
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (n - 1) * (one - area**2) + (m - 1) * (two - area**2)
    return math.sqrt(max(spread, 0.0) / (n * m))
