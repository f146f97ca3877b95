"""Kullback-Leibler divergence through kernel density estimates, in one to three dimensions.

``p`` and ``q`` densities, ``x`` samples of p, ``y`` samples of q, ``r = q / p``. Log densities in nats.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from interpolants.foundations.checks import number, positive
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.pairwise import row_blocks, squared_distances
from interpolants.metrics.samples import ArrayLike, one_sample, pooled, shuffled

LogDensity: TypeAlias = Callable[[Tensor], Tensor]


class GaussianKDE:
    """Gaussian kernel density estimate with Scott's rule, ``mean_j N(x; x_j, h^2 C)``, ``h = N^(-1/(D+4))``.

    ``C`` is the sample covariance, in full. The sum over all N centres is exact, in blocks of bounded memory.

    Args:
        x: Samples, (N, *D) with N > D' and D' = prod D <= 3.
        bandwidth: The factor h; Scott's rule if None.

    Raises:
        InvalidInputError: If the samples are unfit, have more than three dimensions, or lie in a hyperplane.

    Source: Scott, Multivariate Density Estimation (1992), section 6.3.
    """

    def __init__(self, x: ArrayLike, *, bandwidth: float | None = None) -> None:
        who = "GaussianKDE"
        samples = one_sample(who, "x", x)
        n, width = samples.shape
        _check_width(who, width)
        if bandwidth is not None:
            positive(who, "bandwidth", bandwidth)
        self.bandwidth = n ** (-1 / (width + 4)) if bandwidth is None else bandwidth
        covariance = torch.cov(samples.T).reshape(width, width) * self.bandwidth**2
        self._factor, status = torch.linalg.cholesky_ex(covariance)
        pivots = self._factor.diagonal() / covariance.diagonal().sqrt()
        # The mean of equal numbers is rounded, and so their variance.
        varied = bool((samples != samples[0]).any(0).all())
        if int(status) or not varied or not bool((pivots > 1e-7).all()):
            rule = f"x must span {width} dimensions"
            raise invalid(
                who, rule, f"{n} samples in a hyperplane", "Drop the constant or redundant coordinates."
            )
        self._mean = samples.mean(0)
        self._centres = self._whiten(samples)
        self._log_norm = float(
            -math.log(n) - width / 2 * math.log(2 * math.pi) - self._factor.diagonal().log().sum()
        )

    def log_prob(self, x: ArrayLike) -> Tensor:
        """Log density in nats, (B, *D) -> (B,), float64."""
        points = self._points(x)
        return torch.cat([torch.logsumexp(block, 1) for block in self._exponents(points)]) + self._log_norm

    def influence(self, x: ArrayLike, weights: Tensor) -> Tensor:
        """Change of ``mean_i weights_i log_prob(x_i)`` with the weight of each centre, (N,).

        Its variance over N is the variance that the choice of centres brings into that mean.
        """
        points, size = self._points(x), len(self._centres)
        total, start = points.new_zeros(size), 0
        for block in self._exponents(points):
            total += weights[start : start + len(block)] @ torch.softmax(block, 1)
            start += len(block)
        return total * (size / len(points))

    def _exponents(self, points: Tensor) -> Iterator[Tensor]:
        """``-|points_i - centre_j|^2 / 2`` in blocks of rows."""
        for rows in row_blocks(points, len(self._centres)):
            yield squared_distances(rows, self._centres).mul_(-0.5)

    def _points(self, x: ArrayLike) -> Tensor:
        points = one_sample("GaussianKDE.log_prob", "x", x, minimum=1)
        if points.shape[1] != self._centres.shape[1]:
            rule = f"x must have {self._centres.shape[1]} coordinates"
            raise invalid("GaussianKDE.log_prob", rule, points.shape[1])
        return self._whiten(points)

    def _whiten(self, x: Tensor) -> Tensor:
        white: Tensor = torch.linalg.solve_triangular(self._factor, (x - self._mean).T, upper=False)
        return white.T.contiguous()


def kde_kl(
    x: ArrayLike,
    y: ArrayLike | None,
    *,
    log_p: LogDensity | None = None,
    log_q: LogDensity | None = None,
    dims: Sequence[int] | None = None,
    held_out: float = 0.2,
    control: float | None = None,
    generator: torch.Generator | None = None,
) -> Estimate:
    """``KL(p || q) = E_p[log p - log q]`` in nats, on samples of p that no density estimate has seen.

    Each density is a known log density or the :class:`GaussianKDE` of its samples. Averaged is

        log p - log q + c (q/p - 1)

    whose last term has mean zero under p. With c = 1 every term is >= 0 and, for q near p, of second order
    in q/p - 1: the noise nearly vanishes. The term is also found with c = -1, which has the same mean
    and doubles the noise there. For q with heavier tails than p the variance of q/p may be infinite and c = 0
    is best. By default c is the coefficient of least variance, found by regression on the same points.

    The error is analytic: evaluation points, plus the choice of the centres of each estimate. It does not
    contain the smoothing bias of the estimates, of order ``h^2``: the paper's number compares smoothed
    densities.

    Args:
        x: Samples of p, (N, *D).
        y: Samples of q, (M, *D); None if and only if ``log_q`` is given.
        log_p: Log density of p, ``(B, *D) -> (B,)``; then all of ``x`` are evaluation points.
        log_q: Log density of q.
        dims: Coordinates of the flattened samples to keep, e.g. ``(0, 1)``: the divergence of these
            marginals. Known densities then receive ``(B, len(dims))``.
        held_out: Share of ``x`` to evaluate on when p is estimated; the rest are centres.
        control: The coefficient c.
        generator: Chooses the held-out samples.

    Returns:
        The estimate; infinite, with infinite error, where q is zero on a sample of p.

    Raises:
        InvalidInputError: If samples or options are unfit, or an estimate is asked for in more than three
            dimensions.
        DivergedError: If ``control`` is given and q/p overflows.

    Source: Albergo, Boffi & Vanden-Eijnden, arXiv:2303.08797 (the coefficient c is ours).
    """
    pair = _log_densities("kde_kl", x, y, log_p, log_q, dims, held_out, generator)
    name, n = "KL (KDE)", len(pair.log_p)
    terms = pair.log_p - pair.log_q
    if bool(torch.isinf(terms).any()):
        return Estimate(math.inf, math.inf, n, name)
    ratio = torch.exp(-terms)
    if control is None:
        control = _least_variance(terms, ratio)
    if control:
        if not bool(torch.isfinite(ratio).all()):
            message = f"kde_kl: q/p overflows at a sample of p (log q/p = {float(-terms.min()):.4g})"
            raise DivergedError(f"{message}. Use control=0, or leave control out.")
        terms = terms + control * (ratio - 1)
    variance = float(terms.var()) / n
    # d terms / d log p = 1 - c r = -d terms / d log q: what a change of either estimate does to the mean.
    weights = 1 - control * ratio if control else torch.ones_like(terms)
    for kde in (pair.kde_p, pair.kde_q):
        if kde is not None:
            influence = kde.influence(pair.points, weights)
            variance += float(influence.var()) / len(influence)
    return Estimate(float(terms.mean()), math.sqrt(variance), n, name)


@dataclass(frozen=True)
class LogRatio:
    """Mean (nats) and variance (nats squared) of ``|log p - log q|`` over samples of p."""

    mean: Estimate
    variance: Estimate


def log_ratio(
    x: ArrayLike,
    y: ArrayLike | None,
    *,
    log_p: LogDensity | None = None,
    log_q: LogDensity | None = None,
    dims: Sequence[int] | None = None,
    held_out: float = 0.2,
    generator: torch.Generator | None = None,
) -> LogRatio:
    """Mean and variance of ``|log p - log q|`` on samples of p; densities as in :func:`kde_kl`.

    The errors are those of the evaluation points alone, densities being held fixed.

    Args:
        x: Samples of p, (N, *D).
        y: Samples of q, (M, *D); None if and only if ``log_q`` is given.
        log_p: Log density of p.
        log_q: Log density of q.
        dims: Coordinates of the flattened samples to keep.
        held_out: Share of ``x`` to evaluate on when p is estimated.
        generator: Chooses the held-out samples.

    Raises:
        InvalidInputError: As :func:`kde_kl`.

    Source: Albergo, Boffi & Vanden-Eijnden, arXiv:2303.08797.
    """
    pair = _log_densities("log_ratio", x, y, log_p, log_q, dims, held_out, generator)
    gaps = (pair.log_p - pair.log_q).abs()
    n = len(gaps)
    if bool(torch.isinf(gaps).any()):
        infinite = Estimate(math.inf, math.inf, n, "mean |log p - log q|")
        return LogRatio(infinite, Estimate(math.inf, math.inf, n, "variance of |log p - log q|"))
    squares = (gaps - gaps.mean()).square()
    return LogRatio(
        Estimate(float(gaps.mean()), float(gaps.std()) / math.sqrt(n), n, "mean |log p - log q|"),
        Estimate(float(gaps.var()), float(squares.std()) / math.sqrt(n), n, "variance of |log p - log q|"),
    )


@dataclass(frozen=True)
class _Pair:
    points: Tensor
    log_p: Tensor
    log_q: Tensor
    kde_p: GaussianKDE | None
    kde_q: GaussianKDE | None


def _log_densities(
    who: str,
    x: ArrayLike,
    y: ArrayLike | None,
    log_p: LogDensity | None,
    log_q: LogDensity | None,
    dims: Sequence[int] | None,
    held_out: float,
    generator: torch.Generator | None,
) -> _Pair:
    """Both log densities at the evaluation points."""
    if (y is None) == (log_q is None):
        given = "neither" if y is None else "both"
        raise invalid(who, "exactly one of y and log_q must be passed", given)
    number(who, "held_out", held_out, above=0, below=1)
    first = one_sample(who, "x", x, flat=False)
    if y is not None:
        first, second = pooled(who, first, y, flat=False)
    if dims is not None:
        first = _select(who, first, dims)
        second = _select(who, second, dims) if y is not None else first
    width = first[0].numel()
    if log_p is None or log_q is None:
        _check_width(who, width)

    points, kde_p = first, None
    if log_p is None:
        order = shuffled(len(first), generator).to(first.device)
        count = max(2, round(held_out * len(first)))
        if len(first) - count <= width:
            rule = f"x must have more than {width} samples that are not held out"
            raise invalid(who, rule, len(first) - count, "Use more samples or a smaller held_out.")
        points, kde_p = first[order[:count]], GaussianKDE(first[order[count:]])
    kde_q = GaussianKDE(second) if log_q is None else None
    values_p = kde_p.log_prob(points) if kde_p is not None else _known(who, "log_p", log_p, points)
    values_q = kde_q.log_prob(points) if kde_q is not None else _known(who, "log_q", log_q, points)
    if not bool(torch.isfinite(values_p).all()):
        raise invalid(who, "log_p must be finite on samples of p", "an infinite value", "Do x and log_p fit?")
    return _Pair(points, values_p, values_q, kde_p, kde_q)


def _known(who: str, name: str, log_density: LogDensity | None, points: Tensor) -> Tensor:
    assert log_density is not None
    values = log_density(points).detach().to(torch.float64)
    if values.shape != (len(points),):
        raise invalid(who, f"{name} must return shape ({len(points)},)", f"shape {tuple(values.shape)}")
    if bool((torch.isnan(values) | (values == math.inf)).any()):
        raise invalid(who, f"{name} must return numbers below infinity", "NaN or infinity")
    return values


def _select(who: str, samples: Tensor, dims: Sequence[int]) -> Tensor:
    flat = samples.reshape(len(samples), -1)
    if not dims or len(set(dims)) != len(dims) or not all(0 <= d < flat.shape[1] for d in dims):
        raise invalid(who, f"dims must be distinct and lie in 0..{flat.shape[1] - 1}", tuple(dims))
    return flat[:, list(dims)]


def _check_width(who: str, width: int) -> None:
    if width > 3:
        remedy = "Choose coordinates (dims=(0, 1) in kde_kl), or use energy_distance or sliced_wasserstein."
        raise invalid(who, "a density estimate needs at most 3 dimensions", width, remedy)


def _least_variance(terms: Tensor, ratio: Tensor) -> float:
    """The c that makes ``terms + c (ratio - 1)`` vary least; 0 where the ratio overflows or is constant."""
    deviation = ratio - ratio.mean()
    spread = float(deviation.square().sum())
    if not math.isfinite(spread) or spread == 0:
        return 0.0
    return -float((deviation * (terms - terms.mean())).sum()) / spread
