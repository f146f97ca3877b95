"""Normal-inverse-Wishart hierarchy over tasks: its bound, local posteriors, and marginal likelihood.

Letters: task i has weights ``theta_i ~ N(mu, Sigma)``; ``q(mu, Sigma) = N(mu; m0, Sigma / l0) IW(Sigma; V0, n0)``,
``q_i(theta_i) = N(m_i, V_i)``; ``S = V0 / n0``; ``l_i`` summed negative log-likelihood of task i, near its own optimum
``(theta - mbar)^T Abar (theta - mbar) / 2``; d number of weights.

Source: Kim & Hospedales (2024), arXiv:2306.09702. That the bound of quadratic tasks is the marginal likelihood of
``mbar ~ N(m0, Abar^-1 + S)`` up to a function of n0 alone is ours; so S is learnt, and n0 is not.
"""

import math

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid


def log_det_mean(n: float, d: int) -> float:
    """``psi_d(n / 2) = sum_{j = 1 .. d} psi((n + 1 - j) / 2)``, n > d - 1."""
    if n <= d - 1:
        raise invalid(
            "normal_inverse_wishart", f"n0 must exceed d - 1 = {d - 1}", n, "Fix S = V0 / n0 instead."
        )
    terms = (n + 1 - torch.arange(1, d + 1, dtype=torch.float64)) / 2
    return float(torch.digamma(terms).sum())


def expected_divergence(
    m: Tensor, v: Tensor, m0: Tensor, v0: Tensor, n0: float, l0: float = math.inf
) -> Tensor:
    """``E_q KL(N(m, V) || N(mu, Sigma))`` over q(mu, Sigma), in nats.

    Args:
        m: ``(d,)``.
        v: ``(d, d)``.
        m0: ``(d,)``.
        v0: ``(d, d)``.
        n0: Degrees of freedom, > d - 1.
        l0: Precision of the mean in units of Sigma.

    Raises:
        InvalidInputError: If n0 is too small for a proper distribution.
    """
    d = len(m)
    apart = m - m0
    spread = n0 * (torch.linalg.solve(v0, v).trace() + apart @ torch.linalg.solve(v0, apart))
    logs = torch.logdet(v0) - torch.logdet(v) - d * math.log(2) - log_det_mean(n0, d)
    value: Tensor = 0.5 * (spread + d / l0 - d + logs)
    return value


def excess(n0: float, d: int) -> float:
    """``h(n0)``: by what the bound exceeds the marginal likelihood; falls to 0 as n0 grows, and knows nothing of S."""
    return 0.5 * (d * math.log(n0 / 2) - log_det_mean(n0, d))


def local_posterior(mbar: Tensor, abar: Tensor, m0: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the best q_i of a quadratic task with diagonal ``Abar`` and ``S``: all of one shape.

    ``V = (Abar + S^-1)^-1``, ``m = V (Abar mbar + S^-1 m0)``; differentiable in m0 and S.
    """
    v = s / (1 + abar * s)
    return v * (abar * mbar + m0 / s), v


def divergence(m: Tensor, v: Tensor, m0: Tensor, s: Tensor) -> Tensor:
    """``KL(N(m, V) || N(m0, S))`` of diagonal Gaussians, summed over the last axis, in nats."""
    each = (v + (m - m0).square()) / s - 1 + s.log() - v.log()
    return 0.5 * each.sum(-1)


def log_marginal(y: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Log density ``(B,)`` of ``y (B, n, C)`` under ``N(0, K)`` in each column, and the factor of K."""
    factor = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(factor, y, upper=False)
    scale = factor.diagonal(dim1=1, dim2=2).log().sum(1) + 0.5 * y.shape[1] * math.log(2 * math.pi)
    return -0.5 * white.square().flatten(1).sum(1) - y.shape[2] * scale, factor
