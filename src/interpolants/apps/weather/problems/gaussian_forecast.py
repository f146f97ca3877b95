"""A linear-Gaussian forecast with known fields, given what was observed, and of each entry without it.

Letters: ``c`` what was observed, ``y`` what comes, ``sigma`` the spread of each entry, ``t`` the time of the path.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.types import Condition
from interpolants.paths.path import SpatiallyLinearPath

_KNOWN = ("velocity", "score", "noise", "denoised", "endpoint0")


class GaussianForecast:
    """``y = c + sigma e`` with ``c ~ N(0, 1)``, the same in all entries, and independent ``e ~ N(0, 1)``.

    Args:
        sigma: Spread of each entry, ``(D,)``, positive.
        shrink: How much the fields of a model that is not exact pull the mean of y given c towards 0; 0 is exact.

    Raises:
        InvalidInputError: If the spreads are not positive, or shrink is not finite.
    """

    def __init__(self, sigma: Tensor | Sequence[float], shrink: float = 0.0) -> None:
        self.sigma = torch.as_tensor(sigma, dtype=torch.float64)
        if self.sigma.ndim != 1 or not bool((self.sigma > 0).all()):
            rule = "sigma must be positive, one number for each entry"
            raise invalid("GaussianForecast", rule, f"shape {tuple(self.sigma.shape)}")
        self.shrink = number("GaussianForecast", "shrink", shrink)

    def observations(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """What was observed in n cases, ``(n, D)``."""
        return torch.randn(n, 1, generator=generator, dtype=torch.float64).expand(n, len(self.sigma))

    def outcomes(self, c: Tensor, *, generator: Generator | None = None) -> Tensor:
        """What came of each case, ``(n, D)``."""
        return c + self.sigma * torch.randn(c.shape, generator=generator, dtype=torch.float64)

    def fields(self, path: SpatiallyLinearPath) -> Fields:
        """Fields of a one-sided path from the standard Gaussian, for the condition ``c (B, D)`` or NaN for none.

        Without a condition they are those of every entry by itself, ``y_i ~ N(0, 1 + sigma_i^2)``: what the entries
        have in common is left out, so for D > 1 they are not the fields of the joint distribution.

        Raises:
            InvalidInputError: If the path has another base.
        """
        if not isinstance(path.base, Gaussian) or path.base.shared_scale != 1.0:
            raise invalid("GaussianForecast.fields", "the base must be a standard Gaussian", repr(path.base))
        return _ForecastFields(self, path)


class _ForecastFields(Fields):
    path: SpatiallyLinearPath

    def __init__(self, forecast: GaussianForecast, path: SpatiallyLinearPath) -> None:
        self.forecast, self.path = forecast, path

    def provides(self, quantity: str) -> bool:
        return quantity in _KNOWN

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        variance = self.forecast.sigma.square().to(x)
        null = torch.ones_like(x, dtype=torch.bool) if cond is None else cond.isnan()
        mean = (
            torch.zeros_like(x) if cond is None else torch.where(null, 0.0, (1 - self.forecast.shrink) * cond)
        )
        spread = torch.where(null, 1 + variance, variance)
        time = t if t.ndim == 0 else t[:, None]
        a, b = self.path.alpha(time), self.path.beta(time)
        gap = (x - b * mean) / (a**2 + b**2 * spread)
        noise, end = a * gap, mean + b * spread * gap
        velocity = self.path.alpha_dot(time) * noise + self.path.beta_dot(time) * end
        found = {"velocity": velocity, "score": -gap, "noise": noise, "denoised": end, "endpoint0": noise}
        return {name: found[name] for name in want}
