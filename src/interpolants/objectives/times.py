"""Distributions of training times, and their weights.

Every sampler draws ``t`` in the open interval (0, 1) from a density p(t) and gives the weight 1/p(t), so that the
weighted mean stays an estimate of the integral over t. ``weighted=False`` keeps the weight at 1: times drawn more often
then count for more, which is what logit-normal sampling wants.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Interval
from torch import Generator, Tensor, nn

from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Positive, Real, Share
from interpolants.paths.path import Path, SpatiallyLinearPath

# Distance from both ends of time.
Margin = Annotated[float, Interval(ge=0, lt=0.5)]


class Times(NamedTuple):
    """Times ``t (B,)`` and weights ``(B,)``."""

    t: Tensor
    weight: Tensor


class TimeSampler(ABC):
    """A distribution of times on (0, 1)."""

    @abstractmethod
    def sample(self, n: int, *, generator: Generator | None = None) -> Times:
        """Draw n times and their weights, float32."""

    # Samplers that learn from the losses override this; the others have nothing to learn.
    def update(self, t: Tensor, loss: Tensor) -> None:  # noqa: B027
        """Tell the sampler the per-sample losses at times ``t``."""


@dataclass(frozen=True)
class UniformTimes(Checked, TimeSampler):
    """Independent uniform times on ``[margin, 1 - margin]``, or on a part of it.

    A network that is trained on a part of the times has no meaning at others; see
    ``diagnostics.negative_transfer_gap``.

    Raises:
        InvalidInputError: If the margin is out of range, or leaves nothing of the interval.
    """

    margin: Margin = 1e-5
    """Distance kept from both ends; objectives with 1/gamma need a little."""
    interval: tuple[Share, Share] = (0.0, 1.0)
    """First and last time, rising."""

    def check_settings(self) -> None:
        """Refuse an interval of which nothing is left."""
        if not self.interval[0] < self.interval[1]:
            raise asked.invalid("interval must be two rising times in [0, 1]", self.interval)
        first, last = self._ends
        if not first < last:
            raise asked.invalid("margin must be smaller than half of the interval", self.margin)

    @property
    def _ends(self) -> tuple[float, float]:
        return max(self.interval[0], self.margin), min(self.interval[1], 1 - self.margin)

    def sample(self, n: int, *, generator: Generator | None = None) -> Times:
        """Draw n times."""
        u = _uniform(n, generator)
        if self.interval != (0.0, 1.0):
            first, last = self._ends
            within = (first + (last - first) * u).clamp(1e-7, 1 - 1e-7)
            return Times(within, torch.ones(n, dtype=torch.float32))
        return Times(_spread(u, self.margin), torch.ones(n, dtype=torch.float32))


@dataclass(frozen=True)
class StratifiedTimes(Checked, TimeSampler):
    """One time in each of n equal strata, in random order: the same mean, less variance."""

    margin: Margin = 1e-5
    """Distance kept from both ends."""

    def sample(self, n: int, *, generator: Generator | None = None) -> Times:
        """Draw n times."""
        u = (torch.randperm(n, generator=generator) + _uniform(n, generator)) / n
        return Times(_spread(u, self.margin), torch.ones(n, dtype=torch.float32))


@dataclass(frozen=True)
class LogitNormalTimes(Checked, TimeSampler):
    """``logit t ~ N(mean, std^2)``: more work in the middle of the bridge.

    Source: Esser et al. (2024), arXiv:2403.03206, section 3.1.
    """

    mean: Real = 0.0
    """Location on the logit scale; positive favours the data end."""
    std: Positive = 1.0
    """Spread on the logit scale."""
    weighted: bool = False
    """Give weights 1/p(t), so that the loss estimates the plain integral (heavy weights at the ends)."""

    def sample(self, n: int, *, generator: Generator | None = None) -> Times:
        """Draw n times."""
        z = torch.randn(n, generator=generator, dtype=torch.float32)
        t = torch.sigmoid(self.mean + self.std * z).clamp(1e-6, 1 - 1e-6)
        if not self.weighted:
            return Times(t, torch.ones(n, dtype=torch.float32))
        density = torch.exp(-0.5 * z.square()) / (self.std * math.sqrt(2 * math.pi) * t * (1 - t))
        return Times(t, 1 / density)


@dataclass(frozen=True)
class NoiseTimes(Checked, TimeSampler):
    """``log(noise / signal) ~ N(mean, std^2)``: more work where the noise is about as large as the data.

    Made for objectives that weigh all noise levels alike, as those of ``fields.Preconditioned`` do; without weights.

    Raises:
        InvalidInputError: If the path is not one-sided, or a number is out of range.

    Source: Karras et al. (2022), arXiv:2206.00364, table 1, there for data of spread 1/2: ``mean - log 2 = -1.2``.
    """

    path: Path
    """A one-sided spatially linear path."""
    mean: Real = -0.5
    """Mean of the logarithm, for data of unit spread."""
    std: Positive = 1.2
    """Its standard deviation."""
    data_std: Positive = 1.0
    """Spread of the data, in data units: levels are multiples of it."""

    def check_settings(self) -> None:
        """Refuse a path without one noise level."""
        if not isinstance(self.path, SpatiallyLinearPath) or not self.path.is_one_sided:
            found = type(self.path).__name__
            raise asked.invalid("the path must be one-sided", found, "For example, use paths.EDM().")
        if self.path.basis is not None:
            rule = "the path must have one noise level for all directions"
            raise asked.invalid(rule, type(self.path).__name__, "Use times='uniform'.")

    def sample(self, n: int, *, generator: Generator | None = None) -> Times:
        """Draw n times."""
        assert isinstance(self.path, SpatiallyLinearPath)
        z = torch.randn(n, generator=generator, dtype=torch.float32).double()
        log_ratio = self.mean + math.log(self.data_std) + self.std * z
        t = self.path.time_at_log_snr(-2 * log_ratio).float()
        return Times(t.clamp(1e-7, 1 - 1e-7), torch.ones(n, dtype=torch.float32))


class ImportanceTimes(nn.Module, TimeSampler):
    """Times drawn where the loss varies most, learnt while training.

    The variance of a stratified mean is smallest when times fall in bin k in proportion to the root mean square of the
    loss there. Bins keep a running mean square; a floor share of uniform draws keeps every bin alive.

    Args:
        bins: Number of equal bins of ``[margin, 1 - margin]``.
        decay: Forgetting factor of the running mean square per update, in (0, 1).
        floor: Share of draws that stays uniform, in (0, 1].
        margin: Distance kept from both ends.
    """

    _square: Tensor
    _count: Tensor

    def __init__(self, bins: int = 32, decay: float = 0.99, floor: float = 0.1, margin: float = 1e-5) -> None:
        super().__init__()
        whole("ImportanceTimes", "bins", bins, at_least=1)
        number("ImportanceTimes", "decay", decay, above=0, below=1)
        number("ImportanceTimes", "floor", floor, above=0, at_most=1)
        number("ImportanceTimes", "margin", margin, at_least=0, below=0.5)
        self.bins, self.decay, self.floor, self.margin = bins, decay, floor, margin
        # Buffers, so that a checkpoint of the training holds them and a resumed run draws the same times.
        for name in ("_square", "_count"):
            self.register_buffer(name, torch.zeros(bins, dtype=torch.float32))

    @property
    def probabilities(self) -> Tensor:
        """Probability of each bin, ``(bins,)``."""
        if bool((self._count == 0).any()):
            return torch.full_like(self._square, 1 / self.bins)
        rms = (self._square / self._count).sqrt()
        total = rms.sum()
        if not bool(total > 0):
            return torch.full_like(self._square, 1 / self.bins)
        return self.floor / self.bins + (1 - self.floor) * rms / total

    def sample(self, n: int, *, generator: Generator | None = None) -> Times:
        """Draw n times: one uniform through the stratified cumulative of the bins."""
        p = self.probabilities
        u = (torch.randperm(n, generator=generator) + _uniform(n, generator)) / n
        edge = torch.cat([p.new_zeros(1), p.cumsum(0)])
        edge = edge / edge[-1]
        k = (torch.searchsorted(edge, u, right=True) - 1).clamp(0, self.bins - 1)
        within = ((u - edge[k]) / (edge[k + 1] - edge[k])).clamp(0, 1)
        return Times(_spread((k + within) / self.bins, self.margin), 1 / (p[k] * self.bins))

    def update(self, t: Tensor, loss: Tensor) -> None:
        """Fold per-sample (unweighted) losses into the bins; one that is not finite says nothing and is left out."""
        square = loss.detach().to(self._square).square()
        good = torch.isfinite(square)
        # Bins divide what is between the margins, as when times are drawn.
        inside = (t.detach().cpu()[good] - self.margin) / (1 - 2 * self.margin)
        square, k = square[good], (inside * self.bins).long().clamp(0, self.bins - 1)
        self._square.mul_(self.decay).index_add_(0, k, square)
        self._count.mul_(self.decay).index_add_(0, k, torch.ones_like(square))

    def state(self) -> dict[str, Tensor]:
        """State for a checkpoint."""
        return {"square": self._square.clone(), "count": self._count.clone()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take up a state.

        Raises:
            InvalidInputError: If it has another number of bins.
        """
        if state["count"].shape != (self.bins,):
            rule = f"the state must have {self.bins} bins"
            raise invalid("ImportanceTimes", rule, len(state["count"]), "Keep the settings when you resume.")
        self._square.copy_(state["square"])
        self._count.copy_(state["count"])


def _uniform(n: int, generator: Generator | None) -> Tensor:
    return torch.rand(n, generator=generator, dtype=torch.float32)


def _spread(u: Tensor, margin: float) -> Tensor:
    # A draw of exactly 0 would sit on the end where gamma' is infinite.
    return (margin + (1 - 2 * margin) * u).clamp(1e-7, 1 - 1e-7)
