"""Chebyshev points of an interval: derivatives as matrices, and values between the points."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.records import record


@record("chebyshev_grid")
@dataclass(frozen=True)
class ChebyshevGrid(Checked):
    """Extrema of a Chebyshev polynomial, both ends among them; exact for polynomials of degree below n.

    Source: Trefethen (2000), chapter 6; Berrut & Trefethen (2004) for values between the points.
    """

    low: float
    """Lower end."""
    high: float
    """Upper end."""
    n: Annotated[int, Ge(3)]
    """Number of points."""

    def check_settings(self) -> None:
        """Refuse ends the wrong way round."""
        if not self.low < self.high:
            raise invalid("low must be below high", (self.low, self.high))

    @property
    def x(self) -> Tensor:
        """The points, increasing, ``(n,)`` float64."""
        angle = math.pi * torch.arange(self.n, dtype=torch.float64) / (self.n - 1)
        return (self.low + self.high) / 2 - (self.high - self.low) / 2 * angle.cos()

    @property
    def weights(self) -> Tensor:
        """Barycentric weights of the points, ``(n,)``."""
        signs = 1.0 - 2.0 * (torch.arange(self.n, dtype=torch.float64) % 2)
        signs[[0, -1]] /= 2
        return signs

    @property
    def derivative(self) -> Tensor:
        """Matrix ``(n, n)`` from values to slopes at the points."""
        x, w = self.x, self.weights
        gap = x[:, None] - x + torch.eye(self.n, dtype=torch.float64)
        slopes = w / w[:, None] / gap
        slopes -= torch.diag(slopes.diagonal())
        return slopes - torch.diag(slopes.sum(1))  # constants have no slope, to the last bit

    def interpolation(self, x: Tensor) -> Tensor:
        """Matrix ``(..., n)`` from values at the points to values at others, ``(...)``, without slopes in these."""
        # At a point of the grid a slope through `where` would be zero.
        gap = x.detach().double()[..., None] - self.x
        hit = gap == 0
        share = self.weights / torch.where(hit, 1.0, gap)
        share = share / share.sum(-1, keepdim=True)
        return torch.where(hit.any(-1, keepdim=True), hit.double(), share)
