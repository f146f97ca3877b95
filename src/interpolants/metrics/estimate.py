"""Result and call signature of metrics, and a bootstrap for statistics without an error of their own."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.metrics.samples import ArrayLike, pooled, rows, shuffled


@dataclass(frozen=True)
class Estimate:
    """A measured number and its standard error.

    Args:
        value: The estimate, in the unit that the metric documents.
        error: Its standard error, one sigma, in the same unit.
        n: Size of the smaller sample set, or the number of evaluation points.
        name: The metric that produced it.
    """

    value: float
    error: float
    n: int
    name: str

    def __str__(self) -> str:
        return f"{self.name}: {self.value:.4g} ± {self.error:.2g} (n = {self.n})"


class Metric(Protocol):
    """A two-sample metric: ``x`` (N, *D) and ``y`` (M, *D) give an :class:`Estimate`."""

    def __call__(self, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> Estimate:
        """Compare two sets of samples."""
        ...


def bootstrap_error(
    statistic: Callable[[Tensor, Tensor], float],
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_bootstrap: int = 100,
    generator: torch.Generator | None = None,
) -> float:
    """Standard error of any two-sample statistic: both sets are redrawn with replacement, ``n_bootstrap``
    times.

    It costs ``n_bootstrap`` evaluations, and it overstates the error of a statistic that is quadratic near
    its minimum (energy distance, MMD, W2) by about sqrt(3) when both sets have the same distribution. The metrics of
    this package therefore carry errors of their own, each in one pass; this is for everybody else's
    statistics.

    Args:
        statistic: Maps ``x`` (N, *D), ``y`` (M, *D) to a number.
        x: First set, (N, *D).
        y: Second set, (M, *D).
        n_bootstrap: Number of redrawn pairs, at least 2; 100 gives the error to about 7 %.
        generator: Source of the redraws.

    Raises:
        InvalidInputError: If a set is empty, not floating point or not finite, or the event shapes differ.

    Source: Efron, Ann. Statist. 7 (1979).
    """
    whole("bootstrap_error", "n_bootstrap", n_bootstrap, at_least=2)
    x, y = pooled("bootstrap_error", x, y, flat=False)
    values = [
        float(statistic(x[rows(len(x), generator)], y[rows(len(y), generator)])) for _ in range(n_bootstrap)
    ]
    return float(torch.tensor(values, dtype=torch.float64).std())


def two_halves(x: ArrayLike, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Split one set at random into two of equal size; an odd sample is left out.

    Args:
        x: Samples, (N, *D) with N >= 4.
        generator: Source of the split.

    Raises:
        InvalidInputError: If ``x`` has fewer than four samples, is not floating point or not finite.
    """
    x, _ = pooled("two_halves", x, x, flat=False, minimum=4)
    order, half = shuffled(len(x), generator).to(x.device), len(x) // 2
    return x[order[:half]], x[order[half : 2 * half]]


def floor(metric: Metric, x: ArrayLike, generator: torch.Generator | None = None) -> Estimate:
    """Sampling floor: the metric between two random halves of one data set.

    A model cannot be told from the data by ``metric`` once its value reaches the floor. Biased metrics
    (sliced and exact W2) shrink with the sample size, so compare them at the floor's size, N / 2 a side.

    Args:
        metric: Any metric of this package; ``functools.partial`` sets its options.
        x: Samples, (N, *D).
        generator: Source of the split, then of the metric's own draws.

    Returns:
        The metric's estimate, its name followed by ``"(floor)"``.
    """
    found = metric(*two_halves(x, generator), generator=generator)
    return Estimate(found.value, found.error, found.n, f"{found.name} (floor)")


def root(squared: float, variance: float) -> tuple[float, float]:
    """Value and error of a distance from those of its square, by the delta method; (0, 0) stays (0, 0)."""
    value = math.sqrt(max(squared, 0.0))
    return value, math.sqrt(max(variance, 0.0)) / (2 * value) if value else 0.0
