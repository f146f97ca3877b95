"""One window of time: its points, its residual and its start."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from interpolants.pde.evolution import TIME, Evolution
from interpolants.training.causal import causal_weights


@dataclass(frozen=True)
class Window:
    """A problem on ``[begin, begin + length]``, with its start.

    Attributes:
        problem: The problem.
        highest: Highest derivative that its residual reads along each axis.
        begin: First time.
        length: Time from first to last.
        start: State at the first time, x ``(N, d - 1)`` -> ``(N, C)``.
        dtype: Type of points.
    """

    problem: Evolution
    highest: Mapping[str, int]
    begin: float
    length: float
    start: Callable[[Tensor], Tensor]
    dtype: torch.dtype

    @property
    def has_space(self) -> bool:
        """Whether there is an x."""
        return self.problem.period is not None

    def points(self, times: int, places: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Times in order, one in each of equal cells, and places in cells of x at each: ``(n,)`` and ``(n m, d)``."""
        t = self.begin + self.length * strata((times,), generator)
        if self.problem.period is None:
            return t.to(self.dtype), t[:, None].to(self.dtype)
        x = self.places((times, places), generator)
        return t.to(self.dtype), torch.stack([t[:, None].expand_as(x), x], -1).reshape(-1, 2).to(self.dtype)

    def places(self, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Places in x, one in each of equal cells along the last axis."""
        assert self.problem.period is not None
        low, high = self.problem.period
        return low + (high - low) * strata(shape, generator)

    def start_points(self, places: int, generator: Generator) -> Tensor:
        """Points ``(m, 2)`` at the first time."""
        x = self.places((places,), generator)
        return torch.stack([torch.full_like(x, self.begin), x], 1).to(self.dtype)

    def residual(self, net: Any, points: Tensor) -> Tensor:
        """The residual of a network, ``(N, C)``."""
        return self.problem.residual_at(points, net.jet(points, self.highest))

    def losses(self, net: Any, times: Tensor, points: Tensor) -> Tensor:
        """Mean squared residual at each time, over places and components, ``(n,)``."""
        return self.residual(net, points).square().reshape(len(times), -1).mean(1)

    def miss(self, net: nn.Module, points: Tensor) -> Tensor:
        """Mean squared difference from the start."""
        found: Tensor = (net(points) - self.start(points[:, 1:])).square().mean()
        return found

    @torch.no_grad()
    def smallest_weight(
        self, net: Any, steepness: float, places: int, generator: Generator, fresh: int
    ) -> float:
        """Smallest causal weight on fresh times, of the same steepness ``eps n / T`` as in training."""
        times, points = self.points(fresh, places, generator)
        weights = causal_weights(self.losses(net, times, points), steepness * self.length / fresh)
        return float(weights.min())


def strata(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """One uniform number in each of equal cells of [0, 1] along the last axis, in order, float64."""
    n = shape[-1]
    inside = torch.rand(shape, generator=generator, dtype=torch.float64)
    return (torch.arange(n, dtype=torch.float64) + inside) / n


@dataclass(frozen=True)
class Batches:
    """The batch of a step: times in order, points, and points at the first time.

    Attributes:
        window: The window.
        times: Times n.
        places: Places at each.
    """

    window: Window
    times: int
    places: int

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Tensor]:
        """A function of the generator alone."""
        times, points = self.window.points(self.times, self.places, generator)
        batch = {TIME: times, "points": points}
        if self.window.has_space:
            batch["start"] = self.window.start_points(self.places, generator)
        return batch


@dataclass(frozen=True)
class ResidualLoss:
    """``residual`` by time and, with space, ``initial``.

    Attributes:
        window: The window.
        initial_weight: Weight of the initial data.
    """

    window: Window
    initial_weight: float

    def __call__(
        self, net: nn.Module, batch: Mapping[str, Tensor], generator: Generator
    ) -> dict[str, Tensor]:
        """Losses of a batch."""
        losses = {"residual": self.window.losses(net, batch[TIME], batch["points"])}
        if "start" in batch:
            losses["initial"] = self.initial_weight * self.window.miss(net, batch["start"])
        return losses
