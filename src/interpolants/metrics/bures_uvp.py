"""Unexplained variance of a transport, with distributions replaced by Gaussians of the same moments.

``BW2-UVP = 100 BW2^2(model, truth) / (Var(truth)/2)``, in percent: 0 for equal moments, about 200 for a constant map to
the mean. The conditional version averages over start points, ``cBW2-UVP = 100 E BW2^2(pi(.|x0), pi*(.|x0)) / (Var/2)``:
it sees the coupling, where the plain one sees only where the mass arrives.
"""

import math

import torch
from torch import Tensor

from interpolants.foundations.checks import finite, positive
from interpolants.foundations.errors import invalid
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike, pooled


def bw2_uvp(x: ArrayLike, y: ArrayLike, *, generator: torch.Generator | None = None) -> Estimate:
    """Unexplained variance of the samples ``x`` of a model against true ones ``y``, in percent.

    The error is analytic: BW2^2 changes with a sample of x by ``2 (m - n) . a + a . (Id - A) a`` for its deviation a
    from the mean m, A the optimal linear map. Where both distributions agree, both terms vanish, and what is left is a
    bias of order D/N, which :func:`estimate.floor` shows.

    Args:
        x: Samples of the model, (N, *D), N >= 2.
        y: True samples, (M, *D), M >= 2.
        generator: Not used: nothing is drawn. Accepted so that all metrics are called alike.

    Raises:
        InvalidInputError: If a set is too small, not floating point or not finite, the event shapes differ, or all
            true samples are equal.

    Source: Korotin, Gushchin & Burnaev (2024), arXiv:2310.01174, section 5.2, for the metric; the error is ours.
    """
    x, y = pooled("bw2_uvp", x, y)
    mean0, mean1 = x.mean(0), y.mean(0)
    a, b = x - mean0, y - mean1
    cov0, cov1 = a.mT @ a / (len(x) - 1), b.mT @ b / (len(y) - 1)
    half = float(cov1.diagonal().sum()) / 2
    if not half > 0 or bool((y == y[0]).all()):  # the mean of equal rows is rounded, and so their variance
        raise invalid("bw2_uvp", "true samples must differ", "a variance of 0")
    squared = float(bures_squared(mean0[None], cov0[None], mean1[None], cov1[None]))
    shift = 2 * (mean0 - mean1)
    variance = float(_influence(a, shift, cov0, cov1).var() / len(x))
    variance += float(_influence(b, -shift, cov1, cov0).var() / len(y))
    return Estimate(100 * squared / half, 100 * math.sqrt(variance) / half, min(len(x), len(y)), "BW2-UVP")


def cbw2_uvp(
    mean: ArrayLike,
    covariance: ArrayLike,
    true_mean: ArrayLike,
    true_covariance: ArrayLike,
    *,
    variance: float,
) -> Estimate:
    """Unexplained variance of a plan's conditionals, in percent, over B start points drawn from rho0.

    Args:
        mean: ``E[x1 | x0]`` of the model, (B, D), B >= 2.
        covariance: ``Cov[x1 | x0]`` of the model, (B, D, D); of samples of it if there is no closed form.
        true_mean: The same of the true plan.
        true_covariance: The same of the true plan.
        variance: Total variance ``tr Cov(x1)`` of the true distribution, data units squared.

    Returns:
        The mean over start points and its standard error.

    Raises:
        InvalidInputError: If shapes disagree, values are not finite, or the variance is not positive.

    Source: Gushchin, Kolesov, Mokrov et al. (2023), arXiv:2306.10161, section 5.
    """
    who = "cbw2_uvp"
    parts = [
        torch.as_tensor(part).detach().double() for part in (mean, covariance, true_mean, true_covariance)
    ]
    m0, c0, m1, c1 = parts
    if m0.ndim != 2 or len(m0) < 2:
        raise invalid(who, "mean must have shape (B, D), B >= 2", tuple(m0.shape))
    shapes = [tuple(part.shape) for part in parts]
    wanted = [tuple(m0.shape), (*m0.shape, m0.shape[1])] * 2
    if shapes != wanted:
        raise invalid(who, f"means and covariances must have shapes {wanted[:2]}", shapes)
    for part in parts:
        finite(who, "means and covariances", part)
    positive(who, "variance", variance)
    values = 100 * bures_squared(m0, c0, m1, c1) / (variance / 2)
    return Estimate(
        float(values.mean()), float(values.std()) / math.sqrt(len(values)), len(values), "cBW2-UVP"
    )


def bures_squared(mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor) -> Tensor:
    """Squared W2 between Gaussians, batched: means ``(B, D)``, covariances ``(B, D, D)`` -> ``(B,)``."""
    s0, s1 = _root(cov0), _root(cov1)
    nuclear = torch.linalg.svdvals(s0 @ s1).sum(-1)
    traces = cov0.diagonal(dim1=-2, dim2=-1).sum(-1) + cov1.diagonal(dim1=-2, dim2=-1).sum(-1)
    squared: Tensor = (mean0 - mean1).square().sum(-1) + traces - 2 * nuclear
    return squared.clamp_min(0)


def _influence(apart: Tensor, shift: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """First-order change of BW2^2 by each sample of the first distribution; ``apart (N, D)`` -> ``(N,)``."""
    root = _root(own)
    values, vectors = torch.linalg.eigh(own)
    # Directions without variance carry no samples either.
    inverse = torch.where(values > 1e-12 * values.max(), values.clamp_min(1e-300).rsqrt(), 0.0)
    unroot = (vectors * inverse) @ vectors.mT
    linear: Tensor = unroot @ _root(root @ other @ root) @ unroot
    influence: Tensor = apart @ shift + (apart * (apart - apart @ linear)).sum(1)
    return influence


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mT
    return root
