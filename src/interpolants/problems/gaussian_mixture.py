"""Gaussian mixtures: sampler, density, score and moments in closed form.

Letters: K modes, D dimensions; ``p_k, m_k, C_k`` weight, mean and covariance of a mode; ``W_k C_k W_k^T = Id``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import finite, floating, number, shaped, whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.randomness import generator as keyed

Array = Tensor | Sequence[float] | Sequence[Sequence[float]] | Sequence[Sequence[Sequence[float]]]


@dataclass(frozen=True)
class LabelledSample:
    """Samples with the mode each came from.

    Attributes:
        x: ``(n, D)`` samples.
        label: ``(n,)`` integers in ``[0, K)``.
    """

    x: Tensor
    label: Tensor


class GaussianMixture:
    """``p(x) = sum_k p_k N(x; m_k, C_k)`` on R^D.

    Everything is computed in the precision of the parameters, in log space; states of another precision are cast
    and the answer is cast back. Factors are found once, here, and shared over every batch.

    Args:
        weights: ``(K,)`` positive, with sum 1.
        means: ``(K, D)``, in data units.
        covariances: ``(K, D, D)`` positive definite, ``(K, D)`` variances, or ``(K,)`` isotropic variances, data units
            squared.

    Raises:
        InvalidInputError: If shapes disagree, a weight is not positive, the weights do not sum to 1, or a covariance
            is not symmetric and positive definite.
    """

    def __init__(self, weights: Array, means: Array, covariances: Array) -> None:
        centres = _floating(means)
        self.weights = _floating(weights).to(centres)
        self.means = centres
        self._covariances = _floating(covariances).to(centres)
        _check(self.weights, self.means, self._covariances)
        self.weights = self.weights / self.weights.sum()
        self._log_weights = self.weights.log()
        if self.is_diagonal:
            self._root = self._spread().sqrt()
            self._whitener = 1 / self._root
            log_det = self._root.log().sum(1)
        else:
            self._root = _factor(self._covariances)
            eye = torch.eye(self.dim, dtype=centres.dtype, device=centres.device)
            self._whitener = torch.linalg.solve_triangular(self._root, eye, upper=False)
            log_det = self._root.diagonal(dim1=1, dim2=2).log().sum(1)
        self._log_norm = self._log_weights - log_det - 0.5 * self.dim * math.log(2 * math.pi)

    @classmethod
    def random(
        cls,
        n_modes: int = 5,
        dim: int = 2,
        spread: float = 5.0,
        seed: int = 0,
        *,
        dtype: torch.dtype = torch.float64,
    ) -> "GaussianMixture":
        """Equal weights, means ``N(0, spread^2 Id)``, covariances ``W^T W / D + Id`` with standard normal ``W``.

        Args:
            n_modes: Number of modes K.
            dim: Dimensions D.
            spread: Standard deviation of the means, in data units.
            seed: Non-negative; equal seeds give equal mixtures.
            dtype: Precision of the parameters.

        Raises:
            InvalidInputError: If a count is not positive, or spread is negative.
        """
        whole("GaussianMixture.random", "n_modes", n_modes, at_least=1)
        whole("GaussianMixture.random", "dim", dim, at_least=1)
        number("GaussianMixture.random", "spread", spread, at_least=0)
        source = keyed(seed)
        means = spread * torch.randn(n_modes, dim, generator=source, dtype=torch.float64)
        w = torch.randn(n_modes, dim, dim, generator=source, dtype=torch.float64)
        covariances = w.mT @ w / dim + torch.eye(dim, dtype=torch.float64)
        weights = torch.full((n_modes,), 1 / n_modes, dtype=torch.float64)
        return cls(weights.to(dtype), means.to(dtype), covariances.to(dtype))

    @classmethod
    def from_gaussian(
        cls, distribution: Gaussian, dim: int, *, dtype: torch.dtype = torch.float64
    ) -> "GaussianMixture":
        """The one-mode mixture equal to a Gaussian distribution on R^dim."""
        eye = torch.eye(dim, dtype=dtype)
        mean = (eye.new_zeros(1, dim) + distribution.mean_like(eye)).reshape(1, dim)
        rows = distribution.root(eye)  # row i is L e_i: the transpose of L
        covariance = rows.mT @ rows
        isotropic = torch.equal(covariance, covariance[0, 0] * eye)
        return cls(eye.new_ones(1), mean, covariance[0, 0][None] if isotropic else covariance[None])

    def describe(self) -> dict[str, Any]:
        """The JSON-able arguments that make an equal mixture, in float64."""
        given = {"weights": self.weights, "means": self.means, "covariances": self._covariances}
        return {"kind": "gaussian_mixture", **{name: value.tolist() for name, value in given.items()}}

    @property
    def event_shape(self) -> tuple[int]:
        """``(D,)``."""
        return (self.dim,)

    @property
    def n_modes(self) -> int:
        """K."""
        return self.means.shape[0]

    @property
    def dim(self) -> int:
        """D."""
        return self.means.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters and of every computation."""
        return self.means.dtype

    @property
    def is_diagonal(self) -> bool:
        """Whether the covariances were given as variances."""
        return self._covariances.ndim < 3

    @property
    def variances(self) -> Tensor:
        """``(K, D)`` variances of each mode along the axes."""
        return self._spread() if self.is_diagonal else self._covariances.diagonal(dim1=1, dim2=2)

    @property
    def covariances(self) -> Tensor:
        """``(K, D, D)`` covariance of each mode."""
        return self._spread().diag_embed() if self.is_diagonal else self._covariances

    @property
    def mean(self) -> Tensor:
        """``(D,)`` mean of the mixture."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Tensor:
        """``(D, D)`` covariance of the mixture."""
        apart = self.means - self.mean
        between = torch.einsum("k,ki,kj->ij", self.weights, apart, apart)
        return between + torch.einsum("k,kij->ij", self.weights, self.covariances)

    def to(
        self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> "GaussianMixture":
        """The same mixture in another precision or on another device."""
        settings = (self.weights, self.means, self._covariances)
        return GaussianMixture(*(part.to(dtype=dtype or self.dtype, device=device) for part in settings))

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, D)``."""
        return self.sample_with_labels(n, generator=generator).x

    def sample_with_labels(self, n: int, *, generator: Generator | None = None) -> LabelledSample:
        """Draw ``(n, D)`` and say which mode each row came from."""
        label = self.weights.new_empty(0, dtype=torch.int64)
        if n != 0:  # which multinomial refuses
            label = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        device, dtype = self.means.device, self.dtype
        z = torch.randn(n, self.dim, generator=generator, dtype=dtype, device=device)
        if self.is_diagonal:
            return LabelledSample(self.means[label] + self._root[label] * z, label)
        x = self.means[label]
        for k in range(self.n_modes):  # one product per mode: a factor per row would not fit into memory
            rows = label == k
            x[rows] += z[rows] @ self._root[k].T
        return LabelledSample(x, label)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density in nats; ``(B, D)`` -> ``(B,)``."""
        return self._log_joint(self._whiten(self._cast(x))).logsumexp(1).to(x.dtype)

    def responsibilities(self, x: Tensor) -> Tensor:
        """Probability of each mode given the state; ``(B, D)`` -> ``(B, K)``."""
        return self._log_joint(self._whiten(self._cast(x))).softmax(1).to(x.dtype)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log density, in 1/data; ``(B, D)`` -> ``(B, D)``."""
        z = self._whiten(self._cast(x))
        weighted = self._log_joint(z).softmax(1)[..., None] * z
        if self.is_diagonal:
            return -(weighted * self._whitener).sum(1).to(x.dtype)
        return -(weighted.flatten(1) @ self._whitener.reshape(-1, self.dim)).to(x.dtype)

    def _cast(self, x: Tensor) -> Tensor:
        shaped("GaussianMixture", "x", floating("GaussianMixture", "x", x), "B", self.dim)
        return x.to(self.dtype)

    def _whiten(self, x: Tensor) -> Tensor:
        # (B, K, D): W_k (x - m_k)
        apart = x[:, None] - self.means
        if self.is_diagonal:
            return apart * self._whitener
        return (apart.transpose(0, 1) @ self._whitener.mT).transpose(0, 1)

    def _log_joint(self, z: Tensor) -> Tensor:
        return self._log_norm - 0.5 * z.square().sum(2)

    def _spread(self) -> Tensor:
        given = self._covariances
        return given if given.ndim == 2 else given[:, None].expand(-1, self.dim)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_modes={self.n_modes}, dim={self.dim}, dtype={self.dtype})"


