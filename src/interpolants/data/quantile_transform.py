"""Normal quantiles of a column: a smooth map to a standard normal variable.

Letters: knots ``(x_k, z_k)``; ``h`` and ``g`` widths of an interval in x and z; ``xi`` the place in it, 0 to 1;
``left`` and ``right`` the slopes at its ends over its mean slope ``g / h``.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.data.column_transforms import ColumnMap, ColumnTransform
from interpolants.foundations.checked import Checked
from interpolants.foundations.records import record

# Fewest values per knot, and gaps between knots in units of rounding.
_ROWS, _ROUNDING = 10, 8
# Width in z of the outermost part, whose mean slope is the most that a tail has.
_OUTER = 2.0


@record("quantile_map")
@dataclass(frozen=True, eq=False)
class QuantileMap(ColumnMap):
    """Monotone rational-quadratic spline through knots, straight beyond them; its slope is continuous.

    Attributes:
        x: Knots in data units, increasing, ``(K,)`` float64.
        z: Their normal scores, increasing, ``(K,)``.

    Source: Gregory & Delbourgo (1982), IMA J. Numer. Anal. 2, 123-130.
    """

    x: Tensor
    z: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """The spline."""
        at, xi = self._place(x)
        left, right = self._ratios(at)
        low, high = self._off(xi)
        inner = xi.clamp(0, 1)
        middle = inner * (1 - inner)
        share = (inner.square() + left * middle) / (1 + (left + right - 2) * middle)
        g = self.z.diff()[at]
        return self.z[at] + g * (share + left * low + right * high)

    def inverse(self, z: Tensor) -> Tensor:
        """The root of a quadratic, in the form that does not cancel."""
        at = self._interval(self.z, z)
        left, right = self._ratios(at)
        share = (z - self.z[at]) / self.z.diff()[at]
        low, high = self._off(share)
        inner = share.clamp(0, 1)
        b = left - inner * (left + right - 2)
        root = (b.square() + 4 * (1 - b) * inner).sqrt()
        rising = b > 0
        xi = torch.where(
            rising,
            2 * inner / torch.where(rising, b + root, 1.0),
            (root - b) / (2 * torch.where(rising, 1.0, 1 - b)),
        )
        h = self.x.diff()[at]
        return self.x[at] + h * (xi + low / left + high / right)

    def log_slope(self, x: Tensor) -> Tensor:
        """Logarithm of the derivative, nats."""
        at, xi = self._place(x)
        left, right = self._ratios(at)
        xi = xi.clamp(0, 1)
        middle = xi * (1 - xi)
        top = right * xi.square() + 2 * middle + left * (1 - xi).square()
        bottom = 1 + (left + right - 2) * middle
        return self.z.diff()[at].log() - self.x.diff()[at].log() + top.log() - 2 * bottom.log()

    def _place(self, x: Tensor) -> tuple[Tensor, Tensor]:
        at = self._interval(self.x, x)
        return at, (x - self.x[at]) / self.x.diff()[at]

    def _interval(self, knots: Tensor, value: Tensor) -> Tensor:
        return (torch.searchsorted(knots, value.contiguous(), right=True) - 1).clamp(0, len(knots) - 2)

    def _off(self, xi: Tensor) -> tuple[Tensor, Tensor]:
        """How far a place lies below and above its interval; 0 inside, with slope 0."""
        return torch.where(xi < 0, xi, 0.0), torch.where(xi > 1, xi - 1, 0.0)

    def _ratios(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Slopes at the ends of intervals over their mean slope: geometric means of both sides, and the tails' own."""
        g, rate = self.z.diff(), self.z.diff().log() - self.x.diff().log()
        between = (g[1:] * rate[:-1] + g[:-1] * rate[1:]) / (g[1:] + g[:-1])
        low = torch.minimum(rate[0], _mean_slope(self.x, self.z))
        high = torch.minimum(rate[-1], _mean_slope(-self.x.flip(0), -self.z.flip(0)))
        slopes = torch.cat([low[None], between, high[None]])
        return (slopes[at] - rate[at]).exp(), (slopes[at + 1] - rate[at]).exp()


def _mean_slope(x: Tensor, z: Tensor) -> Tensor:
    """Logarithm of the mean slope of the outermost part, which does not hang on the distance of the last two values."""
    inner = torch.searchsorted(z, z[:1] + _OUTER).clamp(max=len(z) - 1)[0]
    return (z[inner] - z[0]).log() - (x[inner] - x[0]).log()


@dataclass(frozen=True, kw_only=True)
class Quantile(Checked, ColumnTransform):
    """Normal quantiles: each value becomes the quantile of a normal variable that has its rank.

    For any column of numbers, whatever its tails, bounds or unit. Knots lie evenly in normal units from the least to
    the largest value. Beyond these the map is a straight line, no steeper than the outer part of the data is in the
    mean, so that samples leave the range of the data as a normal variable does, and not as a heavy tail would.
    """

    knots: Annotated[int, Ge(3)] = 33
    """Most knots; one for ten values at most."""

    def fit(self, x: Tensor, who: str = "Quantile") -> QuantileMap:
        """Knots from mean ranks, so that equal values are one point."""
        seen = x.double()[torch.isfinite(x)].cpu().numpy()
        values, counts = np.unique(seen, return_counts=True)
        ranks = (np.cumsum(counts) - counts / 2) / len(seen)
        scores = torch.special.ndtri(torch.from_numpy(ranks)).numpy()
        count = max(3, min(self.knots, len(seen) // _ROWS))
        if len(values) > count:
            z = np.linspace(scores[0], scores[-1], count)
            values, scores = np.interp(z, scores, values), z
        kept = _apart(values)
        return QuantileMap(torch.from_numpy(values[kept]), torch.from_numpy(scores[kept]))


def _apart(values: np.ndarray) -> list[int]:
    """Knots that rounding keeps apart: the first and the last at least."""
    least = _ROUNDING * np.finfo(np.float64).eps * np.abs(values).max()
    kept, last = [0], len(values) - 1
    for k in range(1, last):
        if min(values[k] - values[kept[-1]], values[last] - values[k]) > least:
            kept.append(k)
    return [*kept, last]
