"""Gaussian mixture bridge: exact fields of every spatially linear path between two Gaussian mixtures.

Letters: pairs n = (i, j) of modes with weights ``p_i q_j`` and ends ``N(m, C)``, ``N(n, D)``; at time t their mean is
``alpha m + beta n`` and their covariance ``Sigma = alpha^2 C + beta^2 D + gamma^2 Id``; ``y = Sigma^-1 (x - mean)``,
``w`` the posterior weights. By Gaussian conditioning

* score ``-sum w y``, endpoints ``sum w (m + alpha C y)`` and ``sum w (n + beta D y)``,
* velocity ``sum w (alpha' m + beta' n + (alpha alpha' C + beta beta' D + gamma gamma' Id) y)``.

Only the products ``alpha alpha'`` and ``gamma gamma'`` appear: they are finite where ``alpha'`` and ``gamma'`` are not.

Source: Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, appendix A; derived anew.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from interpolants.fields.protocol import QUANTITIES, Fields, as_time
from interpolants.foundations.checks import floating, one_of, shaped
from interpolants.foundations.errors import invalid
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.ops import expand_like
from interpolants.foundations.types import Condition
from interpolants.paths.bases import Basis
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.problems.gaussian_mixture import GaussianMixture
from interpolants.problems.pair_modes import Coefficients, Modes, Pairs, Posterior, as_column, factorise

_EARLIEST = 1e-9


class GaussianMixtureBridge:
    """Two Gaussian mixtures with independent end points (``x0 = x1`` on a mirror path).

    Args:
        rho0: Distribution of x0: a mixture, or a ``Gaussian`` (taken on the space of ``rho1``).
        rho1: Distribution of x1.

    Raises:
        InvalidInputError: If the two live in different dimensions.
    """

    def __init__(self, rho0: GaussianMixture | Gaussian, rho1: GaussianMixture) -> None:
        if isinstance(rho0, Gaussian):
            rho0 = GaussianMixture.from_gaussian(rho0, rho1.dim, dtype=rho1.dtype)
        if rho0.dim != rho1.dim:
            raise invalid(
                "GaussianMixtureBridge", f"rho0 must have {rho1.dim} dimensions like rho1", rho0.dim
            )
        self.rho0, self.rho1 = rho0, rho1

    @property
    def event_shape(self) -> tuple[int]:
        """``(D,)``."""
        return self.rho1.event_shape

    def fields(self, path: Path) -> "MixtureFields":
        """All fields of a path, exact.

        Raises:
            InvalidInputError: If the path is not spatially linear, or ``rho0`` is not what the path prescribes (its
                Gaussian base, or ``rho1`` on a mirror path).
        """
        return MixtureFields(path, self.rho0, self.rho1)

    def marginal(self, path: Path, t: float | Tensor) -> GaussianMixture:
        """The distribution of ``x_t`` as a mixture of all pairs, ``t`` a number in [0, 1]."""
        return self.fields(path).marginal(t)


class _Rates(NamedTuple):
    """Coefficients of velocity and mean rate, each 0-d, ``(B,)``, or ``(1 or B, D)`` on a path with a basis."""

    alpha_dot: Tensor
    beta_dot: Tensor
    alpha_alpha_dot: Tensor
    beta_beta_dot: Tensor
    gamma_gamma_dot: Tensor


class MixtureFields(Fields):
    """The fields that :meth:`GaussianMixtureBridge.fields` gives; also density and divergence.

    States of any precision are computed in that of the mixtures and cast back. A condition is ignored.
    """

    path: SpatiallyLinearPath

    def __init__(self, path: Path, rho0: GaussianMixture, rho1: GaussianMixture) -> None:
        if not isinstance(path, SpatiallyLinearPath):
            remedy = "Other paths have no closed form; check them by simulation."
            raise invalid(
                "GaussianMixtureBridge", "path must be spatially linear", type(path).__name__, remedy
            )
        self.path = path
        # At t = 0 the rate of a steep path is infinite, and the velocity of centred data its limit.
        self.earliest = _EARLIEST if path.is_steep_at_0 else 0.0
        if path.is_one_sided:
            _check_base(path, rho0)
        if path.is_static:
            _check_mirror(rho0, rho1)
        self._pairs = _pairs(rho0, rho1, static=path.is_static)
        if path.basis is not None:
            self._pairs = _in_coordinates(path.basis, self._pairs)
        self._modes = {
            rho1.means.device: factorise(self._pairs, with_identity=not path.envelope.is_zero),
        }

    def provides(self, quantity: str) -> bool:
        """Always, for a quantity that exists."""
        one_of("Fields", "the quantity", quantity, QUANTITIES)
        return True

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The wanted quantities at ``x (B, D)`` and ``t`` 0-d or ``(B,)``; the pairs are weighted once."""
        point = _Point(self, x, t)
        return {name: self._state(getattr(point, name)).to(x.dtype) for name in want}

    def log_prob(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Log density of ``x_t`` in nats; ``(B, D)`` -> ``(B,)``."""
        return _Point(self, x, as_time(t, x)).posterior.log_joint.logsumexp(1).to(x.dtype)

    def log_joint(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Log density of ``x_t`` with its pair of modes, nats; ``(B, D)`` -> ``(B, N)``, pair (i, j) at ``i K1 + j``.

        As logits they give the posterior of the pair: on a one-sided path the exact classifier of noisy states.
        """
        return _Point(self, x, as_time(t, x)).posterior.log_joint.to(x.dtype)

    def divergence(self, x: Tensor, t: Tensor | float, cond: Condition = None) -> Tensor:
        """Divergence of the velocity, per unit of time; ``(B, D)`` -> ``(B,)``.

        ``sum w (tr B Sigma^-1 + b_n . (s_n - s))`` with ``b_n, s_n`` velocity and score of one pair and B the rate of
        its covariance over two.
        """
        return _Point(self, x, as_time(t, x)).divergence.to(x.dtype)

    def divergence_of(self, cond: Condition = None) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Velocity and divergence from one weighting of the pairs."""

        def both(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            point = _Point(self, x, t)
            return self._state(point.velocity).to(x.dtype), point.divergence.to(x.dtype)

        return both

    def log_density_of(self, cond: Condition = None) -> Callable[[Tensor, Tensor], Tensor]:
        """The log density, normalised."""
        return self.log_prob

    def marginal(self, t: float | Tensor) -> GaussianMixture:
        """The distribution of ``x_t`` as a mixture of all pairs, ``t`` a number in [0, 1]."""
        pairs = self._pairs
        at = self._coefficients(torch.as_tensor(t, dtype=torch.float64).to(pairs.mean0.device), pairs.mean0)
        noise = at.gamma_squared * torch.ones_like(pairs.mean0)
        mixed = at.alpha.square() * pairs.cov0 + at.beta.square() * pairs.cov1
        covariances = mixed + (noise if pairs.is_diagonal else noise.diag_embed())
        means = pairs.mean(at)[0]
        if self.path.basis is not None:
            rows = self._state(torch.eye(means.shape[1], dtype=means.dtype, device=means.device))  # rows of F
            covariances, means = (rows.mT * covariances[:, None]) @ rows, self._state(means)
            covariances = (covariances + covariances.mT) / 2
        return GaussianMixture(pairs.log_weights.exp(), means, covariances)

    def _state(self, value: Tensor) -> Tensor:
        return value if self.path.basis is None else self.path.basis.inverse(value)

    def modes_on(self, device: torch.device) -> Modes:
        """The factorisation, moved once per device."""
        if device not in self._modes:
            any_modes = next(iter(self._modes.values()))
            self._modes[device] = any_modes.map(lambda value: value.to(device))
        return self._modes[device]

    def _coefficients(self, t: Tensor, like: Tensor) -> Coefficients:
        path = self.path
        return Coefficients(
            *(
                _rows(k, t).to(like.dtype)
                for k in (path.alpha(t), path.beta(t), path.envelope.gamma(t).square())
            )
        )


class _Point:
    """The fields at given states and times, each computed when first asked for, in the mixtures' precision."""

    def __init__(self, fields: MixtureFields, x: Tensor, t: Tensor) -> None:
        modes = fields.modes_on(x.device)
        self.path = fields.path
        self.pairs: Pairs = modes.pairs
        self.x = floating(type(fields).__name__, "x", x).to(self.pairs.mean0.dtype)
        if self.path.basis is None:
            shaped(type(fields).__name__, "x", self.x, "B", self.pairs.mean0.shape[-1])
        self.t = t.to(self.pairs.mean0.dtype).clamp(min=fields.earliest)
        if self.path.basis is not None:
            self.x = self.path.basis.forward(self.x)
        self.at = fields._coefficients(self.t, self.x)
        self.posterior: Posterior = modes.posterior(self.x, self.at)

    @cached_property
    def score(self) -> Tensor:
        """``-sum w y``."""
        return -self.posterior.apply(0.0, 0.0, 1.0)

    @cached_property
    def velocity(self) -> Tensor:
        """``sum w (mean' + B y)`` with ``B = Sigma'/2``."""
        rates = self.rates
        return self._mean_rate + self.posterior.apply(
            rates.alpha_alpha_dot, rates.beta_beta_dot, self._latent(rates.gamma_gamma_dot)
        )

    @cached_property
    def mean_rate(self) -> Tensor:
        """The velocity without its latent term."""
        rates = self.rates
        return self._mean_rate + self.posterior.apply(rates.alpha_alpha_dot, rates.beta_beta_dot, 0.0)

    @cached_property
    def noise(self) -> Tensor:
        """``-gamma s``, or ``-alpha L^T s`` on a one-sided path."""
        scale = self._wide(_rows(self.path.noise_scale(self.t), self.t))
        if isinstance(self.path.base, Gaussian):
            return -scale * self.path.base.root_transpose(self.score)
        return -scale * self.score

    @cached_property
    def endpoint0(self) -> Tensor:
        """``sum w (m + alpha C y)``; the same as ``denoised`` on a mirror path."""
        if self.path.is_static:
            return self.denoised
        return self.posterior.weights @ self.pairs.mean0 + self.posterior.apply(self.at.alpha, 0.0, 0.0)

    @cached_property
    def denoised(self) -> Tensor:
        """``sum w (n + beta D y)``."""
        return self.posterior.weights @ self.pairs.mean1 + self.posterior.apply(0.0, self.at.beta, 0.0)

    @cached_property
    def divergence(self) -> Tensor:
        """Of the velocity; ``(B,)``."""
        rates = self.rates
        size = (rates.alpha_alpha_dot, rates.beta_beta_dot, self._latent(rates.gamma_gamma_dot))
        mean0, mean1 = self.pairs.mean0, self.pairs.mean1
        wide = [as_column(k) for k in (rates.alpha_dot, rates.beta_dot)]
        own_velocity = _product(wide[0], mean0) + wide[1] * mean1 + self.posterior.each(*size)
        own_score = -self.posterior.each(0.0, 0.0, 1.0)
        shift = (own_velocity * (own_score - self.score[:, None])).sum(2)
        return (self.posterior.weights * (self.posterior.trace(*size) + shift)).sum(1)

    @cached_property
    def rates(self) -> _Rates:
        """The path's rates in the mixtures' precision."""
        path, t = self.path, self.t
        alpha_dot, beta_dot = path.alpha_dot(t), path.beta_dot(t)
        # The products are taken here where the path has no closed form of them: a rate may be a derivative.
        kind, plain = type(path), SpatiallyLinearPath
        own0 = kind.alpha_alpha_dot is not plain.alpha_alpha_dot
        own1 = kind.beta_beta_dot is not plain.beta_beta_dot
        rates = (
            alpha_dot,
            beta_dot,
            path.alpha_alpha_dot(t) if own0 else path.alpha(t) * alpha_dot,
            path.beta_beta_dot(t) if own1 else path.beta(t) * beta_dot,
            path.envelope.gamma_gamma_dot(t),
        )
        return _Rates(*(_rows(rate, t).to(self.x.dtype) for rate in rates))

    @cached_property
    def _mean_rate(self) -> Tensor:
        weights = self.posterior.weights
        mean0, mean1 = weights @ self.pairs.mean0, weights @ self.pairs.mean1
        return _product(self._wide(self.rates.alpha_dot), mean0) + self._wide(self.rates.beta_dot) * mean1

    def _latent(self, rate: Tensor) -> Tensor | float:
        return 0.0 if self.path.envelope.is_zero else rate

    def _wide(self, value: Tensor) -> Tensor:
        return (value if value.ndim == 2 else expand_like(value, self.x)).to(self.x.dtype)


def _rows(value: Tensor, t: Tensor) -> Tensor:
    """A coefficient per coordinate always with a row per time, to tell it from one number per time."""
    return value[None] if value.ndim == 1 and t.ndim == 0 else value


def _in_coordinates(basis: Basis, pairs: Pairs) -> Pairs:
    """The pairs of a path with a basis, turned into its coordinates.

    Raises:
        InvalidInputError: If a covariance is not diagonal there.
    """
    dtype = pairs.mean0.dtype
    rows = basis.inverse(torch.eye(pairs.mean0.shape[1], dtype=torch.float64, device=pairs.mean0.device))
    turned = []
    for given in (pairs.cov0, pairs.cov1):
        full = rows @ (given.diag_embed() if pairs.is_diagonal else given).double() @ rows.mT
        variances = full.diagonal(dim1=1, dim2=2)
        rest = float((full - variances.diag_embed()).abs().max() / variances.max())
        if rest > 1e-6:
            rule = "every covariance must be diagonal in the path's basis"
            remedy = "Isotropic modes are diagonal in any basis; one Gaussian is in its principal axes."
            raise invalid("GaussianMixtureBridge", rule, f"a relative rest of {rest:.3g}", remedy)
        turned.append(variances.to(dtype))
    means = (basis.forward(mean.double()).to(dtype) for mean in (pairs.mean0, pairs.mean1))
    return Pairs(pairs.log_weights, *means, *turned)


def _product(rate: Tensor, mean: Tensor) -> Tensor:
    # alpha' is infinite at t = 1 of the variance-preserving path, and harmless there if x0 has mean zero.
    return torch.where(mean == 0, torch.zeros_like(mean), rate) * mean


def _pairs(rho0: GaussianMixture, rho1: GaussianMixture, *, static: bool) -> Pairs:
    dtype = torch.promote_types(rho0.dtype, rho1.dtype)
    device = rho1.means.device
    rho0, rho1 = rho0.to(dtype=dtype, device=device), rho1.to(dtype=dtype)
    diagonal = rho1.is_diagonal and (static or rho0.is_diagonal)
    cov0, cov1 = (
        (distribution.variances if diagonal else distribution.covariances) for distribution in (rho0, rho1)
    )
    if static:
        nothing = torch.zeros_like(rho1.means)
        return Pairs(rho1.weights.log(), nothing, rho1.means, torch.zeros_like(cov1), cov1)
    count0, count1 = rho0.n_modes, rho1.n_modes
    i = torch.arange(count0, device=device).repeat_interleave(count1)
    j = torch.arange(count1, device=device).repeat(count0)
    log_weights = rho0.weights.log()[i] + rho1.weights.log()[j]
    return Pairs(log_weights, rho0.means[i], rho1.means[j], cov0[i], cov1[j])


def _check_base(path: SpatiallyLinearPath, rho0: GaussianMixture) -> None:
    assert path.base is not None
    rule = f"rho0 must be the Gaussian base of {type(path).__name__}"
    remedy = "Use a path with this base, base=Gaussian(mean=..., covariance=...), or a two-sided path."
    who = "GaussianMixtureBridge"
    if not isinstance(path.base, Gaussian):
        remedy = "EmpiricalBridge has exact fields for other bases, with a set of points as data."
        raise invalid(who, f"the base of {type(path).__name__} must be Gaussian", path.base, remedy)
    if rho0.n_modes > 1:
        raise invalid(who, rule, f"a mixture of {rho0.n_modes} modes", remedy)
    base = GaussianMixture.from_gaussian(path.base, rho0.dim)
    for name in ("mean", "covariance"):
        wanted, given = getattr(base, name), getattr(rho0, name).double().cpu()
        gap = float((wanted - given).abs().max())
        if gap > 1e-5 * max(1.0, float(wanted.abs().max())):
            raise invalid(who, rule, f"a {name} that differs by {gap:.3g}", remedy)


def _check_mirror(rho0: GaussianMixture, rho1: GaussianMixture) -> None:
    if rho0 is rho1:
        return
    parts = ("weights", "means", "covariances")
    same = rho0.n_modes == rho1.n_modes and all(
        torch.allclose(getattr(rho0, part).to(rho1.means), getattr(rho1, part)) for part in parts
    )
    if not same:
        remedy = "Pass the same mixture twice, or use a path that is not a mirror."
        raise invalid(
            "GaussianMixtureBridge", "rho0 must equal rho1 on a mirror path", "two distributions", remedy
        )
