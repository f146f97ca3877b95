"""Fractional Brownian motion as a sum of Ornstein-Uhlenbeck states that one Brownian motion drives.

Letters: ``H`` Hurst index in (0, 1), ``a = H + 1/2``; ``g (K,)`` rates and ``w (K,)`` weights of states
``dY_k = -g_k Y_k dt + dW``; ``T`` horizon; ``z = g T``. Two kinds of motion:

1. of Mandelbrot and Van Ness, with stationary increments: ``sum_k w_k (Y_k(t) - Y_k(0))``, ``Y(0)`` stationary;
2. of Riemann and Liouville, which begins at 0 without a past: ``sum_k w_k Y_k(t)``, ``Y(0) = 0``.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number, one_of, positive, whole
from interpolants.foundations.kinds import Positive
from interpolants.sciml.processes.kernels.incomplete_gamma import SWITCH, lower, scaled_lower, scaled_upper

KINDS = (1, 2)
OpenShare = Annotated[float, Interval(gt=0, lt=1)]
# Rates of the states: from this share of 1 / horizon to this multiple of 1 / step.
SLOWEST, FASTEST = {1: 1e-4, 2: 0.1}, 100.0
_WORST = 1e12  # condition of the normal equations beyond which their solution means nothing
_SPANNED = 1e-12  # share of the largest variance below which a direction of the noise is left out


def unit_scale(hurst: Tensor, kind: int = 1) -> Tensor:
    """Variance of the motion at time 1; divided by its root, the motion has variance 1 there.

    ``V_H = Gamma(2 - 2 H) / (2 H Gamma(H + 1/2) Gamma(3/2 - H))`` for kind 1, and for kind 2
    ``1 / (2 H Gamma(H + 1/2)^2)``.
    """
    if kind == 2:
        return torch.exp(-2 * torch.lgamma(hurst + 0.5)) / (2 * hurst)
    logs = torch.lgamma(2 - 2 * hurst) - torch.lgamma(hurst + 0.5) - torch.lgamma(1.5 - hurst)
    return logs.exp() / (2 * hurst)


def geometric_rates(count: int, slowest: float, fastest: float) -> Tensor:
    """K rates from the slowest to the fastest in geometric steps, ``(K,)`` float64.

    Raises:
        InvalidInputError: If there is none, or they are not positive and in order.
    """
    whole("geometric_rates", "count", count, at_least=1)
    positive("geometric_rates", "slowest", slowest)
    number("geometric_rates", "fastest", fastest, above=slowest)
    found: Tensor = torch.logspace(math.log10(slowest), math.log10(fastest), count, dtype=torch.float64)
    return found


def optimal_weights(
    hurst: Tensor, rates: Tensor, horizon: float, *, kind: int = 1, unit_variance: bool = True
) -> Tensor:
    """Weights that minimise the mean squared error of the path, averaged over [0, T]; differentiable in H.

    Args:
        hurst: H, a scalar in float64.
        rates: Increasing rates ``(K,)``, 1/time.
        horizon: T.
        kind: 1 or 2.
        unit_variance: Divide by the root of :func:`unit_scale`, so that the motion has variance 1 at time 1.

    Returns:
        ``w (K,)``.

    Raises:
        InvalidInputError: If H is not in (0, 1), rates do not increase, or are so close that the weights are arbitrary.

    Source: Daems, Opper, Crevecoeur & Birdal (2024), arXiv:2310.12975, section 3. Ours: closed
    forms that lose no digits.
    """
    _check(hurst, rates, horizon, kind)
    gram, across = _normal_equations(hurst, rates, horizon, kind)
    scale = gram.diagonal().rsqrt()
    alike = scale[:, None] * gram * scale
    if (worst := float(torch.linalg.cond(alike))) > _WORST:
        remedy = "Use fewer modes, or rates further apart."
        raise invalid("rates must be far enough apart", f"condition {worst:.1e}", remedy)
    weights: Tensor = scale * torch.linalg.solve(alike, scale * across)
    return weights / unit_scale(hurst, kind).sqrt() if unit_variance else weights


def relative_error(hurst: Tensor, rates: Tensor, horizon: float, *, kind: int = 1) -> Tensor:
    """Root of the least mean squared error over that of the motion itself: 0 is perfect, 1 is nothing."""
    weights = optimal_weights(hurst, rates, horizon, kind=kind, unit_variance=False)
    _, across = _normal_equations(hurst, rates, horizon, kind)
    total = _total_variance(hurst, horizon, kind)
    return (1 - across @ weights / total).clamp_min(0).sqrt()


def _check(hurst: Tensor, rates: Tensor, horizon: float, kind: int) -> None:
    number(who(), "hurst", float(hurst.detach()), above=0, below=1)
    positive(who(), "horizon", horizon)
    one_of(who(), "kind", kind, KINDS)
    if rates.ndim != 1 or not len(rates) or not bool((rates > 0).all() and (rates.diff() > 0).all()):
        raise invalid("rates must be positive and increase", rates.tolist())


def _total_variance(hurst: Tensor, horizon: float, kind: int) -> Tensor:
    """``c = int_0^T Var B(t) dt``."""
    return unit_scale(hurst, kind) * horizon ** (2 * hurst + 1) / (2 * hurst + 1)


def _normal_equations(hurst: Tensor, g: Tensor, horizon: float, kind: int) -> tuple[Tensor, Tensor]:
    """``A (K, K)`` and ``b (K,)`` of ``A w = b``: integrals of covariances of states, and of states and motion."""
    a, z = hurst + 0.5, g * horizon
    pairs = g[:, None] + g
    near, far = z.clamp_max(SWITCH), z.clamp_min(SWITCH)
    if kind == 1:
        gram = horizon * (_lag(z)[:, None] + _lag(z)) / pairs
        # Both lines are 2 z - z^a / Gamma(a + 1) + exp(-z) - exp(z) Q(a, z); the first without cancellation near 0.
        low = scaled_lower(a, near, skipped=1) - 2 * _sinh_rest(near)
        high = (
            2 * far - torch.exp(a * far.log() - torch.lgamma(a + 1)) + torch.exp(-far) - scaled_upper(a, far)
        )
        bracket = torch.where(z <= SWITCH, low, high)
    else:
        gram = horizon * _lag(pairs * horizon) / pairs
        bracket = z * lower(a, z) - a * lower(a + 1, z)
    return gram, torch.exp(-(a + 1) * g.log()) * bracket


def _lag(z: Tensor) -> Tensor:
    """``1 - (1 - exp(-z)) / z``, by its series near 0."""
    small = z.clamp_max(0.05)
    series = small * (
        1 / 2 - small * (1 / 6 - small * (1 / 24 - small * (1 / 120 - small / 720 * (1 - small / 7))))
    )
    return torch.where(z < 0.05, series, 1 + torch.expm1(-z) / z)


def _sinh_rest(z: Tensor) -> Tensor:
    """``sinh z - z = z^3/3! + z^5/5! + ...``."""
    orders = torch.arange(3, 61, 2, dtype=torch.float64)
    return torch.exp(orders * z.log()[..., None] - torch.lgamma(orders + 1)).sum(-1)


@dataclass(frozen=True, eq=False)
class ExactSteps:
    """Exact steps of the states: ``Y' = decay Y + factor xi`` with ``xi ~ N(0, I)``, for U lengths of a step.

    Attributes:
        decay: ``exp(-g h)``, ``(U, K)``.
        factor: Root of the covariance of ``int exp(-g (h - s)) dW``, ``(U, K, K)``; columns that the noise does not
            reach to 12 digits are 0.
        push: What a constant control u adds to xi is ``u push``: ``(U, K)``, of squared length at most h.
    """

    decay: Tensor
    factor: Tensor
    push: Tensor

    @classmethod
    def of(cls, rates: Tensor, lengths: Tensor) -> "ExactSteps":
        """Steps of some lengths ``(U,)`` for rates ``(K,)``."""
        pairs, h = rates[:, None] + rates, lengths[:, None]
        covariance = -torch.expm1(-pairs * h[..., None]) / pairs
        values, factor = _root(covariance)
        gain = -torch.expm1(-rates * h) / rates
        kept = values > 0
        size = covariance.diagonal(dim1=-2, dim2=-1)
        along = (factor.mT @ (gain / size)[..., None])[..., 0] / torch.where(kept, values, 1.0)
        return cls(torch.exp(-rates * h), factor, torch.where(kept, along, 0.0))


def stationary_root(rates: Tensor) -> Tensor:
    """Root of the stationary covariance ``1 / (g_i + g_j)`` of the states, ``(K, K)``."""
    return _root(1 / (rates[:, None] + rates))[1]


def _root(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, and eigenvectors times their roots, of covariances ``(..., K, K)``, the least of them left out.

    States of different rates differ by orders of magnitude: they are brought to one size first.
    """
    size = covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    values, vectors = torch.linalg.eigh(covariance / size[..., None] / size[..., None, :])
    values = torch.where(values > _SPANNED * values[..., -1:], values, 0.0)
    return values, size[..., None] * vectors * values.sqrt()[..., None, :]


