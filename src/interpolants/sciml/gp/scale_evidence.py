"""Evidence and predictions of Gaussian processes whose scale is random, for many data sets at once.

``f | s ~ GP(0, s K)`` with a scale s of its own for each data set (group). Letters: G groups, n the most values of
one, ``a, b`` shape and rate of the inverse gamma law of s, ``r = b / a``, ``q = y^T K^{-1} y``; K includes the noise
where that is scaled too. Groups are padded to n by rows that are independent of all others and 0, which change nothing.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.checks import one_of, positive, whole

# Laws of the scale: the first has a closed form.
PRIORS = ("inverse_gamma", "gamma", "lognormal")
# Nodes of a quadrature over log s; widths of its middle, and exponents after which a tail is cut.
_NODES, _MIDDLE, _TAIL = 400, 8.0, 36.0


@dataclass(frozen=True, eq=False)
class Groups:
    """Values by group, padded.

    Attributes:
        x: Inputs, ``(G, n, d)``.
        y: Values, ``(G, n)``; 0 where padded.
        seen: Where there is a value, bool ``(G, n)``.
    """

    x: Tensor
    y: Tensor
    seen: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, codes: Tensor) -> "Groups":
        """From rows ``(N, d)``, ``(N,)`` and the group of each, ``0 .. G - 1``."""
        counts = torch.bincount(codes)
        order = codes.argsort(stable=True)
        place = torch.arange(len(codes)) - (counts.cumsum(0) - counts)[codes[order]]
        shape = (len(counts), int(counts.max()))
        padded = x.new_zeros(*shape, x.shape[1]), y.new_zeros(shape), torch.zeros(shape, dtype=torch.bool)
        at = codes[order], place
        for part, rows in zip(
            padded, (x[order], y[order], torch.ones(len(x), dtype=torch.bool)), strict=True
        ):
            part[at] = rows
        return cls(*padded)

    @property
    def counts(self) -> Tensor:
        """Values of each group, ``(G,)`` float64."""
        return self.seen.sum(1).double()

    def masked(self, gram: Tensor) -> Tensor:
        """Covariances ``(G, n, n)`` whose padded rows are those of the unit matrix."""
        both = self.seen[:, :, None] & self.seen[:, None, :]
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
        return torch.where(both, gram, eye * ~self.seen[:, :, None])


@dataclass(frozen=True, eq=False)
class Factored:
    """Groups with the factor of their covariance.

    Attributes:
        factor: Lower, ``(G, n, n)``.
        alpha: ``K^{-1} y``, ``(G, n)``.
        energy: q, ``(G,)``.
        log_determinant: ``log |K|``, ``(G,)``.
    """

    factor: Tensor
    alpha: Tensor
    energy: Tensor
    log_determinant: Tensor

    @classmethod
    def of(cls, gram: Tensor, y: Tensor) -> "Factored":
        """Factor covariances ``(G, n, n)``; differentiable."""
        factor = torch.linalg.cholesky(gram)
        white = torch.linalg.solve_triangular(factor, y[..., None], upper=False)
        alpha = torch.linalg.solve_triangular(factor.mT, white, upper=True)[..., 0]
        logs = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        return cls(factor, alpha, white.square().sum((1, 2)), logs)


def student_evidence(energy: Tensor, log_determinant: Tensor, count: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Log density of each group's values under ``s ~ IG(a, b)``: Student's t with 2 a degrees of freedom, nats.

    ``log Gamma(a + n/2) - log Gamma(a) + a log b - (a + n/2) log(b + q/2) - log|K|/2 - n log(2 pi)/2``.
    """
    half = count / 2
    found = torch.lgamma(a + half) - torch.lgamma(a) + a * b.log() - (a + half) * (b + energy / 2).log()
    return found - 0.5 * log_determinant - half * math.log(2 * math.pi)


def gaussian_evidence(energy: Tensor, log_determinant: Tensor, count: Tensor, scale: Tensor) -> Tensor:
    """Log density of each group's values for a known scale, nats."""
    return -0.5 * (energy / scale + log_determinant + count * (2 * math.pi * scale).log())


def log_scale_density(kind: str, u: Tensor, a: Tensor, r: Tensor) -> Tensor:
    """Log density of ``u = log s`` for a law of the scale s with typical scale r and concentration a.

    ``"inverse_gamma"``: IG(a, a r); ``"gamma"``: shape a and mean r; ``"lognormal"``: ``u ~ N(log r, 1 / a)``. All tend
    to s = r for large a, and all log densities are concave in u.

    Raises:
        InvalidInputError: If the law is unknown.
    """
    one_of("log_scale_density", "kind", kind, PRIORS)
    v = u - r.log()
    if kind == "lognormal":
        return 0.5 * (a / (2 * math.pi)).log() - 0.5 * a * v.square()
    sign = 1.0 if kind == "gamma" else -1.0
    return a * a.log() - torch.lgamma(a) + sign * a * v - a * torch.exp(sign * v)


