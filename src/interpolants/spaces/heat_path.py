"""Heat path: data that diffuse to the base of their space, and the ODE and SDE that lead back.

Notation: tau the time of the diffusion, ``sigma = sqrt(2 tau)`` its standard deviation per coordinate, p_sigma the
density of the diffused data, ``u = grad log(p_sigma / base)``, and ``eta = -sigma u`` the expected noise, which a
network learns. t falls from the base to the data as elsewhere: ``sigma(t) = sigma(0) (1 - t)^3``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from interpolants.spaces.flow import FlowResult, SpaceField, flow
from interpolants.spaces.space import Space

# Spectral gap times the longest time of the diffusion: the difference from the base is then exp(-12.5) = 4e-6.
_MIXED = 12.5
_POWER = 3
# Least standard deviation at which rows are noised: distances on a sphere are rounded to 1e-16.
_LEAST = 1e-4


@dataclass(frozen=True)
class HeatPath:
    """Distributions of ``X_tau``: Brownian motion from the data on compact spaces, Ornstein-Uhlenbeck on ``Reals``.

    The velocity in sigma is ``dx/dsigma = eta``. It determines the score too, ``grad log p = u + grad log base``, so
    that one function gives an ODE, log densities and an SDE.

    Args:
        space: The space.

    Source: De Bortoli et al. (2022), arXiv:2202.02763. Differences: the ODE and the noise level are chosen after
    training, and the conditional score is exact.
    """

    space: Space

    @property
    def sigma_max(self) -> float:
        """Standard deviation at t = 0, where the distribution is the base within 4e-6."""
        return math.sqrt(2 * _MIXED / self.space.spectral_gap)

    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation at time t."""
        return self.sigma_max * (1 - t) ** _POWER

    def time(self, sigma: Tensor) -> Tensor:
        """Time t of a standard deviation."""
        return 1 - (sigma / self.sigma_max) ** (1 / _POWER)

    def sample(self, x1: Tensor, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Diffused points and their noise, the regression target, ``(B, S)`` each.

        Args:
            x1: Points at t = 1, ``(B, S)``, float64.
            z: Standard normal rows ``(B, S)``.
            t: Times ``(B,)``.
        """
        sigma = self.sigma(t.to(x1)).clamp_min(_LEAST)
        x = self.space.diffuse(x1, z, sigma.square() / 2)
        _, gradient = self.space.diffused(x, x1, sigma.square() / 2)
        return x, -sigma[:, None] * gradient

    def empirical_noise(self, data: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Field eta of the rows of ``data`` with equal weights, ``(B, S)``.

        Args:
            data: Points ``(N, S)``.
            x: Points ``(B, S)``.
            sigma: Positive standard deviations ``(B,)``.
        """
        ratio, gradient = self.space.diffused(x[:, None, :], data[None], sigma.square()[:, None] / 2)
        return -sigma[:, None] * (torch.softmax(ratio, 1)[..., None] * gradient).sum(1)

    def empirical_log_prob(self, data: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Log density of the diffused rows of ``data`` with equal weights, ``(B,)``."""
        ratio, _ = self.space.diffused(x[:, None, :], data[None], sigma.square()[:, None] / 2)
        return torch.logsumexp(ratio, 1) - math.log(len(data)) + self.space.base_log_prob(x)


def heat_flow(
    path: HeatPath,
    noise: SpaceField,
    x: Tensor,
    times: Tensor,
    *,
    eps: float = 0.0,
    normal: Callable[[], Tensor] | None = None,
    density: bool = False,
) -> FlowResult:
    """Integrate points along a heat path, by the ODE or by the SDE of a noise level.

    In tau, which falls by dtau in a step, the SDE is ``dX = ((1 + eps) u + eps grad log base) dtau + sqrt(2 eps) dB``:
    ``eps = 0`` is the ODE, and ``eps = 1`` the time reversal of the diffusion. A step first diffuses for the time
    ``eps dtau``, which is exact, and then follows the ODE back for ``(1 + eps) dtau``. With the exact field the
    distribution at the end of a step is thus right up to the error of the ODE, at any length of the step.

    Args:
        path: The path.
        noise: The field ``eta(x, sigma)``.
        x: Points ``(B, S)`` at the first time.
        times: Monotonic times t ``(K + 1,)`` in [0, 1]; falling ones run back.
        eps: Noise level, dimensionless; 0 for falling times.
        normal: Source of standard normal rows ``(B, S)``, for ``eps > 0``.
        density: Also integrate the log density along the ODE.

    Raises:
        DivergedError: If a point is not finite.
    """
    grid = path.sigma(times)
    if eps == 0:
        return flow(path.space, noise, x, grid, density=density)
    assert normal is not None
    assert not density
    for start, stop in pairwise(grid):
        variance = start.square() + eps * (start.square() - stop.square())
        top = variance.sqrt().clamp_max(path.sigma_max)  # above, the distribution is the base already
        added = (top.square() - start.square()).clamp_min(0) / 2
        x = path.space.diffuse(x, normal(), added.to(x).expand(len(x)))
        x = flow(path.space, noise, x, torch.stack([top, stop])).x
    return FlowResult(x)
