"""A chain of processes each of which follows the one before it, with the law of a link in closed form.

Letters: ``X^j`` link j of the chain, a path; all links have one law. ``P_s(j) = exp(-s) s^j / j!``.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import whole
from interpolants.foundations.kinds import Positive
from interpolants.sciml.processes.state_noise import integrate_state_noise

# Links after which a chain that began at 0 has forgotten it, and terms of the closed forms, at least; their nodes.
_FORGOTTEN, _TERMS, _NODES = 40, 80, 60
# The longest step of Euler's scheme; variances come out 6 % too large with it at T = 2, and boundless far above it.
_LONGEST_STEP = 0.1


@dataclass(frozen=True, eq=False)
class LinearDirectedChain(Checked):
    """``dX^(j+1) = (X^j - X^(j+1)) dt + dB^(j+1)`` from 0: every link is pulled to the one before, with a noise of
    its own.

    In the stationary chain ``Var X_t = int_0^t exp(-2 s) I_0(2 s) ds``, and links k apart have the covariance
    ``int_0^t exp(-2 s) I_k(2 s) ds`` at one time. Walking along the chain so keeps the law and forgets the start.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Detering, Fouque & Ichiba (2020), arXiv:1805.01962; as a generator Min, Hu & Ichiba (2023),
        arXiv:2304.13131.
    """

    horizon: Positive = 2.0
    """T."""
    length: Annotated[int, Ge(2)] = 101
    """Times of a path from 0 to T, at most 0.1 apart."""

    def check_settings(self) -> None:
        """Refuse times that are too far apart for the scheme."""
        needed = self.horizon / _LONGEST_STEP * (1 - 1e-9)  # 21 times of a horizon of 2 are enough
        if needed > self.length - 1:
            apart = f"so that times are at most {_LONGEST_STEP} apart"
            raise invalid(f"length must be at least {needed + 1:.4g}, {apart}", self.length)

    @property
    def times(self) -> Tensor:
        """Times of a path, ``(length,)``."""
        return torch.linspace(0, self.horizon, self.length, dtype=torch.float64)

    def covariance(self, links: int, t: float) -> float:
        """Covariance of two links ``links`` apart at time t; their variance for 0.

        With ``exp(-2 s) I_k(2 s) = sum_j P_s(j) P_s(j + k)``, by Gauss-Legendre quadrature.
        """
        whole(who(), "links", links, at_least=0)
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        s = torch.from_numpy(t / 2 * (nodes + 1))
        terms = max(_TERMS, _reach(t))
        j = torch.arange(terms + links, dtype=torch.float64)
        logs = j * s[:, None].log() - s[:, None] - torch.lgamma(j + 1)
        chances = logs.exp()
        both = (chances[:, :terms] * chances[:, links : links + terms]).sum(1)
        return float(t / 2 * (torch.from_numpy(weights) * both).sum())

    def correlation(self, links: int, t: float) -> float:
        """Correlation of two links ``links`` apart at time t."""
        return self.covariance(links, t) / self.covariance(0, t)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Paths ``(n, length, 1)`` of one link each, independent of each other; by Euler's scheme on the times."""
        start = torch.zeros(n, self.length, 1, dtype=torch.float64)
        return self.walk(start, max(_FORGOTTEN, _reach(self.horizon)), generator=generator)

    def walk(self, paths: Tensor, links: int, *, generator: Generator | None = None) -> Tensor:
        """Paths ``links`` further along the chain of each, ``(n, length, 1)``.

        Args:
            paths: Links to begin with, ``(n, length, 1)``.
            links: How far to walk, >= 1.
            generator: Source of the noise.
        """
        whole(who(), "links", links, at_least=1)
        if paths.shape[1:] != (self.length, 1):
            raise invalid(f"paths must be (n, {self.length}, 1)", tuple(paths.shape))
        for _ in range(links):
            paths = self._next(paths, generator)
        return paths

    def _next(self, before: Tensor, generator: Generator | None) -> Tensor:
        step = self.horizon / (self.length - 1)

        def drift(x: Tensor, t: Tensor) -> Tensor:
            return before[:, round(float(t) / step)] - x

        def noise() -> Tensor:
            return math.sqrt(step) * torch.randn(len(before), 1, dtype=before.dtype, generator=generator)

        done = integrate_state_noise(
            drift,
            lambda x, t: torch.ones_like(x)[..., None],
            torch.zeros_like(before[:, 0]),
            self.times,
            ((noise(), None) for _ in range(self.length - 1)),
            return_path=True,
        )
        assert done.path is not None
        return done.path.transpose(0, 1).contiguous()


def _reach(t: float) -> int:
    """Links back beyond which nothing is felt at time t: ``P_s(j)`` is below 1e-9 there for all s up to t."""
    return math.ceil(t + 8 * math.sqrt(t))
