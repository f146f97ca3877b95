"""Bayesian linear heads of classifiers for many tasks at once: the mode by Newton's method, and its Gaussian.

Letters: E tasks, n rows, F features, K classes; ``z`` features with a last column of ones, ``theta (E, F, K)`` weights
with the prior ``N(0, s_f)``, softmax likelihood.
"""

import torch
from torch import Tensor
from torch.nn import functional

_STEPS, _HALVINGS = 30, 6
_TOLERANCE = 1e-8
# Rounds from the mode to the posterior, and the share of the way that each goes.
_ROUNDS, _SHARE = 8, 0.7


def with_ones(z: Tensor, *, learnt: bool) -> Tensor:
    """Features with a column for the bias: ``(..., F - 1) -> (..., F)``.

    Those of a network get mean zero and length 1 in each row. Rows as they are keep theirs, which may be all that tells
    classes apart; standardised columns then make them about as long.
    """
    z = (functional.layer_norm(z, z.shape[-1:]) if learnt else z) / z.shape[-1] ** 0.5
    return torch.cat([z, torch.ones_like(z[..., :1])], -1)


def loss(theta: Tensor, z: Tensor, labels: Tensor) -> Tensor:
    """Summed negative log-likelihood of each task, ``(E,)``; labels ``(E, n)``."""
    found: Tensor = functional.cross_entropy((z @ theta).mT, labels, reduction="none").sum(1)
    return found


@torch.no_grad()
def mode(z: Tensor, labels: Tensor, s: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Most probable weights ``(E, F, K)`` and the curvature of minus the log posterior there, ``(E, FK, FK)``.

    Newton's method with halved steps; the function is strictly convex.
    """
    theta = z.new_zeros(len(z), z.shape[2], classes)

    def value(theta: Tensor) -> Tensor:
        return loss(theta, z, labels) + 0.5 * (theta.square() / s[:, None]).sum((1, 2))

    now = value(theta)
    for _ in range(_STEPS):
        slope, curvature = _derivatives(theta, z, labels, s)
        step = torch.linalg.solve(curvature, slope.flatten(1)).reshape(theta.shape)
        shares = 0.5 ** torch.arange(_HALVINGS, dtype=z.dtype, device=z.device)
        tried = torch.stack([value(theta - share * step) for share in shares])
        best, which = tried.min(0)
        better = best < now - _TOLERANCE
        if not bool(better.any()):
            break
        theta = torch.where(better[:, None, None], theta - shares[which][:, None, None] * step, theta)
        now = torch.where(better, best, now)
    return theta, _derivatives(theta, z, labels, s)[1]


def _derivatives(theta: Tensor, z: Tensor, labels: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian of minus the log posterior."""
    p = torch.softmax(z @ theta, -1)
    slope = z.mT @ (p - functional.one_hot(labels, p.shape[-1])) + theta / s[:, None]
    weight = torch.diag_embed(p) - p[..., :, None] * p[..., None, :]
    return slope, _curvature(z, weight, s)


@torch.no_grad()
def posterior(z: Tensor, labels: Tensor, s: Tensor, classes: int, xi: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(E, F, K)`` and precision ``(E, FK, FK)`` of the Gaussian q that minimises ``E_q l + KL(q | N(0, S))``.

    At the minimum the mean slope under q is zero, and the precision is the mean curvature under q; both are iterated
    from the mode. Where classes can be separated, the curvature at the mode alone is far too small.

    Args:
        z: Features ``(E, n, F)``.
        labels: ``(E, n)``.
        s: Prior variances ``(F,)``.
        classes: K.
        xi: Standard normal numbers ``(draws, K)`` for the means under q.

    Source: Opper & Archambeau (2009), Neural Computation 21, 786-792, for the conditions.
    """
    theta, precision = mode(z, labels, s, classes)
    target = functional.one_hot(labels, classes)
    for _ in range(_ROUNDS):
        p = torch.softmax(_drawn(z, theta, torch.linalg.inv(precision), xi), -1)
        weight = (torch.diag_embed(p) - p[..., :, None] * p[..., None, :]).mean(2)
        slope = z.mT @ (p.mean(2) - target) + theta / s[:, None]
        curvature = _curvature(z, weight, s)
        precision = torch.lerp(precision, curvature, _SHARE)
        theta = theta - _SHARE * torch.linalg.solve(precision, slope.flatten(1)).reshape(theta.shape)
    return theta, precision


def _curvature(z: Tensor, weight: Tensor, s: Tensor) -> Tensor:
    """``sum_n z z^T kron weight_n + S^-1``, ``(E, FK, FK)``."""
    e, f, k = len(z), z.shape[2], weight.shape[-1]
    found = torch.einsum("enf,eng,enkl->efkgl", z, z, weight).reshape(e, f * k, f * k)
    total: Tensor = found + torch.diag((1 / s).repeat_interleave(k))
    return total


def _drawn(z: Tensor, theta: Tensor, covariance: Tensor, xi: Tensor) -> Tensor:
    """Logits of rows under q, ``(E, n, draws, K)``, with the same normal numbers for every row."""
    e, f, k = theta.shape
    spread = torch.einsum("enf,efkgl,eng->enkl", z, covariance.reshape(e, f, k, f, k), z)
    root = torch.linalg.cholesky(spread + 1e-10 * torch.eye(k, dtype=z.dtype, device=z.device))
    logits: Tensor = (z @ theta)[:, :, None] + xi @ root.mT
    return logits


def divergence(theta: Tensor, curvature: Tensor, s: Tensor) -> Tensor:
    """``KL(N(theta, H^-1) | N(0, S))`` of each task, ``(E,)`` in nats, differentiable in s."""
    variance = s.repeat_interleave(theta.shape[2])
    inverse = torch.linalg.inv(curvature).diagonal(dim1=1, dim2=2)
    second = inverse + theta.flatten(1).square()
    logs = variance.log().sum() + torch.logdet(curvature)
    found: Tensor = 0.5 * ((second / variance - 1).sum(1) + logs)
    return found


def probabilities(z: Tensor, theta: Tensor, covariance: Tensor, xi: Tensor) -> Tensor:
    """Class probabilities of rows ``z (B, F)`` averaged over the posterior of one task, ``(B, K)``.

    Args:
        z: Features.
        theta: ``(F, K)``.
        covariance: ``(FK, FK)``.
        xi: Standard normal numbers ``(draws, K)``, the same for every row.
    """
    drawn = _drawn(z[None], theta[None], covariance[None], xi)
    found: Tensor = torch.softmax(drawn[0], -1).mean(1)
    return found
