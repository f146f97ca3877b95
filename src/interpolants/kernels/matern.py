"""Matern processes of half-integer smoothness: their covariance, and the linear SDE that generates them.

Letters: ``m`` states of the SDE, ``rate = sqrt(2 m - 1)``, ``F`` its drift matrix, ``h(s) = s^(m-1) exp(-rate s) /
(m-1)!`` its response to a unit impulse. Everything is in units of the lengthscale, and has variance 1.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import OneOf

SMOOTHNESS = (0.5, 1.5, 2.5)


@dataclass(frozen=True)
class Matern(Checked):
    """Stationary Gaussian process with Matern covariance, variance 1 and lengthscale 1.

    As a Markov process it has the states ``z = (u, u', ..., u^(m-1))`` with ``m = smoothness + 1/2``, and
    ``z(x + gap) | z(x) ~ N(A(gap) z(x), Q(gap))``.

    Source: Hartikainen & Särkkä (2010), eqs. 9 to 12; the covariance of a step is written with incomplete gamma
    functions here, so that small steps lose no digits.
    """

    smoothness: Annotated[float, OneOf(lambda: SMOOTHNESS)] = 1.5
    """0.5 (continuous), 1.5 (one derivative) or 2.5 (two)."""

    @property
    def size(self) -> int:
        """Number m of states."""
        return round(self.smoothness + 0.5)

    @property
    def rate(self) -> float:
        """Decay rate of the covariance."""
        return math.sqrt(2 * self.size - 1)

    def covariance(self, lag: Tensor) -> Tensor:
        """Covariance of ``u`` at two places ``lag`` lengthscales apart; any shape, differentiable but at lag 0."""
        r = self.rate * lag.abs()
        factor = torch.ones_like(r) if self.size == 1 else 1 + r
        factor = factor + r.square() / 3 if self.size == 3 else factor
        return factor * torch.exp(-r)

    def transition(self, gap: Tensor) -> tuple[Tensor, Tensor]:
        """``A(gap)`` and ``Q(gap)``, each ``(..., m, m)``, for gaps >= 0 ``(...)``; infinite ones forget everything."""
        powers = gap[..., None] ** torch.arange(self.size, dtype=gap.dtype)
        grown = torch.einsum("...j,jab->...ab", powers, self._growth.to(gap))
        decay = torch.exp(-self.rate * gap)[..., None, None]
        a = torch.where(decay > 0, decay * grown, 0.0)
        orders = torch.arange(1, 2 * self.size, dtype=gap.dtype)
        reached = torch.special.gammainc(orders, 2 * self.rate * gap[..., None])
        return a, torch.einsum("...n,nab->...ab", reached, self._weights.to(gap))

    @cached_property
    def stationary(self) -> Tensor:
        """Covariance ``(m, m)`` of the states anywhere."""
        return self._weights.sum(0)

    @cached_property
    def _growth(self) -> Tensor:
        """``N^j / j!``, j < m, with the nilpotent ``N = F + rate I``: ``A = exp(-rate gap) sum_j N^j gap^j / j!``."""
        m, rate = self.size, self.rate
        f = torch.diag(torch.ones(m - 1, dtype=torch.float64), 1)
        f[-1] = torch.tensor([-math.comb(m, i) * rate ** (m - i) for i in range(m)], dtype=torch.float64)
        n = f + rate * torch.eye(m, dtype=torch.float64)
        return torch.stack([torch.linalg.matrix_power(n, j) / math.factorial(j) for j in range(m)])

    @cached_property
    def _weights(self) -> Tensor:
        """``Q_ab = sum_n weights[n, a, b] P(n + 1, 2 rate gap)``: moments of the squared impulse response."""
        m, rate = self.size, self.rate
        rows = _responses(m, rate)
        weights = torch.zeros(2 * m - 1, m, m, dtype=torch.float64)
        for a in range(m):
            for b in range(m):
                product = _times(rows[a], rows[b])
                for n, c in enumerate(product):
                    weights[n, a, b] = c * math.factorial(n) / (2 * rate) ** (n + 1)
        return weights / weights[:, 0, 0].sum()


def _responses(m: int, rate: float) -> list[list[float]]:
    """Coefficients of the polynomials ``h^(i)(s) exp(rate s)``, i < m, lowest power first."""
    rows = [[0.0] * (m - 1) + [1 / math.factorial(m - 1)]]
    for _ in range(m - 1):
        before = rows[-1]
        slope = [*(k * c for k, c in enumerate(before[1:], start=1)), 0.0]
        rows.append([s - rate * c for s, c in zip(slope, before, strict=True)])
    return rows


def _times(p: list[float], q: list[float]) -> list[float]:
    """Product of two polynomials."""
    found = [0.0] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            found[i + j] += a * b
    return found
