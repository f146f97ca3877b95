"""Distributions on thin sets, with optional noise: a closed curve in space, and a Gaussian in a subspace.

Letters: D dimensions of the data, d of the set; ``W`` the ``(D, d)`` loading; ``s`` the noise.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import finite, number
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import NonNegative


@dataclass(frozen=True)
class ClosedCurve(Checked):
    """``(cos a, sin a, cos(2a)/2) + noise N(0, Id)`` with a uniform angle: one dimension in three."""

    noise: NonNegative = 0.0
    """Standard deviation, in data units. At 0 the distribution has no density."""

    @property
    def event_shape(self) -> tuple[int]:
        """``(3,)``."""
        return (3,)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, 3)``, float64."""
        a = 2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
        x = torch.stack([a.cos(), a.sin(), 0.5 * (2 * a).cos()], 1)
        if self.noise == 0:
            return x
        return x + self.noise * torch.randn(n, 3, generator=generator, dtype=torch.float64)


class SubspaceGaussian:
    """``x = mean + W z + s e`` with standard normal z (d entries) and e (D entries): probabilistic PCA's model.

    Args:
        loading: ``W``, ``(D, d)``, d <= D.
        noise: s, >= 0; at 0 the distribution lies in a subspace and has no density.
        mean: ``(D,)``; zero when left out.

    Raises:
        InvalidInputError: If shapes disagree, d > D, or ``noise`` is negative.

    Source: Tipping & Bishop, J. R. Statist. Soc. B 61 (1999).
    """

    def __init__(self, loading: Tensor, noise: float = 0.0, mean: Tensor | None = None) -> None:
        who = "SubspaceGaussian"
        if loading.ndim != 2 or not 1 <= loading.shape[1] <= loading.shape[0]:
            raise invalid(who, "loading must be (D, d) with d <= D", tuple(loading.shape))
        number(who, "noise", noise, at_least=0)
        self.loading, self.noise = loading, float(noise)
        self.mean = loading.new_zeros(loading.shape[0]) if mean is None else mean
        if self.mean.shape != loading.shape[:1]:
            raise invalid(who, f"mean must have shape ({loading.shape[0]},)", tuple(self.mean.shape))

    @property
    def event_shape(self) -> tuple[int]:
        """``(D,)``."""
        return (self.loading.shape[0],)

    @property
    def covariance(self) -> Tensor:
        """``W W^T + s^2 Id``."""
        eye = torch.eye(self.loading.shape[0], dtype=self.loading.dtype, device=self.loading.device)
        return self.loading @ self.loading.T + self.noise**2 * eye

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, D)``."""
        size, latent = self.loading.shape
        x = self.mean + torch.randn(n, latent, generator=generator, dtype=self.loading.dtype) @ self.loading.T
        if self.noise == 0:
            return x
        return x + self.noise * torch.randn(n, size, generator=generator, dtype=self.loading.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density in nats; ``(B, D)`` -> ``(B,)``.

        Raises:
            DivergedError: If there is no noise: the density is infinite in the subspace and zero beside it.
        """
        if self.noise == 0:
            raise DivergedError(
                "SubspaceGaussian: without noise the distribution has no density. Set noise > 0."
            )
        return Gaussian(mean=self.mean, covariance=self.covariance).log_prob(x)


def ppca(x: Tensor, latent: int) -> SubspaceGaussian:
    """The maximum of the likelihood of probabilistic PCA, in closed form.

    ``s^2`` is the mean of the D - d smallest eigenvalues of the covariance, ``W = U (Lambda - s^2)^(1/2)`` of the
    others. Data exactly in a subspace give s = 0 and an infinite likelihood; with noise on the data s is that noise.

    Args:
        x: ``(n, D)``, floating point.
        latent: d, 1 <= d < D.

    Raises:
        InvalidInputError: If ``x`` is not finite, there are fewer rows than needed, or d is not below D.

    Source: Tipping & Bishop, J. R. Statist. Soc. B 61 (1999).
    """
    if x.ndim != 2 or not x.is_floating_point() or len(x) < 2:
        raise invalid("ppca", "x must be a floating-point matrix (n, D) of at least two rows", tuple(x.shape))
    finite("ppca", "x", x, remedy="Drop such rows first.")
    if not 1 <= latent < x.shape[1]:
        raise invalid(
            "ppca", f"latent must lie in [1, {x.shape[1] - 1}]", latent, "It must be below the dimension."
        )
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    variance = values[:-latent].mean().clamp_min(0)
    loading = vectors[:, -latent:] * (values[-latent:] - variance).clamp_min(0).sqrt()
    return SubspaceGaussian(loading, float(variance.sqrt()), mean)
