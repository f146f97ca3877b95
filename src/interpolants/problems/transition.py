"""Transition distributions ``later | now``, Gaussian mixtures around known centres: exact forecasting problems.

Letters: B states now, K branches, M members, D coordinates; ``p_k`` weight and ``m_k(x0)`` centre of a branch, ``tau``
the standard deviation of the noise around it. Given x0, the interpolant ``x_t = alpha x0 + beta x1 + gamma z`` is a
mixture with centres ``alpha x0 + beta m_k`` and variance ``v = beta^2 tau^2 + gamma^2``; with posterior weights ``w_k``

    ``E[x1 | x_t, x0] = sum_k w_k (m_k + beta tau^2 / v (x_t - alpha x0 - beta m_k))``,

from which every field of the point-source process follows.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

from interpolants.fields.point_source_fields import PointSourceFields
from interpolants.foundations.checks import positive, shaped
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.metrics.crps import mixture_crps
from interpolants.metrics.estimate import Estimate
from interpolants.paths.path import SpatiallyLinearPath


class MixtureTransition(ABC):
    """``later = m_k(now) + tau xi`` with branch k of probability ``p_k`` and ``xi ~ N(0, Id)``; abstract.

    A member supplies :meth:`centres` and :meth:`spin_up`; density, sampler and point-source fields follow.
    """

    weights: Tensor
    tau: float
    dim: int

    @abstractmethod
    def centres(self, x: Tensor) -> Tensor:
        """Centres of the branches: ``x (B, D)`` -> ``(B, K, D)``."""

    @abstractmethod
    def spin_up(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """``(n, D)`` states, float64, from which the process forgets how it was started."""

    @property
    def event_shape(self) -> tuple[int]:
        """``(D,)``."""
        return (self.dim,)

    def step(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw one later state for each ``x (B, D)``."""
        return self.members(x, 1, generator=generator)[:, 0]

    def members(self, x: Tensor, count: int, *, generator: Generator | None = None) -> Tensor:
        """The oracle's ensemble: ``count`` independent later states of each ``x (B, D)``, ``(B, count, D)``."""
        centres = self._centres(x)
        pick = torch.multinomial(self.weights, len(x) * count, replacement=True, generator=generator)
        rows = torch.arange(len(x)).repeat_interleave(count)
        z = torch.randn(len(rows), self.dim, generator=generator, dtype=torch.float64)
        return (centres[rows, pick] + self.tau * z).reshape(len(x), count, self.dim).to(x.dtype)

    def rollout(self, x: Tensor, steps: int, *, generator: Generator | None = None) -> Tensor:
        """One trajectory from each ``x (B, D)``: ``(steps + 1, B, D)``."""
        states = [x]
        for _ in range(steps):
            states.append(self.step(states[-1], generator=generator))
        return torch.stack(states)

    def pairs(self, n: int, *, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """``n`` independent pairs (now, later) in the stationary regime, each ``(n, D)`` float64."""
        now = self.sample(n, generator=generator)
        return now, self.step(now, generator=generator)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """``(n, D)`` states of the stationary regime: a hundred steps after the start."""
        x = self.spin_up(n, generator=generator)
        for _ in range(100):
            x = self.step(x, generator=generator)
        return x

    def log_transition(self, y: Tensor, x: Tensor) -> Tensor:
        """Log density in nats of moving from ``x`` to ``y``; ``(B, D)`` -> ``(B,)``."""
        apart = (y.to(torch.float64)[:, None] - self._centres(x)).square().sum(2)
        log_norm = self.dim * (math.log(self.tau) + 0.5 * math.log(2 * math.pi))
        joint = self.weights.log() - 0.5 * apart / self.tau**2
        return (joint.logsumexp(1) - log_norm).to(y.dtype)

    def mean(self, x: Tensor) -> Tensor:
        """The mean forecast, ``(B, D)``."""
        return torch.einsum("k,bkd->bd", self.weights, self._centres(x)).to(x.dtype)

    def covariance(self, x: Tensor) -> Tensor:
        """The covariance of the forecast, ``(B, D, D)`` float64."""
        centres = self._centres(x)
        apart = centres - torch.einsum("k,bkd->bd", self.weights, centres)[:, None]
        between = torch.einsum("k,bki,bkj->bij", self.weights, apart, apart)
        return between + self.tau**2 * torch.eye(self.dim, dtype=torch.float64)

    def crps(self, y: Tensor, x: Tensor) -> Tensor:
        """CRPS of the exact distribution given ``x`` at the outcome ``y``, averaged over coordinates; ``(B,)``."""
        centres = self._centres(x).transpose(1, 2)
        return mixture_crps(y.to(torch.float64), self.weights, centres, self.tau).mean(1)

    def excess(self, members: Tensor, x: Tensor) -> Estimate:
        """Relative excess of the ensembles' expected CRPS over that of the exact distribution.

        ``E CRPS(members) / E CRPS(truth) - 1``; the expectation over what comes is exact, so no case is lost to the
        noise of a single outcome. Zero for members of the true distribution, up to the error given.

        Args:
            members: Ensembles, ``(B, M, D)``, M >= 2.
            x: Where they started, ``(B, D)``.
        """
        drawn, centres = members.to(torch.float64), self._centres(x).transpose(1, 2)
        count = drawn.shape[1]
        # E|Y - member| - E|Y - Y'|/2, and the fair spread of the members from their order
        near = mixture_crps(drawn, self.weights, centres[:, None], self.tau).mean((1, 2))
        rank = 2 * torch.arange(1, count + 1, dtype=torch.float64) - count - 1
        spread = torch.einsum("m,bmd->b", rank, drawn.sort(1).values) / (count * (count - 1) * self.dim)
        truth = self._half_spread(centres)
        base, gap = float(truth.mean()), near - spread
        ratio = float(gap.mean()) / base
        error = float((gap - ratio * truth).std()) / math.sqrt(len(x)) / base
        return Estimate(ratio, error, len(x), "CRPS excess")

    def _half_spread(self, centres: Tensor) -> Tensor:
        """``E|Y - Y'| / 2``, the truth's own mean score: what is left of its score at a far point."""
        far = centres.amax(-1) + 1e3 * self.tau
        distance = far - torch.einsum("k,bdk->bd", self.weights, centres)
        return (distance - mixture_crps(far, self.weights, centres, self.tau)).mean(1)

    def fields(self, path: SpatiallyLinearPath) -> PointSourceFields:
        """The exact fields of the process that starts from a point, on a path with latent noise."""

        def denoised(x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
            x0: Tensor = cond["x0"]
            alpha, beta, gamma = (
                expand_like(c(t.double()), x) for c in (path.alpha, path.beta, path.envelope.gamma)
            )
            state, centres = x.double(), self._centres(x0)
            apart = (state - alpha * x0.double())[:, None] - beta[..., None] * centres
            # at t = 0 nothing has happened: the state is x0, and the mean of x1 the plain one
            variance = ((beta * self.tau).square() + gamma.square()).clamp_min(1e-300)
            weight = (self.weights.log() - 0.5 * apart.square().sum(2) / variance).softmax(1)[..., None]
            gain = (beta * self.tau**2 / variance)[..., None]
            mean: Tensor = (weight * (centres + gain * apart)).sum(1)
            return mean.to(x.dtype)

        return PointSourceFields(path, denoised=denoised)

    def _centres(self, x: Tensor) -> Tensor:
        shaped(type(self).__name__, "x", x, "B", self.dim)
        return self.centres(x.to(torch.float64))


def branch_weights(who: str, weights: "Tensor | list[float] | tuple[float, ...]", tau: float) -> Tensor:
    """The weights of the branches as float64, checked together with the noise around them."""
    p = torch.as_tensor(weights, dtype=torch.float64)
    if p.ndim != 1 or not bool((torch.isfinite(p) & (p > 0)).all()) or abs(float(p.sum()) - 1) > 1e-6:
        raise invalid(who, "weights must be positive numbers with sum 1", p.tolist())
    positive(who, "the noise", tau)
    return p / p.sum()