def path_covariance(weights: Tensor, rates: Tensor, times: Tensor, *, kind: int = 1) -> Tensor:
    """Covariance of the sum of states at times ``(N,)`` >= 0, ``(N, N)``."""
    pairs = weights[:, None] * weights / (rates[:, None] + rates)
    gap = (times[:, None] - times).abs()
    earlier = torch.minimum(times[:, None], times)
    decay = torch.exp(-rates * gap[..., None])
    if kind == 2:
        left = torch.exp(-(rates[:, None] + rates) * earlier[..., None, None])
        found: Tensor = torch.einsum("...i,ij,...ij->...", decay, pairs, 1 - left)
        return found
    # Differences of nearly equal numbers for slow states, so without the ones in them.
    at = torch.expm1(-rates * times[:, None]) @ pairs.sum(1)
    return torch.expm1(-rates * gap[..., None]) @ pairs.sum(1) - at[:, None] - at


@dataclass(frozen=True, kw_only=True)
class MarkovMotion(Checked):
    """Paths of fractional noise at any times, to drive an equation of one's own: ``dX = b(X) dt + sigma(X) dB``.

    ::

        noise = MarkovMotion(hurst=0.3, horizon=10.0, finest=0.01)
        times = torch.linspace(0, 10, 1001)
        steps = noise.sample(64, times, generator=g).diff(dim=1)     # (64, 1000), increments of B

    B is the weighted sum of states, which are stepped exactly: its covariance at the times is that of
    :func:`path_covariance` whatever their spacing. Its relative error to the motion itself is :func:`relative_error`.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    hurst: OpenShare
    """H."""
    horizon: Positive
    """Last time that is asked for, at least ``finest``."""
    finest: Positive
    """Shortest step; the fastest state decays 100 times within it."""
    kind: Literal[1, 2] = 1
    """1, stationary increments, or 2, without a past."""
    modes: Annotated[int, Ge(2)] = 12
    """Number K of states."""

    def check_settings(self) -> None:
        """Refuse a step that is longer than all time."""
        number(who(), "horizon", self.horizon, at_least=self.finest)

    @property
    def rates(self) -> Tensor:
        """Rates of the states, ``(K,)``, 1/time."""
        return geometric_rates(self.modes, SLOWEST[self.kind] / self.horizon, FASTEST / self.finest)

    @property
    def weights(self) -> Tensor:
        """Weights of the states in B, of variance 1 at time 1, ``(K,)``."""
        hurst = torch.tensor(self.hurst, dtype=torch.float64)
        return optimal_weights(hurst, self.rates, self.horizon, kind=self.kind)

    def sample(self, count: int, times: Tensor, *, generator: Generator) -> Tensor:
        """Paths ``(count, N)`` float64 at increasing times ``(N,)`` >= 0; B is 0 at time 0.

        Args:
            count: Number of paths.
            times: Times ``(N,)``, increasing, in [0, horizon].
            generator: Source of the noise.

        Raises:
            InvalidInputError: If times do not increase or leave [0, horizon].
        """
        whole(who(), "count", count, at_least=1)
        times = times.double()
        inside = float(times[0]) >= 0 and float(times[-1]) <= self.horizon * (1 + 1e-12)
        if times.ndim != 1 or not inside or not bool((times.diff() > 0).all()):
            rule = f"times must be strictly increasing within [0, {self.horizon:g}]"
            raise invalid(rule, times.tolist()[:5])
        rates, weights = self.rates, self.weights
        gaps = times.diff(prepend=times.new_zeros(1))
        lengths, sort = torch.unique(gaps, return_inverse=True)
        steps = ExactSteps.of(rates, torch.where(lengths > 0, lengths, self.finest))
        states = times.new_zeros(count, self.modes)
        if self.kind == 1:
            fresh = torch.randn(count, self.modes, dtype=torch.float64, generator=generator)
            states = fresh @ stationary_root(rates).T
        first, found = states, []
        for k in sort.tolist():
            if lengths[k] > 0:  # all but a first time of 0
                fresh = torch.randn(count, self.modes, dtype=torch.float64, generator=generator)
                states = steps.decay[k] * states + fresh @ steps.factor[k].T
            found.append((states - first) @ weights)
        return torch.stack(found, 1)