def scale_posterior(
    kind: str, energy: Tensor, count: Tensor, a: Tensor, r: Tensor, *, nodes: int = _NODES
) -> tuple[Tensor, Tensor]:
    """Scales and log weights ``(K, G)`` of a quadrature over s given the values of each group.

    The weights add up to ``int p(s) s^(-n/2) exp(-q / (2 s)) ds``. The integrand over ``u = log s`` is log-concave: the
    trapezoidal rule about its mode, as wide as its curvature there says, converges faster than any power. Without
    values, ``energy = count = 0``, it is a quadrature of the law itself, whose weights add up to 1.

    Args:
        kind: Law of the scale, one of `PRIORS`.
        energy: q, ``(G,)``.
        count: n, ``(G,)``.
        a: Concentration of the law.
        r: Its typical scale.
        nodes: K.
    """

    def log_density(u: Tensor) -> Tensor:
        return log_scale_density(kind, u, a, r) - 0.5 * (count * u + energy * torch.exp(-u))

    with torch.no_grad():
        mode, curvature = _mode(kind, energy, count, a.detach(), r.detach())
        half = (_MIDDLE + _TAIL / curvature.sqrt()) / curvature.sqrt()
        u = mode + half * torch.linspace(-1, 1, nodes, dtype=torch.float64)[:, None]
        step = 2 * half / (nodes - 1)
    return u.exp(), log_density(u) + step.log()


def _mode(kind: str, energy: Tensor, count: Tensor, a: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
    """Mode of the log density of ``u = log s``, and minus its curvature there, ``(G,)`` each, by steps of Newton."""
    # Where the law is alone, and where the values are alone, weighed by how sharp they are.
    alone = torch.where(count > 0, (energy / count.clamp_min(1)).clamp_min(1e-300), r).log()
    u = (a * r.log() + 0.5 * count * alone) / (a + 0.5 * count)
    for _ in range(200):
        pull = torch.exp((u - r.log()) if kind == "gamma" else (r.log() - u))
        told = 0.5 * energy * torch.exp(-u)
        if kind == "lognormal":
            slope, curvature = -a * (u - r.log()), a.expand_as(u)
        else:
            slope, curvature = (a - a * pull if kind == "gamma" else a * pull - a), a * pull
        slope, curvature = slope + told - 0.5 * count, curvature + told
        step = (slope / curvature).clamp(-1, 1)
        u = u + step
        if float(step.abs().max()) < 1e-10:
            break
    return u, curvature


def mixture_evidence(
    kind: str, energy: Tensor, log_determinant: Tensor, count: Tensor, a: Tensor, r: Tensor
) -> Tensor:
    """Log density of each group's values under any law of the scale, nats, by quadrature."""
    weights = scale_posterior(kind, energy, count, a, r)[1]
    return weights.logsumexp(0) - 0.5 * (log_determinant + count * math.log(2 * math.pi))


def inverse_gamma_kl(a: Tensor, b: Tensor, a0: Tensor, b0: Tensor) -> Tensor:
    """``KL(IG(a, b) || IG(a0, b0))`` in nats."""
    gap = (a - a0) * torch.digamma(a) - torch.lgamma(a) + torch.lgamma(a0)
    return gap + a0 * (b.log() - b0.log()) + a * (b0 - b) / b


def scale_nodes(a: float, b: float, count: int) -> tuple[Tensor, Tensor]:
    """Scales and log weights ``(count,)`` of a quadrature for ``s ~ IG(a, b)``.

    ``u = log s`` has the density ``b^a exp(-a u - b e^{-u}) / Gamma(a)``, whose tails fall exponentially: the
    trapezoidal rule on a wide enough interval converges faster than any power.
    """
    for name, value in (("a", a), ("b", b)):
        positive("scale_nodes", name, value)
    whole("scale_nodes", "count", count, at_least=2)
    # Below its mode the density falls doubly exponentially, above it like s^-a; for large a it is nearly Gaussian.
    middle, width = math.log(b / a), 8 / math.sqrt(a)
    low = max(math.log(b) - math.log(30 + 3 * a), middle - width)
    u = torch.linspace(low, min(middle + width / 2 + 16 / a, 300.0), count, dtype=torch.float64)
    log = a * math.log(b) - math.lgamma(a) - a * u - b * torch.exp(-u) + math.log(float(u[1] - u[0]))
    return u.exp(), log - log.logsumexp(0)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of one covariance without noise, and values in its eigenbasis: one for all scales and noises.

    Attributes:
        level: ``(n,)``.
        base: ``(n, n)``.
        turned: ``base^T y``, ``(n,)``.
    """

    level: Tensor
    base: Tensor
    turned: Tensor

    @classmethod
    def of(cls, gram: Tensor, y: Tensor) -> "Spectrum":
        """Of a covariance ``(n, n)`` and values ``(n,)``."""
        level, base = torch.linalg.eigh(gram)
        return cls(level.clamp_min(0), base, base.mT @ y)

    def log_density(self, scale: Tensor, noise: float) -> Tensor:
        """Log density of the values for scales ``(K,)`` and a noise variance that is not scaled, ``(K,)``."""
        spread = scale[:, None] * self.level + noise
        each = self.turned.square() / spread + spread.log() + math.log(2 * math.pi)
        return -0.5 * each.sum(1)

    def moments(self, across: Tensor, own: Tensor, scale: Tensor, noise: float) -> tuple[Tensor, Tensor]:
        """Mean and variance of f at B inputs for each scale, both ``(K, B)``.

        Args:
            across: Covariances with the inputs of the values, without scale, ``(B, n)``.
            own: Variances, without scale, ``(B,)``.
            scale: ``(K,)``.
            noise: Variance.
        """
        turned = across @ self.base
        gain = scale[:, None] / (scale[:, None] * self.level + noise)
        mean = gain * self.turned @ turned.mT
        variance = scale[:, None] * (own - gain @ turned.square().mT)
        return mean, variance
