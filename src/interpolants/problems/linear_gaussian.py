"""Linear inverse problems with Gaussian noise and a Gaussian-mixture prior: the posterior is a mixture again.

Letters: ``y = A x + noise``, noise ``N(0, R)``; a prior mode ``N(m, C)``; ``S = A C A^T + R``; gain ``G = C A^T S^-1``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.operators.measurement import Operator, as_matrix
from interpolants.problems.gaussian_mixture import GaussianMixture


@dataclass(frozen=True)
class ObservedSample:
    """States ``x (n, D)`` with their observations ``y (n, M)``."""

    x: Tensor
    y: Tensor


class LinearGaussian:
    """Recover x from ``y = A x + noise``: exact posterior, evidence and likelihood.

    Args:
        operator: A, ``(M, D)``, or a linear ``Operator`` on vectors ``(D,)``; then the prior must be given.
        noise: Covariance of the noise: ``(M, M)``, ``(M,)`` variances, or a number, observation units squared.
        prior: Distribution of x; standard normal when left out.

    Raises:
        InvalidInputError: If shapes disagree or the noise is not positive definite.
    """

    def __init__(
        self,
        operator: Tensor | Sequence[Sequence[float]] | Operator,
        noise: Tensor | float,
        prior: GaussianMixture | Gaussian | None = None,
    ) -> None:
        if isinstance(operator, Operator):
            if not isinstance(prior, GaussianMixture):
                rule = "prior must be a mixture where A is an Operator"
                raise invalid("LinearGaussian", rule, type(prior).__name__, "It tells the dimension.")
            operator = as_matrix(operator, prior.event_shape)
        self.operator = torch.as_tensor(operator, dtype=torch.float64)
        if self.operator.ndim != 2:
            raise invalid("LinearGaussian", "operator must have shape (M, D)", tuple(self.operator.shape))
        size = self.operator.shape[1]
        distribution = Gaussian() if prior is None else prior
        self.prior = (
            GaussianMixture.from_gaussian(distribution, size)
            if isinstance(distribution, Gaussian)
            else distribution
        )
        self.prior = self.prior.to(dtype=torch.float64)
        if self.prior.dim != size:
            raise invalid("LinearGaussian", f"prior must have {size} dimensions, like A", self.prior.dim)
        self.noise = self._noise(torch.as_tensor(noise, dtype=torch.float64))
        self._root = torch.linalg.cholesky(self.noise)

    @property
    def event_shape(self) -> tuple[int]:
        """``(D,)``, the shape of x."""
        return self.prior.event_shape

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, D)`` from the prior."""
        return self.prior.sample(n, generator=generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of the prior in nats."""
        return self.prior.log_prob(x)

    def sample_joint(self, n: int, *, generator: Generator | None = None) -> ObservedSample:
        """Draw states from the prior, with observations."""
        x = self.sample(n, generator=generator)
        return ObservedSample(x, self.observe(x, generator=generator))

    def observe(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw an observation of each state; ``(n, D)`` -> ``(n, M)``."""
        clean = x.double() @ self.operator.mT
        z = torch.randn(clean.shape, dtype=clean.dtype, generator=generator)
        noise: Tensor = z @ self._root.mT
        return (clean + noise).to(x.dtype)

    def log_likelihood(self, y: Tensor, x: Tensor) -> Tensor:
        """``log p(y | x)`` in nats; ``y (M,)`` or ``(B, M)`` and ``x (B, D)`` -> ``(B,)``."""
        apart = y.double() - x.double() @ self.operator.mT
        zero = apart.new_zeros(1, apart.shape[1])
        distribution = GaussianMixture(apart.new_ones(1), zero, self.noise[None])
        return distribution.log_prob(apart).to(x.dtype)

    def evidence(self) -> GaussianMixture:
        """The distribution of y, a mixture on R^M; its ``log_prob`` is the log evidence."""
        return GaussianMixture(self.prior.weights, self.prior.means @ self.operator.mT, self._spread())

    def posterior(self, y: Tensor) -> GaussianMixture:
        """The distribution of x given one observation ``y (M,)``.

        Raises:
            InvalidInputError: If ``y`` is not one observation.
        """
        size = self.operator.shape[0]
        if y.shape != (size,):
            remedy = "Call it once per observation."
            raise invalid("LinearGaussian.posterior", f"y must have shape ({size},)", tuple(y.shape), remedy)
        y = y.double()
        prior, a, gain = self.prior, self.operator, self._gain()
        means = self._means(y[None], gain)[0]
        # The long form (Id - G A) C (Id - G A)^T + G R G^T stays positive definite under rounding.
        rest = torch.eye(prior.dim, dtype=y.dtype) - gain @ a
        covariances = rest @ prior.covariances @ rest.mT + gain @ self.noise @ gain.mT
        weights = self.evidence().responsibilities(y[None])[0]
        kept = weights > 0  # a mode that the observation rules out underflows to weight zero
        return GaussianMixture(weights[kept], means[kept], (covariances + covariances.mT)[kept] / 2)

    def posterior_mean(self, y: Tensor) -> Tensor:
        """``E[x | y]``, the estimate of least mean squared error; ``(B, M)`` -> ``(B, D)``."""
        weights = self.evidence().responsibilities(y.double())
        return torch.einsum("bk,bkd->bd", weights, self._means(y.double(), self._gain())).to(y.dtype)

    def _gain(self) -> Tensor:
        """G of each mode, ``(K, D, M)``."""
        gain: Tensor = torch.linalg.solve(self._spread(), self.operator @ self.prior.covariances).mT
        return gain

    def _means(self, y: Tensor, gain: Tensor) -> Tensor:
        """Mean of each mode given each observation, ``(B, K, D)``."""
        surprise = y[:, None] - self.prior.means @ self.operator.mT
        return self.prior.means + torch.einsum("kdm,bkm->bkd", gain, surprise)

    def _spread(self) -> Tensor:
        spread = self.operator @ self.prior.covariances @ self.operator.mT + self.noise
        return (spread + spread.mT) / 2

    def _noise(self, noise: Tensor) -> Tensor:
        size = self.operator.shape[0]
        if tuple(noise.shape) not in ((), (size,), (size, size)):
            rule = f"noise must be a number or have shape ({size},) or ({size}, {size})"
            raise invalid("LinearGaussian", rule, tuple(noise.shape))
        full = noise if noise.ndim == 2 else (noise * torch.ones(size, dtype=noise.dtype)).diag()
        lowest = float(torch.linalg.eigvalsh(full)[0])
        if not lowest > 0:
            raise invalid(
                "LinearGaussian", "noise must be positive definite", f"smallest eigenvalue {lowest:.3g}"
            )
        return full
