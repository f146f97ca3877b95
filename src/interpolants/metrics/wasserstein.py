"""Exact Wasserstein-2 distance between two sets of samples, and in closed form between Gaussians."""

import math

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.checks import finite, shaped
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.extras import require
from interpolants.metrics.estimate import Estimate, root
from interpolants.metrics.pairwise import squared_distances
from interpolants.metrics.samples import ArrayLike, pooled

_RELAXATIONS = 100


def wasserstein(
    x: ArrayLike, y: ArrayLike, *, max_samples: int = 4096, generator: torch.Generator | None = None
) -> Estimate:
    """Exact W2 of two empirical distributions, ``sqrt(min over couplings of E|X - Y|^2)``, in data units.

    Sets of equal size are matched by an assignment, others by the network simplex. The value is biased
    upwards by O(N^-1/D): compare it with :func:`estimate.floor` at the same size.

    The error is analytic: W2^2 changes with a sample by its Kantorovich potential, so its variance is
    ``var phi(x) / N + var psi(y) / M`` with optimal dual potentials. Near zero, where W2^2 is
    quadratic in the noise, it is too large, by about sqrt(2) in low dimension.

    Args:
        x: First set, (N, *D), N >= 2.
        y: Second set, (M, *D), M >= 2.
        max_samples: Largest N or M; time grows as the cube, memory as the square (128 MB at 4,096).
        generator: Not used: nothing is drawn. Accepted so that all metrics are called alike.

    Raises:
        InvalidInputError: If a set is too small or too large, not floating point or not finite, or the event
            shapes differ.
        MissingExtraError: If SciPy (or POT, for different sizes) is not installed.
        DivergedError: If the network simplex stops before the optimum.

    Source: Peyre & Cuturi, arXiv:1803.00567; del Barrio & Loubes, arXiv:1705.01299, for the error.
    """
    x, y = pooled("wasserstein", x, y)
    if max(len(x), len(y)) > max_samples:
        remedy = "Pass a random subsample, raise max_samples, or use sliced_wasserstein, which is O(N log N)."
        raise invalid(
            "wasserstein", f"x and y may have at most {max_samples} samples", (len(x), len(y)), remedy
        )
    centre = x.mean(0)
    cost = squared_distances(x - centre, y - centre).cpu()
    squared, phi, psi = _assign(cost) if len(x) == len(y) else _simplex(cost)
    variance = float(phi.var() / len(x) + psi.var() / len(y))
    value, error = root(squared, variance)
    return Estimate(value, error, min(len(x), len(y)), "W2")


def bures_wasserstein(mean0: ArrayLike, cov0: ArrayLike, mean1: ArrayLike, cov1: ArrayLike) -> float:
    """W2 between N(mean0, cov0) and N(mean1, cov1), in data units.

    ``W2^2 = |mean0 - mean1|^2 + tr cov0 + tr cov1 - 2 |S0^T S1|_nuclear`` with ``cov_i = S_i S_i^T``; the
    nuclear norm equals ``tr (cov0^1/2 cov1 cov0^1/2)^1/2`` without the square root of a product.

    Args:
        mean0: (D,) or a number.
        cov0: (D, D) or a number; symmetric, positive semi-definite; singular is allowed.
        mean1: Like ``mean0``.
        cov1: Like ``cov0``.

    Raises:
        InvalidInputError: If a shape does not fit, or a covariance is not symmetric or has a negative
            eigenvalue.

    Source: Olkin & Pukelsheim, Linear Algebra Appl. 48 (1982).
    """
    m0, s0 = _gaussian("0", mean0, cov0)
    m1, s1 = _gaussian("1", mean1, cov1)
    if m0.shape != m1.shape:
        raise invalid(
            "bures_wasserstein", "both means must have one size", (tuple(m0.shape), tuple(m1.shape))
        )
    nuclear = torch.linalg.svdvals(s0.T @ s1).sum()
    squared = (m0 - m1).square().sum() + s0.square().sum() + s1.square().sum() - 2 * nuclear
    return math.sqrt(max(float(squared), 0.0))


def _gaussian(which: str, mean: ArrayLike, cov: ArrayLike) -> tuple[Tensor, Tensor]:
    """Mean (D,) and a factor S of the covariance, (D, D)."""
    who = "bures_wasserstein"
    m = torch.as_tensor(mean, dtype=torch.float64, device="cpu").detach().reshape(-1)
    c = torch.as_tensor(cov, dtype=torch.float64, device="cpu").detach()
    c = c.reshape(1, 1) if c.ndim == 0 else c
    shaped(who, f"cov{which}", c, len(m), len(m))
    finite(who, f"mean{which}", m)
    finite(who, f"cov{which}", c)
    scale = float(c.abs().max())
    asymmetry = float((c - c.T).abs().max())
    if asymmetry > 1e-6 * scale:
        raise invalid(who, f"cov{which} must be symmetric", f"an asymmetry of {asymmetry:.3g}")
    values, vectors = torch.linalg.eigh((c + c.T) / 2)
    if float(values.min()) < -1e-6 * scale:
        rule = f"cov{which} must be positive semi-definite"
        raise invalid(who, rule, f"an eigenvalue of {float(values.min()):.3g}")
    return m, vectors * values.clamp(min=0).sqrt()


def _assign(cost: Tensor) -> tuple[float, Tensor, Tensor]:
    """W2^2 and dual potentials of an N x N cost."""
    optimize = require("scipy.optimize", by="wasserstein")
    _, columns = optimize.linear_sum_assignment(cost.numpy())
    matched = cost[:, torch.as_tensor(columns)]  # the optimal pairs are now on the diagonal
    diagonal = matched.diagonal()
    # Least-squares potential over all pairs (exact for affine maps), then shortest paths until it is feasible.
    phi = (diagonal + matched.mean(1) - matched.mean(0)) / 2
    for _ in range(_RELAXATIONS):
        relaxed = (matched - (diagonal - phi)).amin(1)
        if torch.equal(relaxed, phi):
            break
        phi = relaxed
    return float(diagonal.mean()), phi, diagonal - phi


def _simplex(cost: Tensor) -> tuple[float, Tensor, Tensor]:
    """W2^2 and dual potentials of an N x M cost."""
    ot = require("ot", by="wasserstein with sets of different sizes")
    n, m = cost.shape
    scale = float(cost.max()) or 1.0  # the simplex has tolerances of its own, for costs of order one
    plan, log = ot.emd(
        np.full(n, 1 / n), np.full(m, 1 / m), (cost / scale).numpy(), numItermax=10_000_000, log=True
    )
    if log["warning"] is not None:
        raise DivergedError(f"wasserstein: the network simplex stopped early: {log['warning']}")
    squared = float((torch.as_tensor(plan) * cost).sum())
    return squared, scale * torch.as_tensor(log["u"]), scale * torch.as_tensor(log["v"])
