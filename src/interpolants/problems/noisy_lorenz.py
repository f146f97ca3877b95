"""Lorenz system (1963) with a random kick from two branches at every step: chaos with a known transition density."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import number, positive, whole
from interpolants.foundations.errors import invalid
from interpolants.problems.transition import MixtureTransition, branch_weights

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0
# The longest step of the Runge-Kutta scheme: far above it states leave the attractor and grow without bound.
_LONGEST_STEP = 0.05


class NoisyLorenz(MixtureTransition):
    """``later = Phi(now) + kick_k + tau xi``: the Lorenz flow over a time ``lag``, then a kick to one of two sides.

    ``Phi`` is defined as ``substeps`` steps of the classical Runge-Kutta scheme, so the transition distribution
    is exact: a Gaussian mixture around ``Phi(now) + kick_k``. Small errors double about every 0.8 units of time.

    Args:
        lag: Time between now and later, in the system's own unit, > 0.
        kick: Length of a kick, in data units, >= 0; along ``direction`` with probability ``up``, else against it.
        up: Probability of a kick along the direction, in (0, 1).
        direction: Direction of the kicks, three numbers, not all zero.
        tau: Standard deviation of the noise around each branch, in data units.
        substeps: Runge-Kutta steps per lag, each at most 0.05 long.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Lorenz (1963); the kicks are ours.
    """

    def __init__(
        self,
        lag: float = 0.15,
        kick: float = 3.0,
        up: float = 0.6,
        *,
        direction: Sequence[float] = (1.0, 1.0, 1.0),
        tau: float = 0.8,
        substeps: int = 10,
    ) -> None:
        number("NoisyLorenz", "up", up, above=0, below=1)
        positive("NoisyLorenz", "lag", lag)
        number("NoisyLorenz", "kick", kick, at_least=0)
        whole("NoisyLorenz", "substeps", substeps, at_least=1)
        needed = math.ceil(lag / _LONGEST_STEP * (1 - 1e-9))
        if substeps < needed:
            remedy = f"Use substeps={needed} for lag={lag}."
            raise invalid(
                "NoisyLorenz", f"lag / substeps must be at most {_LONGEST_STEP}", lag / substeps, remedy
            )
        along = torch.tensor(tuple(direction), dtype=torch.float64)
        if along.shape != (3,) or not bool(torch.isfinite(along).all()) or float(along.norm()) == 0:
            raise invalid("NoisyLorenz", "direction must be three numbers, not all zero", tuple(direction))
        self.weights, self.tau, self.dim = branch_weights("NoisyLorenz", (up, 1 - up), tau), tau, 3
        self.lag, self.substeps = lag, substeps
        self.kicks = kick * torch.stack([along, -along]) / along.norm()

    def flow(self, x: Tensor) -> Tensor:
        """``Phi(x)``, the state a time ``lag`` later without a kick; ``(B, 3)``."""
        h = self.lag / self.substeps
        for _ in range(self.substeps):
            k1 = _rate(x)
            k2 = _rate(x + 0.5 * h * k1)
            k3 = _rate(x + 0.5 * h * k2)
            x = x + h / 6 * (k1 + 2 * (k2 + k3) + _rate(x + h * k3))
        return x

    def centres(self, x: Tensor) -> Tensor:
        """``Phi(x) + kick_k``: ``(B, 3)`` -> ``(B, 2, 3)``."""
        found: Tensor = self.flow(x)[:, None] + self.kicks
        return found

    def spin_up(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Points about one wing of the attractor."""
        z = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        return z.mul_(8).add_(torch.tensor([0.0, 0.0, 25.0], dtype=torch.float64))


def _rate(x: Tensor) -> Tensor:
    a, b, c = x.unbind(-1)
    return torch.stack([SIGMA * (b - a), a * (RHO - c) - b, a * b - BETA * c], -1)
