"""Gaussians with covariance ``diag(s^2) + C C^T``: densities and entropies at the cost of the rank."""

import math

import torch
from torch import Tensor

from interpolants.foundations.errors import DivergedError


def log_density(gap: Tensor, std: Tensor, factor: Tensor) -> Tensor:
    """Log density of ``N(0, diag(std^2) + C C^T)`` at ``gap``, in nats.

    By Woodbury's identity, with ``M = 1 + C^T diag(std^-2) C``: the quadratic form is that of the diagonal less
    ``|chol(M)^-1 C^T diag(std^-2) gap|^2``.

    Args:
        gap: Difference from the mean, ``(..., n)``.
        std: Standard deviations s, ``(..., n)``, positive.
        factor: C, ``(..., n, k)``.
    """
    scaled, chol = _inner(std, factor)
    white = gap / std
    along = torch.linalg.solve_triangular(chol, scaled.mT @ white[..., None], upper=False)[..., 0]
    square = white.square().sum(-1) - along.square().sum(-1)
    found: Tensor = -(square + _log_determinant(std, chol) + gap.shape[-1] * math.log(2 * math.pi)) / 2
    return found


def entropy(std: Tensor, factor: Tensor) -> Tensor:
    """Entropy of ``N(., diag(std^2) + C C^T)``, ``(...)`` in nats."""
    _, chol = _inner(std, factor)
    return (_log_determinant(std, chol) + std.shape[-1] * (1 + math.log(2 * math.pi))) / 2


def _inner(std: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """``diag(1/std) C`` and the Cholesky factor of M.

    Raises:
        DivergedError: If M has no factor in this precision.
    """
    scaled = factor / std[..., None]
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    m = eye + scaled.mT @ scaled
    chol, failed = torch.linalg.cholesky_ex(m)
    # A pivot as small as the rounding of its diagonal is nothing but rounding, whatever its sign.
    pivots, diagonal = chol.diagonal(dim1=-2, dim2=-1).square(), m.diagonal(dim1=-2, dim2=-1)
    if bool(failed.any()) or bool((pivots < 4 * torch.finfo(m.dtype).eps * diagonal).any()):
        told = "a field's covariance has lost its digits: its own noise is tiny beside its factors"
        remedy = "Use units in which u and the residual are of size one, a larger eps, or a smaller lr."
        raise DivergedError(f"RandomGridProcess.fit: {told}. {remedy}")
    return scaled, chol


def _log_determinant(std: Tensor, chol: Tensor) -> Tensor:
    return 2 * std.log().sum(-1) + 2 * chol.diagonal(dim1=-2, dim2=-1).log().sum(-1)
