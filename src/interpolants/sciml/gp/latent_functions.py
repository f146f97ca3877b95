"""Posterior of the latent functions of one mode: Markov chains over a real coordinate, or independent levels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.records import record
from interpolants.kernels.matern import Matern
from interpolants.sciml.gp.kernels.markov_chain import ChainPosterior, infer_chain, log_normalisers

# Lengthscales stay between these shares of the range of the coordinates, and a search ends at the least factor.
SHORTEST, LONGEST, LEAST_FACTOR = 1e-3, 1e2, 1.01


@record("level_posterior")
@dataclass(frozen=True, kw_only=True, eq=False)
class LevelPosterior:
    """Posterior of R numbers for each of S levels, ``N(0, I)`` a priori.

    Attributes:
        places: The levels, sorted, ``(S,)``.
        mean: ``(S, R)``.
        covariance: ``(S, R, R)``.
        log_normaliser: As in :class:`interpolants.sciml.gp.kernels.markov_chain.ChainPosterior`.
    """

    places: Tensor
    mean: Tensor
    covariance: Tensor
    log_normaliser: float

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance of each level."""
        return self.mean, self.covariance

    def at(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Moments at levels ``(B,)``; those of the prior at a level without data."""
        row = torch.searchsorted(self.places, x.contiguous()).clamp_max(len(self.places) - 1)
        known = self.places[row] == x
        eye = torch.eye(self.mean.shape[1], dtype=self.mean.dtype)
        mean = torch.where(known[:, None], self.mean[row], 0.0)
        return mean, torch.where(known[:, None, None], self.covariance[row], eye)

    def between(self, x: Tensor) -> Tensor:
        """Covariance at each two of the levels ``(B,)``, ``(B, B, R, R)``: levels are independent of each other."""
        same = (x[:, None] == x)[:, :, None, None]
        return torch.where(same, self.at(x)[1][:, None], 0.0)


Latent = ChainPosterior | LevelPosterior


@record("latent_mode")
@dataclass(frozen=True, kw_only=True, eq=False)
class LatentMode:
    """Latent functions of one mode in the course of a fit.

    Attributes:
        posterior: Moments at the places of the data.
        divergence: KL divergence of the posterior from the prior, in nats.
        factor: By what the lengthscale is varied next; 1 where it is fixed.
    """

    posterior: Latent
    divergence: float
    factor: float = 1.0

    @property
    def moments(self) -> tuple[Tensor, Tensor]:
        """Means ``(S, R)`` and second moments ``E[u u^T]``, ``(S, R, R)``."""
        mean, covariance = self.posterior.moments
        return mean, covariance + mean[:, :, None] * mean[:, None, :]

    def updated(self, precision: Tensor, shift: Tensor) -> "LatentMode":
        """The best posterior given messages ``exp(-u^T Lambda u / 2 + eta^T u)`` about each place.

        For a chain whose lengthscale is not fixed, lengthscale and posterior are improved together: with the messages
        held fixed, the bound of the evidence is the log normaliser and a constant.
        """
        mode, factor = self.posterior, self.factor
        if isinstance(mode, LevelPosterior):
            found: Latent = _levels(mode.places, precision, shift)
        else:
            scale, factor = _searched(mode, factor, precision, shift)
            found = infer_chain(Matern(mode.smoothness), scale, mode.places, precision, shift)
        return LatentMode(posterior=found, divergence=_divergence(found, precision, shift), factor=factor)


def _levels(places: Tensor, precision: Tensor, shift: Tensor) -> LevelPosterior:
    eye = torch.eye(precision.shape[1], dtype=precision.dtype)
    covariance = torch.linalg.inv(precision + eye)
    covariance = 0.5 * (covariance + covariance.mT)
    mean = (covariance @ shift[..., None])[..., 0]
    log = 0.5 * (shift * mean).sum() - 0.5 * torch.linalg.slogdet(precision + eye)[1].sum()
    return LevelPosterior(places=places, mean=mean, covariance=covariance, log_normaliser=float(log))


def _searched(mode: ChainPosterior, factor: float, precision: Tensor, shift: Tensor) -> tuple[float, float]:
    """The best of three lengthscales, and the factor for the next search: smaller where the middle one won."""
    if factor < LEAST_FACTOR:
        return mode.lengthscale, factor
    span = max(float(mode.places[-1] - mode.places[0]), torch.finfo(torch.float64).tiny)
    tried = mode.lengthscale * torch.tensor([1.0, 1 / factor, factor], dtype=torch.float64)
    tried[1:] = tried[1:].clamp(SHORTEST * span, LONGEST * span)
    found = log_normalisers(Matern(mode.smoothness), tried, mode.places, precision, shift)
    best = int(found.argmax())
    return float(tried[best]), factor if best else factor**0.5


def _divergence(found: Latent, precision: Tensor, shift: Tensor) -> float:
    """``KL(q || p)`` of ``q = p exp(messages) / normaliser``."""
    mean, covariance = found.moments
    second = covariance + mean[:, :, None] * mean[:, None, :]
    told = (shift * mean).sum() - 0.5 * (precision * second).sum()
    return float(told) - found.log_normaliser


def start_mode(
    places: Tensor, mean: Tensor, kernel: Matern | None, lengthscale: float, *, fixed: bool
) -> LatentMode:
    """A mode before its first update.

    Args:
        places: Coordinates or levels, sorted and different, ``(S,)``.
        mean: First values of its functions, ``(S, R)``; their spread is zero.
        kernel: Kernel over the coordinate; None for levels.
        lengthscale: First lengthscale.
        fixed: Whether the lengthscale stays.
    """
    s, r = mean.shape
    if kernel is None:
        nothing = mean.new_zeros(s, r, r)
        first: Latent = LevelPosterior(places=places, mean=mean, covariance=nothing, log_normaliser=0.0)
    else:
        n = kernel.size * r
        states = torch.cat([mean, mean.new_zeros(s, n - r)], 1)
        nothing = mean.new_zeros(s, n, n)
        first = ChainPosterior(
            smoothness=kernel.smoothness,
            lengthscale=lengthscale,
            places=places,
            filtered_mean=states,
            filtered_covariance=nothing,
            mean=states,
            covariance=nothing,
            log_normaliser=0.0,
        )
    return LatentMode(posterior=first, divergence=0.0, factor=1.0 if fixed or kernel is None else 2.0)
