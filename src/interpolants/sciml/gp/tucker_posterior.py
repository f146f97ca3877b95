"""Structured mean field for the functional Tucker model: every update is the best one given the others.

``y_n = w^T (u^1(i_n1) kron ... kron u^K(i_nK)) + e``, ``w ~ N(0, I)``, ``e ~ N(0, 1 / tau)``, ``tau ~ Gamma(a0, b0)``;
``q = q(w) q(tau) prod_k q(U^k)``. The bound of the evidence cannot fall, so nothing is damped.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from interpolants.foundations.records import record
from interpolants.sciml.gp.latent_functions import LatentMode
from interpolants.sciml.gp.tucker_sums import Core, Entries, Sums, messages, paired, sums, unpaired


@record("tucker_posterior")
@dataclass(frozen=True, kw_only=True, eq=False)
class TuckerPosterior:
    """Where a fit is.

    Attributes:
        modes: Latent functions of each mode.
        core_mean: ``(D,)``; None for the diagonal core of ones.
        core_covariance: ``(D, D)``; None for the diagonal core.
        noise_shape: Shape of ``q(tau)``.
        noise_rate: Its rate; 0 where the noise is fixed, and ``noise_shape`` is tau.
        bound: Lower bound of the log evidence of the standardised values, in nats.
        change: By how much the last sweep raised it.
    """

    modes: list[LatentMode]
    core_mean: Tensor | None
    core_covariance: Tensor | None
    noise_shape: float
    noise_rate: float
    bound: float = -math.inf
    change: float = math.inf

    @property
    def ranks(self) -> list[int]:
        """Rank of each mode."""
        return [mode.posterior.moments[0].shape[1] for mode in self.modes]

    @property
    def noise_precision(self) -> float:
        """``E[tau]``."""
        return self.noise_shape / self.noise_rate if self.noise_rate else self.noise_shape

    @property
    def core(self) -> Core:
        """Moments of the core."""
        if self.core_mean is None or self.core_covariance is None:
            return Core()
        second = self.core_covariance + torch.outer(self.core_mean, self.core_mean)
        return Core(mean=self.core_mean.reshape(self.ranks), second=paired(second, self.ranks))


@dataclass(frozen=True)
class NoisePrior:
    """Gamma prior of the precision of the noise; ``known`` is the precision itself where it is given."""

    shape: float = 1e-3
    rate: float = 1e-3
    known: float | None = None

    def updated(self, n: int, squared_error: float) -> tuple[float, float]:
        """Shape and rate of the best ``q(tau)``."""
        if self.known is not None:
            return self.known, 0.0
        return self.shape + n / 2, self.rate + squared_error / 2

    def bound(self, n: int, squared_error: float, shape: float, rate: float) -> float:
        """``E[log p(y | ...)] - KL(q(tau) || p(tau))``."""
        if self.known is not None:
            log_tau, tau, divergence = math.log(self.known), self.known, 0.0
        else:
            log_tau, tau = _digamma(shape) - math.log(rate), shape / rate
            divergence = (shape - self.shape) * _digamma(shape) - math.lgamma(shape) + math.lgamma(self.shape)
            divergence += self.shape * math.log(rate / self.rate) + shape * (self.rate - rate) / rate
        return 0.5 * n * (log_tau - math.log(2 * math.pi)) - 0.5 * tau * squared_error - divergence


def _digamma(x: float) -> float:
    return float(torch.digamma(torch.tensor(x, dtype=torch.float64)))


def update_mode(q: TuckerPosterior, entries: Entries, k: int) -> TuckerPosterior:
    """The best latent functions of mode k."""
    told = messages(entries, [mode.moments for mode in q.modes], q.core, k, q.noise_precision)
    modes = [mode.updated(*told) if i == k else mode for i, mode in enumerate(q.modes)]
    return replace(q, modes=modes)


def sums_of(q: TuckerPosterior, entries: Entries) -> Sums:
    """Sums over the entries, for core, noise and bound."""
    return sums(entries, [mode.moments for mode in q.modes], diagonal=q.core_mean is None)


def update_core(q: TuckerPosterior, found: Sums) -> TuckerPosterior:
    """The best core."""
    if q.core_mean is None:
        return q
    tau = q.noise_precision
    precision = tau * unpaired(found.gram, q.ranks) + torch.eye(len(q.core_mean), dtype=torch.float64)
    factor = torch.linalg.cholesky(0.5 * (precision + precision.T))
    covariance = torch.cholesky_inverse(factor)
    return replace(q, core_mean=tau * (covariance @ found.cross), core_covariance=covariance)


def update_noise(q: TuckerPosterior, found: Sums, entries: Entries, prior: NoisePrior) -> TuckerPosterior:
    """The best noise."""
    shape, rate = prior.updated(len(entries.values), found.squared_error(q.core))
    return replace(q, noise_shape=shape, noise_rate=rate)


def bound(q: TuckerPosterior, found: Sums, entries: Entries, prior: NoisePrior) -> float:
    """Lower bound of the log evidence, in nats."""
    error = found.squared_error(q.core)
    fit = prior.bound(len(entries.values), error, q.noise_shape, q.noise_rate)
    return fit - sum(mode.divergence for mode in q.modes) - _core_divergence(q)


def _core_divergence(q: TuckerPosterior) -> float:
    if q.core_mean is None or q.core_covariance is None:
        return 0.0
    spread = q.core_covariance.trace() - torch.linalg.slogdet(q.core_covariance)[1]
    return float(0.5 * (spread + q.core_mean.square().sum() - len(q.core_mean)))


def sweep(q: TuckerPosterior, entries: Entries, prior: NoisePrior) -> TuckerPosterior:
    """Update all modes, the core and the noise once."""
    for k in range(len(q.modes)):
        q = update_mode(q, entries, k)
    found = sums_of(q, entries)
    q = update_noise(update_core(q, found), found, entries, prior)
    reached = bound(q, found, entries, prior)
    return replace(q, bound=reached, change=reached - q.bound)