def random_mixture(
    n_modes: int = 5, dim: int = 2, spread: float = 5.0, seed: int = 0, *, dtype: torch.dtype = torch.float64
) -> GaussianMixture:
    """The same as :meth:`GaussianMixture.random`, by name."""
    return GaussianMixture.random(n_modes, dim, spread, seed, dtype=dtype)


def paper_mixture(seed: int = 0, *, dtype: torch.dtype = torch.float64) -> GaussianMixture:
    """The 128-dimensional target of the paper: five modes, means ``N(0, 7.5^2 Id)``, covariances ``W^T W/128 + Id``.

    Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 7.2.
    """
    return GaussianMixture.random(5, 128, 7.5, seed, dtype=dtype)


def _floating(values: Array) -> Tensor:
    tensor = torch.as_tensor(values)
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())


def _check(weights: Tensor, means: Tensor, covariances: Tensor) -> None:
    who = "GaussianMixture"
    if means.ndim != 2 or 0 in means.shape:
        raise invalid(who, "means must have shape (K, D)", tuple(means.shape))
    modes, dim = means.shape
    shaped(who, "weights", weights, modes)
    if tuple(covariances.shape) not in ((modes,), (modes, dim), (modes, dim, dim)):
        rule = f"covariances must have shape ({modes}, {dim}, {dim}), ({modes}, {dim}) or ({modes},)"
        raise invalid(who, rule, tuple(covariances.shape))
    for name, value in (("weights", weights), ("means", means), ("covariances", covariances)):
        finite(who, name, value)
    if not bool((weights > 0).all()):
        remedy = "Leave out the modes that have no weight."
        raise invalid(who, "weights must be > 0", weights.tolist(), remedy)
    if abs(float(weights.sum()) - 1) > 1e-3:
        raise invalid(who, "weights must sum to 1", float(weights.sum()), "Divide them by their sum.")
    if covariances.ndim < 3 and not bool((covariances > 0).all()):
        raise invalid(who, "variances must be > 0", float(covariances.min()))


def _factor(covariances: Tensor) -> Tensor:
    for k, covariance in enumerate(covariances):
        slip = float((covariance - covariance.mT).abs().max())
        if slip > 1e-5 * float(covariance.abs().max()):
            raise invalid(
                "GaussianMixture", f"covariance {k} must be symmetric", f"an asymmetry of {slip:.3g}"
            )
    factors: Tensor
    factors, info = torch.linalg.cholesky_ex(covariances)
    if bool(info.any()):
        k = int(info.nonzero()[0])
        lowest = float(torch.linalg.eigvalsh(covariances[k])[0])
        raise invalid(
            "GaussianMixture",
            f"covariance {k} must be positive definite",
            f"smallest eigenvalue {lowest:.3g}",
        )
    return factors
