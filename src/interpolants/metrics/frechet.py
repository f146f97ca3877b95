"""Fréchet distance of two sets of samples in a feature space: that of Gaussians with their means and covariances."""

import torch
from torch import Tensor, nn

from interpolants.foundations.errors import invalid
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.features import Features, PrincipalComponents
from interpolants.metrics.samples import ArrayLike, one_sample, pooled

# Eigenvalues below this share of the largest one count as zero.
_SMALL = 1e-10
# Principal components by default.
_MOST = 20


def frechet_distance(
    x: ArrayLike, y: ArrayLike, *, features: Features | None = None, generator: torch.Generator | None = None
) -> Estimate:
    """Squared Fréchet distance ``|m - n|^2 + tr(S + T - 2 (S^1/2 T S^1/2)^1/2)`` of features; in their units, squared.

    m and S are mean and covariance of the features of ``x``, n and T those of ``y``. It sees these moments only. It is
    biased upwards by about ``F (1/N + 1/M)`` variances: compare sets of one size, or with :func:`floor`. The error is
    analytic, by the derivative of the distance in the moments; near zero, where the distance is quadratic in the noise,
    it is too small.

    Args:
        x: First set, ``(N, *D)``, N >= 2.
        y: Second set, ``(M, *D)``, the real one.
        features: A function from samples ``(N, *D)``, float64 or for a module float32, to features ``(N, F)``; by
            default the first 20 principal components of ``y``; where it varies in fewer, further ones in which
            ``x`` differs from it.
        generator: Not used: nothing is drawn. Accepted so that all metrics are called alike.

    Raises:
        InvalidInputError: If a set is too small, not floating point or not finite, the event shapes differ, or the
            features are no finite matrix.

    Source: Dowson & Landau, J. Multivariate Anal. 12 (1982); in features of images Heusel et al., arXiv:1706.08500.
    """
    who = "frechet_distance"
    x, y = pooled(who, x, y, flat=False)
    mapped = _components(x.flatten(1), y.flatten(1)) if features is None else features
    u, v = (_features(who, mapped, z) for z in (x, y))
    (m, s), (n, t) = (_moments(z) for z in (u, v))
    root = _root(s)
    middle = _root(root @ t @ root)
    value = float((m - n).square().sum() + (s.trace() + t.trace() - 2 * middle.trace()))
    forth, back = _transport(root, middle), _transport(_root(t), _root(_root(t) @ s @ _root(t)))
    spread = _influence(u, m, m - n, forth).var() / len(u) + _influence(v, n, n - m, back).var() / len(v)
    return Estimate(max(value, 0.0), float(spread.sqrt()), min(len(u), len(v)), "Fréchet distance")


def _components(x: Tensor, y: Tensor) -> PrincipalComponents:
    """Components of ``y (M, D)``, and where it varies in few directions, those of what ``x (N, D)`` has beside them."""
    known = PrincipalComponents(y.mean(0), y.new_zeros(y.shape[1], 0))
    if not bool((y == y[0]).all()):
        known = PrincipalComponents.of(y, _MOST)
    room = min(_MOST, y.shape[1]) - known.directions.shape[1]
    if not room:
        return known
    beside = x - known.mean
    beside = beside - (beside @ known.directions) @ known.directions.T
    further = torch.linalg.svd(beside, full_matrices=False).Vh[:room].T
    both = torch.linalg.qr(torch.cat([known.directions, further], 1)).Q  # rounding may have left them askew
    return PrincipalComponents(known.mean, both)


def _features(who: str, features: Features, x: Tensor) -> Tensor:
    with torch.no_grad():
        found = features(x.float() if isinstance(features, nn.Module) else x)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(x):
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise invalid(who, f"features must be a matrix with {len(x)} rows", got)
    return one_sample(who, "features", found)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(0), torch.cov(x.T).reshape(x.shape[1], x.shape[1])


def _root(matrix: Tensor) -> Tensor:
    """The symmetric root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    found: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return found


def _transport(root: Tensor, middle: Tensor) -> Tensor:
    """The optimal map of centred Gaussians, ``S^-1/2 (S^1/2 T S^1/2)^1/2 S^-1/2``; zero where S has no spread."""
    values, vectors = torch.linalg.eigh(root)
    inverse = torch.where(values > _SMALL * values.amax(), 1 / values, 0.0)
    pseudo: Tensor = (vectors * inverse) @ vectors.T
    return pseudo @ middle @ pseudo


def _influence(x: Tensor, mean: Tensor, shift: Tensor, transport: Tensor) -> Tensor:
    """By how much a row changes the distance, ``(N,)``: its derivative in mean and covariance."""
    centred = x - mean
    bent = centred @ (torch.eye(len(mean), dtype=x.dtype) - transport)
    return 2 * centred @ shift + (bent * centred).sum(1)
