"""Transforms of the columns of a table: increasing, smooth and invertible, so that a density can follow them.

A transform holds settings; fitted to a column it gives a map ``x -> z`` with ``log dz/dx``, all in float64. What is
learnt of z says what holds of x: samples by the inverse, and ``log p(x) = log p(z) + log dz/dx``.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Real
from interpolants.foundations.records import record

# Of a normal variable, the interquartile range in standard deviations.
_QUARTILES = 1.3489795


class ColumnMap(ABC):
    """Increasing map of the values of a column, ``(...)`` float64 to the same; NaN stays NaN."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """``z`` of ``x`` in data units."""

    @abstractmethod
    def inverse(self, z: Tensor) -> Tensor:
        """``x`` of ``z``."""

    @abstractmethod
    def log_slope(self, x: Tensor) -> Tensor:
        """``log dz/dx`` at ``x``, in nats."""

    def outside(self, x: Tensor) -> Tensor:
        """Which values have no ``z``: none, unless a map says so."""
        return torch.zeros_like(x, dtype=torch.bool)


class ColumnTransform(ABC):
    """Settings of a map that is fitted to a column."""

    @abstractmethod
    def fit(self, x: Tensor, who: str = "transform") -> ColumnMap:
        """The map for a column.

        Args:
            x: Values ``(N,)``, at least two different ones; NaN counts as not seen.
            who: What an error is about.

        Raises:
            InvalidInputError: If some of the values have no transform.
        """


@record("log_map")
@dataclass(frozen=True)
class LogMap(ColumnMap):
    """``z = log(x + shift)``.

    Attributes:
        shift: In data units; values must be above its negative.
    """

    shift: float

    def forward(self, x: Tensor) -> Tensor:
        """``log(x + shift)``."""
        return (x + self.shift).log()

    def inverse(self, z: Tensor) -> Tensor:
        """``exp(z) - shift``."""
        return z.exp() - self.shift

    def log_slope(self, x: Tensor) -> Tensor:
        """``-log(x + shift)``."""
        return -(x + self.shift).log()

    def outside(self, x: Tensor) -> Tensor:
        """Values that have no logarithm."""
        return x + self.shift <= 0


@dataclass(frozen=True, kw_only=True)
class Log(Checked, ColumnTransform):
    """Logarithm, ``z = log(x + shift)``: for positive columns over orders of magnitude, such as prices and sizes."""

    shift: Real = 0.0
    """Added first, in data units. Values at or below its negative are refused: a shift that is chosen by the least
    value would decide about the tail."""

    def fit(self, x: Tensor, who: str = "Log") -> LogMap:
        """The logarithm, if all values have one."""
        made = LogMap(self.shift)
        if bool((off := made.outside(x.double())).any()):
            remedy = "Use 'quantile' or 'asinh', which accept any number, or {'kind': 'log', 'shift': 1.0}."
            rule = f"a logarithm needs values above {0.0 - self.shift:g}"
            raise invalid(who, rule, f"{float(x[off].min()):.6g}", remedy)
        return made


@record("asinh_map")
@dataclass(frozen=True)
class AsinhMap(ColumnMap):
    """``z = asinh((x - centre) / scale)``.

    Attributes:
        centre: In data units.
        scale: In data units, positive.
    """

    centre: float
    scale: float

    def forward(self, x: Tensor) -> Tensor:
        """``asinh((x - centre) / scale)``."""
        return ((x - self.centre) / self.scale).asinh()

    def inverse(self, z: Tensor) -> Tensor:
        """``centre + scale sinh(z)``; of exponentials, whose bits do not depend on the place in a batch."""
        return self.centre + 0.5 * self.scale * (z.exp() - (-z).exp())

    def log_slope(self, x: Tensor) -> Tensor:
        """``-log(scale) - log(1 + u^2) / 2``, in units in which no square overflows."""
        u = (x - self.centre) / self.scale
        unit = u.abs().clamp_min(1)
        return -math.log(self.scale) - unit.log() - 0.5 * ((1 / unit).square() + (u / unit).square()).log()


@dataclass(frozen=True, kw_only=True)
class Asinh(ColumnTransform):
    """Inverse hyperbolic sine about the median: linear in the middle, a logarithm in both tails.

    For columns with heavy tails on both sides, such as returns and errors. The unit is the standard deviation of a
    normal variable with the same quartiles.
    """

    def fit(self, x: Tensor, who: str = "Asinh") -> AsinhMap:
        """From the quartiles; from the standard deviation where these are one value."""
        seen = x.double()[torch.isfinite(x)].sort().values
        low, middle, high = (float(seen[min(int(q * len(seen)), len(seen) - 1)]) for q in (0.25, 0.5, 0.75))
        scale = (high - low) / _QUARTILES
        if not scale > 0:
            unit = (seen - middle).abs().max()
            scale = float(((seen - middle) / unit).square().mean().sqrt() * unit)
        return AsinhMap(middle, scale)


@record("interval_map")
@dataclass(frozen=True)
class IntervalMap(ColumnMap):
    """``z = log((x - low) / (high - x))``, without the term of an end that is infinite.

    Attributes:
        low: Lower bound in data units, or -inf.
        high: Upper bound in data units, or inf.
    """

    low: float
    high: float

    def forward(self, x: Tensor) -> Tensor:
        """Logit of the position between the bounds, ``log(x - low)``, or ``-log(high - x)``."""
        if math.isinf(self.high):
            return (x - self.low).log()
        return (
            -(self.high - x).log() if math.isinf(self.low) else (x - self.low).log() - (self.high - x).log()
        )

    def inverse(self, z: Tensor) -> Tensor:
        """``low + (high - low) / (1 + exp(-z))``, from the nearer bound; ``low + exp(z)``; ``high - exp(-z)``."""
        if math.isinf(self.high):
            return self.low + z.exp()
        if math.isinf(self.low):
            return self.high - (-z).exp()
        small = (-z.abs()).exp()
        part = (self.high - self.low) * small / (1 + small)
        return torch.where(z < 0, self.low + part, self.high - part)

    def log_slope(self, x: Tensor) -> Tensor:
        """``log(1 / (x - low) + 1 / (high - x))``, without the term of an end that is infinite."""
        if math.isinf(self.high):
            return -(x - self.low).log()
        if math.isinf(self.low):
            return -(self.high - x).log()
        return math.log(self.high - self.low) - (x - self.low).log() - (self.high - x).log()

    def outside(self, x: Tensor) -> Tensor:
        """Values at a bound or beyond it."""
        return (x <= self.low) | (x >= self.high)


@record("probit_map")
@dataclass(frozen=True)
class ProbitMap(ColumnMap):
    """``z = Phi^-1((x - low) / (high - low))``, which maps a uniform column to a standard normal one.

    Attributes:
        low: Lower bound in data units, finite.
        high: Upper bound in data units, finite.
    """

    low: float
    high: float

    def forward(self, x: Tensor) -> Tensor:
        """Normal quantile of the position between the bounds, computed from the nearer bound."""
        width = self.high - self.low
        below, above = (
            torch.special.ndtri((x - self.low) / width),
            torch.special.ndtri((self.high - x) / width),
        )
        return torch.where(x - self.low < self.high - x, below, -above)

    def inverse(self, z: Tensor) -> Tensor:
        """``low + (high - low) Phi(z)``, computed from the nearer bound."""
        part = (self.high - self.low) * torch.special.ndtr(-z.abs())
        return torch.where(z < 0, self.low + part, self.high - part)

    def log_slope(self, x: Tensor) -> Tensor:
        """``z^2 / 2 + log(2 pi) / 2 - log(high - low)``."""
        return 0.5 * (self.forward(x).square() + math.log(2 * math.pi)) - math.log(self.high - self.low)

    def outside(self, x: Tensor) -> Tensor:
        """Values at a bound or beyond it."""
        return (x <= self.low) | (x >= self.high)


@dataclass(frozen=True, kw_only=True)
class Interval(Checked, ColumnTransform):
    """Logit between two bounds, or logarithm of the distance from one: samples stay between the bounds.

    For columns that end where values are frequent, such as shares, probabilities, rates and concentrations.
    ``shape="probit"`` takes the normal quantile between two bounds instead: a uniform column becomes a normal one.
    """

    low: float = 0.0
    """Lower bound, in data units; -inf for none."""
    high: float = 1.0
    """Upper bound, in data units, above ``low``; inf for none. One of the bounds must be finite. Values at a bound are
    refused: a density has none there, and they are an atom."""
    shape: Literal["logit", "probit"] = "logit"
    """``"logit"``, or ``"probit"`` between two finite bounds."""

    def check_settings(self) -> None:
        """Refuse bounds that are none; kinds of numbers are finite, and these need not be."""
        for name, value in (("low", self.low), ("high", self.high)):
            if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
                raise asked.invalid(f"{name} must be a number, or infinite for no bound", repr(value))
        if not self.low < self.high or (math.isinf(self.low) and math.isinf(self.high)):
            rule = "low must lie below high, and one of them must be finite"
            raise asked.invalid(rule, f"{self.low} and {self.high}", "For example, low=0.0, high=math.inf.")
        if self.shape == "probit" and not math.isfinite(self.high - self.low):
            rule = "shape='probit' needs two finite bounds"
            raise asked.invalid(rule, f"{self.low} and {self.high}", "Use shape='logit' for one bound.")

    def fit(self, x: Tensor, who: str = "Interval") -> IntervalMap | ProbitMap:
        """The map, if all values lie between the bounds."""
        kind = ProbitMap if self.shape == "probit" else IntervalMap
        made = kind(float(self.low), float(self.high))
        if bool((off := made.outside(x.double())).any()):
            rule = f"values must lie between {self.low:g} and {self.high:g}, and not at these"
            count = f"{float(x[off].min()):.6g} and {int(off.sum())} of {len(x)} values that do not"
            remedy = (
                "Set low and high to the bounds of the column. If many values are exactly at a bound, fit these rows"
                " and the others apart."
            )
            raise invalid(who, rule, count, remedy)
        return made
