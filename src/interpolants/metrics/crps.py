"""Proper scores of ensembles: the continuous ranked probability score, and the energy score for vectors."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike, one_sample

# Numbers held at once by the pairwise differences of members.
_BUDGET = 2**23


def crps(members: ArrayLike, truth: ArrayLike, *, fair: bool = True) -> Estimate:
    """Continuous ranked probability score, ``E|X - y| - E|X - X'| / 2``, averaged over coordinates and cases.

    Lower is better; its expectation is least for the true distribution of each coordinate. For one member and
    ``fair=False`` it is the absolute error. The fair form removes the bias of a finite ensemble (so that 10 and 1000
    members of one distribution score alike on average); the other form scores the ensemble as the discrete distribution
    it is.

    Args:
        members: Ensembles, ``(B, M, *D)``, in data units.
        truth: What came, ``(B, *D)``.
        fair: Divide the spread term by ``M (M - 1)`` instead of ``M^2``; needs M >= 2.

    Returns:
        The mean in data units; its error from the spread over the B cases, taken as independent.

    Raises:
        InvalidInputError: If shapes do not fit, there are fewer than two cases, values are not finite, or a single
            member is to be scored fairly.
        MissingExtraError: If the package scoringrules is not installed.

    Source: Matheson & Winkler (1976); Gneiting & Raftery (2007); fair form: Ferro (2014).
    """
    x, y = forecast_arrays("crps", members, truth)
    return score_estimate(crps_of_cases(x, y, fair=fair), "CRPS")


def crps_of_cases(x: Tensor, y: Tensor, *, fair: bool) -> Tensor:
    """The score of each case, averaged over coordinates: ``x (B, M, D)``, ``y (B, D)`` float64 -> ``(B,)``.

    Raises:
        InvalidInputError: If a single member is to be scored fairly.
    """
    check_members("crps", x.shape[1], fair=fair)
    rules = require("scoringrules", by="crps")
    sorted_members = x.sort(1).values.transpose(1, 2).contiguous().cpu().numpy()
    kind = "pwm" if fair else "qd"  # both O(M) once sorted
    found = rules.crps_ensemble(
        y.cpu().numpy(), sorted_members, sorted_ensemble=True, estimator=kind, backend="numpy"
    )
    return torch.from_numpy(np.asarray(found)).mean(1)


def energy_score(members: ArrayLike, truth: ArrayLike, *, fair: bool = True) -> Estimate:
    """Energy score, ``E|X - y| - E|X - X'| / 2`` with the norm of the whole state: sees dependence too.

    Args:
        members: Ensembles, ``(B, M, *D)``, in data units.
        truth: What came, ``(B, *D)``.
        fair: As in :func:`crps`.

    Returns:
        The mean over cases in data units, with its error.

    Raises:
        InvalidInputError: As :func:`crps`.
        MissingExtraError: As :func:`crps`.

    Source: Gneiting & Raftery (2007).
    """
    x, y = forecast_arrays("energy_score", members, truth)
    return score_estimate(energy_of_cases(x, y, fair=fair), "energy score")


def energy_of_cases(x: Tensor, y: Tensor, *, fair: bool) -> Tensor:
    """The energy score of each case: ``x (B, M, D)``, ``y (B, D)`` float64 -> ``(B,)``.

    Raises:
        InvalidInputError: If a single member is to be scored fairly.
    """
    check_members("energy_score", x.shape[1], fair=fair)
    rules = require("scoringrules", by="energy_score")
    kind = "fair" if fair else "nrg"

    def score(x: Tensor, y: Tensor) -> Tensor:
        found = rules.es_ensemble(y.cpu().numpy(), x.cpu().numpy(), estimator=kind, backend="numpy")
        return torch.from_numpy(np.asarray(found))

    return _in_pieces(score, x, y)


def mixture_crps(truth: Tensor, weights: Tensor, means: Tensor, std: Tensor | float) -> Tensor:
    """The score of a Gaussian mixture on the line, in closed form.

    ``sum_k p_k A(y - m_k, s_k^2) - sum_kl p_k p_l A(m_k - m_l, s_k^2 + s_l^2) / 2``, ``A(d, v) = E|d + sqrt(v) Z|``.

    Args:
        truth: ``(...)``, in data units.
        weights: ``(K,)``, with sum 1.
        means: ``(..., K)``.
        std: ``(..., K)``, or a number; 0 for points.

    Returns:
        ``(...)`` scores in data units.

    Source: Grimit, Gneiting, Berrocal & Johnson (2006).
    """
    variance = torch.as_tensor(std, dtype=means.dtype).square().expand_as(means)
    near = _mean_distance(truth[..., None] - means, variance)
    apart = means[..., :, None] - means[..., None, :]
    spread = _mean_distance(apart, variance[..., :, None] + variance[..., None, :])
    return (weights * near).sum(-1) - 0.5 * torch.einsum("k,l,...kl->...", weights, weights, spread)


def _mean_distance(d: Tensor, variance: Tensor) -> Tensor:
    noisy = variance > 0
    std = torch.where(noisy, variance, 1.0).sqrt()
    z = d / std
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    return torch.where(noisy, d * torch.erf(z / math.sqrt(2)) + 2 * std * density, d.abs())


def forecast_arrays(who: str, members: ArrayLike, truth: ArrayLike) -> tuple[Tensor, Tensor]:
    """Check ensembles and what came: ``(B, M, D)`` and ``(B, D)``, float64, events flattened.

    Raises:
        InvalidInputError: If the shapes do not fit or a value is not finite.
    """
    x = one_sample(who, "members", members, flat=False)
    y = one_sample(who, "truth", truth, flat=False)
    if x.ndim < 2 or (x.shape[0], *x.shape[2:]) != tuple(y.shape):
        rule = f"members must have shape (B, M, *D) with truth (B, *D) = {tuple(y.shape)}"
        raise invalid(who, rule, tuple(x.shape))
    return x.reshape(x.shape[0], x.shape[1], -1), y.reshape(y.shape[0], -1)


def check_members(who: str, members: int, *, fair: bool) -> None:
    """Raise an error if the fair form of a score is asked of a single member, whose spread is unknown."""
    if fair and members < 2:
        remedy = "Pass fair=False, which scores a single member as a point."
        raise invalid(who, "the fair form needs at least two members", members, remedy)


def score_estimate(scores: Tensor, name: str) -> Estimate:
    """The mean over cases and its standard error."""
    n = len(scores)
    return Estimate(float(scores.mean()), float(scores.std()) / math.sqrt(n), n, name)


def _in_pieces(score: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    rows = max(1, _BUDGET // (x.shape[1] ** 2 * x.shape[2]))
    pieces = zip(torch.split(x, rows), torch.split(y, rows), strict=True)
    return torch.cat([score(a, b) for a, b in pieces])
