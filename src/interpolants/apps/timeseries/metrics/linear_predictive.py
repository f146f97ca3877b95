"""How well a linear predictor that is fitted to synthetic windows forecasts real ones.

Letters: N windows, L times, C columns, c times of the context.
"""

import torch
from torch import Tensor

from interpolants.foundations.checks import number, whole
from interpolants.foundations.errors import invalid
from interpolants.metrics.estimate import Estimate
from interpolants.metrics.samples import ArrayLike, unit_of


def linear_predictive_score(
    made: ArrayLike, real: ArrayLike, *, context: int, ridge: float = 1e-3
) -> Estimate:
    """Normalised absolute error on real windows of ridge regression from context to horizon, fitted on made ones.

    ``W`` minimises ``|Y - X W|^2 / N + ridge |W|^2`` over the centred made windows, whose columns have unit size; the
    score is ``sum |y - yhat| / sum |y|`` over the real ones. Compare it with that of real training windows: good
    synthetic windows teach as much.

    Args:
        made: Windows to learn from, ``(N, L, C)``.
        real: Windows to be judged by, ``(M, L, C)``.
        context: c, the times that are known, in [1, L).
        ridge: Weight of the penalty, > 0.

    Returns:
        The ratio, without unit; its error from the spread over real windows.

    Raises:
        InvalidInputError: If shapes do not fit, values are not finite, or the truth is zero everywhere.

    Source: Kollovieh et al. (2023), arXiv:2307.11494, section 5.3.
    """
    share = predictive_errors(made, real, context=context, ridge=ridge)
    error = float(share.std()) / len(share) ** 0.5
    return Estimate(float(share.mean()), error, len(share), "linear predictive score")


def predictive_errors(made: ArrayLike, real: ArrayLike, *, context: int, ridge: float = 1e-3) -> Tensor:
    """Shares ``(M,)`` of real windows, whose mean is :func:`linear_predictive_score`; arguments as there."""
    who = "linear_predictive_score"
    x, y = (torch.as_tensor(one).double() for one in (made, real))
    if x.ndim != 3 or y.ndim != 3 or x.shape[1:] != y.shape[1:]:
        rule = "both must be windows (N, L, C) of one shape"
        raise invalid(who, rule, f"{tuple(x.shape)} and {tuple(y.shape)}")
    if not bool(torch.isfinite(x).all() and torch.isfinite(y).all()):
        raise invalid(who, "windows must be finite", "nan or inf", "Leave windows with gaps out.")
    whole(who, "context", context, at_least=1, at_most=x.shape[1] - 1), number(who, "ridge", ridge, above=0)
    truth = y[:, context:].flatten(1)
    error = (truth - _forecast(x, y[:, :context], context, ridge)).abs().sum(1)
    size = truth.abs().sum(1).mean()
    if not float(size) > 0:
        raise invalid(who, "the truth must not be zero everywhere", 0, "It is relative to its size.")
    shares: Tensor = error / size
    return shares


def _forecast(made: Tensor, known: Tensor, context: int, ridge: float) -> Tensor:
    """Horizons ``(M, (L - c) C)`` by the ridge regression of the made windows."""
    rows = made.flatten(0, 1)
    scale = unit_of(rows)
    past, future = (made[:, :context] / scale).flatten(1), (made[:, context:] / scale).flatten(1)
    mean = past.mean(0)
    x = past - mean
    system = x.T @ x / len(x) + ridge * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(system, x.T @ (future - future.mean(0)) / len(x))
    found = ((known / scale).flatten(1) - mean) @ weights + future.mean(0)
    forecast: Tensor = found * scale.repeat(future.shape[1] // len(scale))
    return forecast
