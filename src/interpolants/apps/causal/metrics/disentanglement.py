"""Disentanglement, completeness and informativeness of codes with respect to known factors.

Letters: N rows, K codes, F factors, R importance of code k for factor f, ``(K, F)``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid

_SWEEPS, _DONE = 500, 1e-9


@dataclass(frozen=True)
class Disentanglement:
    """What :func:`dci` found.

    Attributes:
        disentanglement: Whether each code is about one factor, 0 to 1; codes weighed by their importance.
        completeness: Whether each factor is in one code, 0 to 1.
        informativeness: Share of the variance of the factors that a linear function of the codes tells, their mean.
        importance: R, ``(K, F)``, not negative.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Tensor


def dci(codes: Tensor, factors: Tensor, *, penalty: float = 0.01) -> Disentanglement:
    """Disentanglement, completeness and informativeness, by the weights of lasso regressions of the factors.

    Codes and factors get mean 0 and standard deviation 1; R are the absolute weights of the lasso. With shares P along
    a row of R, the code has ``1 - H(P)``, H the entropy to base F; and likewise along columns, to base K.

    Args:
        codes: ``(N, K)``; a code that does not vary has no importance.
        factors: ``(N, F)``, F >= 2, each of which varies.
        penalty: Weight of the sum of absolute weights.

    Raises:
        InvalidInputError: If shapes do not fit, something is not finite, or a factor does not vary.

    Source: Eastwood & Williams (2018), A framework for the quantitative evaluation of disentangled representations.
    """
    number("dci", "penalty", penalty, at_least=0)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or factors.shape[1] < 2:
        rule = "codes must be (N, K) and factors (N, F) with F >= 2"
        raise invalid("dci", rule, f"{tuple(codes.shape)} and {tuple(factors.shape)}")
    if not (bool(codes.isfinite().all()) and bool(factors.isfinite().all())):
        raise invalid(
            "dci", "codes and factors must be finite", "NaN or infinity", "Leave out rows with gaps."
        )
    x, y = _standard(codes), _standard(factors)
    if bool((y.square().sum(0) == 0).any()):
        raise invalid("dci", "every factor must vary", "a constant one")
    weights = lasso(x, y, penalty)
    told = 1 - (y - x @ weights).square().mean(0)
    size = weights.abs()
    return Disentanglement(_specific(size), _specific(size.T), float(told.clamp_min(0).mean()), size)


def lasso(x: Tensor, y: Tensor, penalty: float) -> Tensor:
    """Weights ``(K, F)`` that minimise ``|y - x w|^2 / (2 N) + penalty |w|_1``, by coordinate descent.

    Args:
        x: ``(N, K)``, centred.
        y: ``(N, F)``, centred.
        penalty: Weight of the absolute weights.

    Source: Friedman, Hastie & Tibshirani (2010), Journal of Statistical Software 33.
    """
    gram, target = x.T @ x / len(x), x.T @ y / len(x)
    weights = torch.zeros_like(target)
    for _ in range(_SWEEPS):
        before = weights.clone()
        for k in range(len(gram)):
            if gram[k, k] > 0:
                rest = target[k] - gram[k] @ weights + gram[k, k] * weights[k]
                weights[k] = rest.sign() * (rest.abs() - penalty).clamp_min(0) / gram[k, k]
        if float((weights - before).abs().max()) < _DONE:
            break
    return weights


def _standard(x: Tensor) -> Tensor:
    size = x.double().abs().amax(0)
    x = x.double() / torch.where(size > 0, size, 1.0)  # of size one: a constant then varies by rounding alone
    centred = x - x.mean(0)
    spread = centred.square().mean(0).sqrt()
    return torch.where(spread > 1e-12, centred / spread.clamp_min(1e-12), 0.0)


def _specific(size: Tensor) -> float:
    """Mean of ``1 - H`` over rows of R, weighed by their sums."""
    if size.shape[1] < 2:
        return 1.0
    total = size.sum(1)
    if not float(total.sum()):
        return 0.0
    share = size / total.clamp_min(1e-300)[:, None]
    entropy = -(share * share.clamp_min(1e-300).log()).sum(1) / torch.tensor(float(size.shape[1])).log()
    return float(((1 - entropy) * total).sum() / total.sum())
