"""Simulators of the sbibm benchmark with posteriors that can be sampled exactly.

Both draw parameters with their simulations, ``{"theta": (n, D), "x": (n, C)}`` in float64.

Source: Lueckmann et al. (2021), arXiv:2101.04653, appendix T.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor
from typing_extensions import override

from interpolants.apps.posterior.priors import Box, Normal, Prior
from interpolants.foundations.checks import positive, whole


class Simulator(ABC):
    """A simulator with a prior and an exact posterior.

    Attributes:
        prior: Distribution of the parameters.
    """

    prior: Prior

    @abstractmethod
    def simulate(self, theta: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw one simulation ``(B, C)`` for each row of ``theta (B, D)``."""

    @abstractmethod
    def posterior_sample(self, x: Tensor, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``n`` parameters from the exact posterior at one observation ``(C,)``, ``(n, D)``."""

    def sample(self, n: int, *, generator: Generator | None = None) -> dict[str, Tensor]:
        """Draw parameters from the prior with one simulation each."""
        theta = self.prior.sample(n, generator=generator)
        return {"theta": theta, "x": self.simulate(theta, generator=generator)}


class TwoMoons(Simulator):
    """Two parameters uniform in [-1, 1]^2, whose posterior is two crescents, mirrored at ``theta1 + theta2 = 0``.

    ``x = (r cos a + 1/4, r sin a) + (-|theta1 + theta2|, theta2 - theta1) / sqrt 2``, with a uniform in
    [-pi/2, pi/2] and r normal with mean 0.1 and standard deviation 0.01.
    """

    def __init__(self) -> None:
        self.prior = Box([-1.0, -1.0], [1.0, 1.0])

    def _crescent(self, n: int, generator: Generator | None) -> Tensor:
        angle = math.pi * (torch.rand(n, generator=generator, dtype=torch.float64) - 0.5)
        radius = 0.1 + 0.01 * torch.randn(n, generator=generator, dtype=torch.float64)
        return torch.stack([radius * angle.cos() + 0.25, radius * angle.sin()], 1)

    @override
    def simulate(self, theta: Tensor, *, generator: Generator | None = None) -> Tensor:
        first, second = theta.double().unbind(1)
        shift = torch.stack([-(first + second).abs(), second - first], 1) / math.sqrt(2)
        return self._crescent(len(theta), generator) + shift

    def posterior_sample(self, x: Tensor, n: int, *, generator: Generator | None = None) -> Tensor:
        """Solve ``x - crescent = shift`` for theta, with either sign of ``theta1 + theta2``; keep the box."""
        accepted: list[Tensor] = []
        while sum(map(len, accepted)) < n:
            total, difference = (math.sqrt(2) * (x.double() - self._crescent(4 * n, generator))).unbind(1)
            total = -total
            sign = 2.0 * torch.randint(2, total.shape, generator=generator) - 1
            theta = torch.stack([sign * total - difference, sign * total + difference], 1) / 2
            accepted.append(theta[(total >= 0) & self.prior.inside(theta)])
        return torch.cat(accepted)[:n]


class GaussianLinear(Simulator):
    """``x = theta + noise``: normal prior and noise with variances 0.1, posterior ``N(x / 2, 0.05)``.

    Args:
        dim: Number of parameters.
        variance: Variance of each parameter, and of the noise on it.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    def __init__(self, dim: int = 10, variance: float = 0.1) -> None:
        self.dim = whole("GaussianLinear", "dim", dim, at_least=1)
        self.std = math.sqrt(positive("GaussianLinear", "variance", variance))
        self.prior = Normal([0.0] * self.dim, [self.std] * self.dim)

    @override
    def simulate(self, theta: Tensor, *, generator: Generator | None = None) -> Tensor:
        noise = torch.randn(theta.shape, generator=generator, dtype=torch.float64)
        return theta.double() + self.std * noise

    @override
    def posterior_sample(self, x: Tensor, n: int, *, generator: Generator | None = None) -> Tensor:
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return x.double() / 2 + self.std / math.sqrt(2) * noise
