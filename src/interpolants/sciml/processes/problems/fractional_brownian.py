"""Fractional Brownian motion with a known Hurst index, drawn exactly."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import NonNegative, Positive
from interpolants.sciml.processes.kernels.fractional_gaussian import motion_covariance, sample_increments
from interpolants.sciml.processes.kernels.markov_fractional import OpenShare


@dataclass(frozen=True, eq=False)
class FractionalBrownianMotion(Checked):
    """Paths of fractional Brownian motion on a regular clock, exact in distribution, with noise if wanted.

    ``X(t_i) = scale B(t_i) + noise e_i`` at ``t_i = i step``, i = 1 .. length, with ``Var B(t) = t^(2H)``.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Mandelbrot & Van Ness (1968), SIAM Review 10, 422-437.
    """

    hurst: OpenShare = 0.3
    """H: 1/2 is Brownian motion, less is rougher, more is persistent."""
    length: Annotated[int, Ge(2)] = 256
    """Number of times."""
    step: Positive = 1.0
    """Time between two of them."""
    scale: Positive = 1.0
    """Standard deviation of the motion at time 1."""
    noise: NonNegative = 0.0
    """Standard deviation of independent noise of each value."""

    @property
    def times(self) -> Tensor:
        """Times of the values, ``(length,)``."""
        return torch.arange(1, self.length + 1, dtype=torch.float64) * self.step

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Paths ``(n, length, 1)`` float64."""
        draws = sample_increments(self.hurst, n, self.length, generator=generator)
        size: float = self.scale * self.step**self.hurst
        path = size * draws.cumsum(1)
        if self.noise:
            path = path + self.noise * torch.randn(path.shape, dtype=path.dtype, generator=generator)
        return path[..., None]

    def covariance(self) -> Tensor:
        """Covariance of a path, ``(length, length)``."""
        eye = torch.eye(self.length, dtype=torch.float64)
        return self.scale**2 * motion_covariance(self.hurst, self.times) + self.noise**2 * eye

    def log_prob(self, x: Tensor) -> Tensor:
        """Log densities of whole paths ``(n, length, 1)``, in nats, ``(n,)``."""
        if x.shape[1:] != (self.length, 1):
            raise invalid(f"paths must be (n, {self.length}, 1)", tuple(x.shape))
        law = torch.distributions.MultivariateNormal(torch.zeros(self.length).double(), self.covariance())
        found: Tensor = law.log_prob(x[..., 0].double())  # type: ignore[no-untyped-call]
        return found
