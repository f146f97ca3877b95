"""The Schroedinger bridge between two Gaussians in closed form.

Reference: Brownian motion ``sqrt(2 eps) W`` on [0, 1], so the static problem is entropic transport with cost
``|x0 - x1|^2 / 2`` and strength ``2 eps``. Letters: ``S0, S1`` covariances of the ends, ``C = Cov(x0, x1)``.

The optimal coupling has density ``f(x0) g(x1) exp(x0 . x1 / 2 eps)``: the off-diagonal block of its precision is
``-Id / 2 eps``. With ``M = S0^-1 C`` that reads ``M S0 M + 2 eps M = S1``, whose positive solution is

    ``C = S0^(1/2) N S0^(-1/2)``,  ``N = (S0^(1/2) S1 S0^(1/2) + eps^2 Id)^(1/2) - eps Id``.

Given the ends, ``x_t`` is a Brownian bridge: ``(1-t) x0 + t x1 + sqrt(2 eps t (1-t)) z``, hence

    ``Sigma = (1-t)^2 S0 + t^2 S1 + t (1-t) (C + C^T + 2 eps Id)``.

Every drift is ``m1 - m0 + (numerator) Sigma^-1 (x - mean)``, with the factor 1/(1-t) or 1/t cancelled by hand, so it is
exact at both ends.

Source: Bunne, Hsieh, Cuturi & Krause (2023), arXiv:2202.05722; derived anew.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.fields.protocol import QUANTITIES, Fields, as_time
from interpolants.foundations.checks import number, one_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.paths.envelopes import BrownianEnvelope, ZeroEnvelope
from interpolants.paths.linear import Linear
from interpolants.problems.gaussian_mixture import GaussianMixture

Parameter = Tensor | Sequence[float] | Sequence[Sequence[float]] | float


@dataclass(frozen=True)
class PairedSample:
    """Coupled end points, each ``(n, D)``."""

    x0: Tensor
    x1: Tensor


class GaussianSchrodingerBridge:
    """The bridge from ``N(mean0, cov0)`` to ``N(mean1, cov1)`` closest to Brownian motion ``sqrt(2 eps) W``.

    Args:
        mean0, mean1: ``(D,)``, in data units.
        cov0, cov1: ``(D, D)`` covariances, ``(D,)`` variances, or a number for an isotropic one, data units squared.
        eps: Diffusivity, data units squared, >= 0; 0 is optimal transport.

    Raises:
        InvalidInputError: If shapes disagree, a covariance is not positive definite, or eps is negative.
    """

    def __init__(
        self,
        mean0: Parameter,
        cov0: Parameter,
        mean1: Parameter,
        cov1: Parameter,
        eps: float,
    ) -> None:
        number("GaussianSchrodingerBridge", "eps", eps, at_least=0)
        self.rho0, self.rho1 = _distribution("0", mean0, cov0), _distribution("1", mean1, cov1)
        if self.rho0.dim != self.rho1.dim:
            raise invalid(
                "GaussianSchrodingerBridge",
                f"mean1 must have {self.rho0.dim} entries like mean0",
                self.rho1.dim,
            )
        self.eps = float(eps)
        # Variances along the axes stay vectors: everything is then elementwise.
        self._flat = self.rho0.is_diagonal and self.rho1.is_diagonal
        self._s0, self._s1 = (
            distribution.variances[0] if self._flat else distribution.covariances[0]
            for distribution in (self.rho0, self.rho1)
        )
        self._c = self._coupling()

    @property
    def event_shape(self) -> tuple[int]:
        """``(D,)``."""
        return self.rho0.event_shape

    @property
    def path(self) -> Linear:
        """The interpolant with the bridge's distribution, when its ends are coupled by :meth:`sample_coupling`."""
        return Linear(envelope=BrownianEnvelope(scale=2 * self.eps) if self.eps > 0 else ZeroEnvelope())

    @property
    def coupling_covariance(self) -> Tensor:
        """``(D, D)`` covariance of x0 with x1; row index x0."""
        return self._c.diag() if self._flat else self._c

    @property
    def kinetic_energy(self) -> float:
        """``1/2 int E|u|^2 dt`` of the forward drift, data units squared.

        It is ``2 eps`` times the entropy of the coupling relative to the reference started from rho0 (Girsanov), so
        ``1/2 E|x1 - x0|^2 + eps (D log(2 eps) - D - log det Cov(x1 | x0))``.
        """
        apart = self._shift(self._s0).square().sum()
        if self._flat:
            spread, left = (self._s0 + self._s1 - 2 * self._c).sum(), self._s1 - self._c.square() / self._s0
            log_det = left.log().sum()
        else:
            spread = (self._s0 + self._s1 - 2 * self._c).trace()
            log_det = (self._s1 - self._c.mT @ torch.linalg.solve(self._s0, self._c)).logdet()
        cost = float(apart + spread) / 2
        if self.eps == 0:
            return cost
        dim = self.rho0.dim
        return cost + self.eps * (dim * math.log(2 * self.eps) - dim - float(log_det))

    def marginal(self, t: float | Tensor) -> GaussianMixture:
        """The distribution of ``x_t``, a mixture of one mode."""
        time = torch.as_tensor(t, dtype=self._s0.dtype)
        return GaussianMixture(self.rho0.weights, self._mean(time)[None], self._sigma(time)[None])

    def drift(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Drift u of the forward SDE ``dX = u dt + sqrt(2 eps) dW``; ``(B, D)`` -> ``(B, D)``, data units per time.

        ``u = (E[x1 | x_t] - x)/(1 - t)``, finite at t = 1 as well.
        """
        return self._linear(x, as_time(t, x), 0.0)

    def backward_drift(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Drift of the SDE run down in time, ``X(t-h) = X - u_B h + sqrt(2 eps h) xi``: ``u - 2 eps s``."""
        return self._linear(x, as_time(t, x), 2.0)

    def fields(self) -> "SchrodingerFields":
        """Probability-flow velocity, score and the rest, on :attr:`path` with the optimal coupling."""
        return SchrodingerFields(self)

    def sample_coupling(self, n: int, *, generator: Generator | None = None) -> PairedSample:
        """Draw ``n`` optimally coupled pairs of end points."""
        x0 = self.rho0.sample(n, generator=generator)
        z = torch.randn(x0.shape, dtype=x0.dtype, generator=generator)
        apart = x0 - self.rho0.means[0]
        if self._flat:
            gain = self._c / self._s0
            spread = (self._s1 - gain * self._c).clamp_min(0).sqrt()
            return PairedSample(x0, self.rho1.means[0] + gain * apart + spread * z)
        gain = torch.linalg.solve(self._s0, self._c).mT  # C^T S0^-1
        spread = _root(self._s1 - gain @ self._c)
        return PairedSample(x0, self.rho1.means[0] + apart @ gain.mT + z @ spread.mT)

    def _coupling(self) -> Tensor:
        if self._flat:
            product = self._s0 * self._s1
            # The difference of two near numbers when eps is large, written without cancellation.
            return product / ((product + self.eps**2).sqrt() + self.eps)
        root = _root(self._s0)
        product = root @ self._s1 @ root
        values, vectors = torch.linalg.eigh((product + product.mT) / 2)
        values = values / ((values + self.eps**2).sqrt() + self.eps)
        coupling: Tensor = torch.linalg.solve(root, root @ ((vectors * values) @ vectors.mT), left=False)
        return coupling

    def _mean(self, t: Tensor) -> Tensor:
        wide = t[..., None]
        return (1 - wide) * self.rho0.means[0] + wide * self.rho1.means[0]

    def _sigma(self, t: Tensor) -> Tensor:
        wide = self._widen(t)
        both = self._c + self._transposed + 2 * self.eps * self._eye
        return (1 - wide).square() * self._s0 + wide.square() * self._s1 + wide * (1 - wide) * both

    def _numerator(self, t: Tensor, level: float) -> Tensor:
        # Half the rate of Sigma plus the antisymmetric part, minus (1 - level) eps Id: forward drift at 0, backward
        # at 2, flow at 1.
        wide = self._widen(t)
        mixed = (1 - wide) * self._transposed - wide * self._c
        latent = (level * (1 - wide) - (2 - level) * wide) * self.eps
        return wide * self._s1 - (1 - wide) * self._s0 + mixed + latent * self._eye

    def _linear(self, x: Tensor, t: Tensor, level: float) -> Tensor:
        y = self._precision_times(x, t)
        value = self._shift(y) + self._times(self._numerator(t.to(y), level), y)
        return value.to(x)

    def _shift(self, like: Tensor) -> Tensor:
        return (self.rho1.means[0] - self.rho0.means[0]).to(like)

    def _precision_times(self, x: Tensor, t: Tensor) -> Tensor:
        """``Sigma^-1 (x - mean)`` in the bridge's precision."""
        time = t.to(self._s0)
        r = x.to(self._s0) - self._mean(time)
        sigma = self._sigma(time)
        if self._flat:
            return r / sigma
        root = torch.linalg.cholesky(sigma)
        if root.ndim == 2:  # one time for the whole batch
            return torch.cholesky_solve(r.mT, root).mT
        return torch.cholesky_solve(r[..., None], root)[..., 0]

    def _times(self, matrix: Tensor, y: Tensor) -> Tensor:
        if self._flat:
            return matrix * y
        return y @ matrix.mT if matrix.ndim == 2 else torch.einsum("bij,bj->bi", matrix, y)

    def _widen(self, t: Tensor) -> Tensor:
        return t[..., None] if self._flat else t[..., None, None]

    @property
    def _transposed(self) -> Tensor:
        return self._c if self._flat else self._c.mT

    @property
    def _eye(self) -> Tensor:
        ones = torch.ones(self.rho0.dim, dtype=self._s0.dtype)
        return ones if self._flat else ones.diag()


class SchrodingerFields(Fields):
    """The exact fields of a Gaussian Schroedinger bridge on its own path; ``u = velocity + eps score``."""

    path: Linear

    def __init__(self, bridge: GaussianSchrodingerBridge) -> None:
        self._bridge = bridge
        self.path = bridge.path

    def provides(self, quantity: str) -> bool:
        """Always, for a quantity that exists."""
        one_of("Fields", "the quantity", quantity, QUANTITIES)
        return True

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities, all from one linear solve."""
        y = self._bridge._precision_times(x, t)
        return {name: getattr(self, f"_{name}")(y, t.to(y)).to(x) for name in want}

    def _velocity(self, y: Tensor, t: Tensor) -> Tensor:
        bridge = self._bridge
        return bridge._shift(y) + bridge._times(bridge._numerator(t, 1.0), y)

    def _mean_rate(self, y: Tensor, t: Tensor) -> Tensor:
        return self._velocity(y, t) - expand_like(self.path.envelope.gamma_gamma_dot(t), y) * y

    def _score(self, y: Tensor, t: Tensor) -> Tensor:
        return -y

    def _noise(self, y: Tensor, t: Tensor) -> Tensor:
        return expand_like(self.path.envelope.gamma(t), y) * y

    def _endpoint0(self, y: Tensor, t: Tensor) -> Tensor:
        bridge, wide = self._bridge, self._bridge._widen(t)
        return bridge.rho0.means[0] + bridge._times((1 - wide) * bridge._s0 + wide * bridge._c, y)

    def _denoised(self, y: Tensor, t: Tensor) -> Tensor:
        bridge, wide = self._bridge, self._bridge._widen(t)
        return bridge.rho1.means[0] + bridge._times((1 - wide) * bridge._transposed + wide * bridge._s1, y)


def _distribution(end: str, mean: Parameter, cov: Parameter) -> GaussianMixture:
    centre = torch.as_tensor(mean, dtype=torch.float64)
    spread = torch.as_tensor(cov, dtype=torch.float64)
    if centre.ndim != 1:
        raise invalid("GaussianSchrodingerBridge", f"mean{end} must have shape (D,)", tuple(centre.shape))
    if tuple(spread.shape) not in ((), tuple(centre.shape), (centre.shape[0], centre.shape[0])):
        size = centre.shape[0]
        rule = f"cov{end} must be a number or have shape ({size},) or ({size}, {size})"
        raise invalid("GaussianSchrodingerBridge", rule, tuple(spread.shape))
    return GaussianMixture(centre.new_ones(1), centre[None], spread[None])


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.mT
    return root
