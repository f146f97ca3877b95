"""Errors of a forecast path beside the truth, as forecasts of chaos are judged.

Letters: B paths, T times.
"""

import torch
from torch import Tensor

from interpolants.foundations.checks import positive
from interpolants.foundations.errors import invalid
from interpolants.metrics.samples import ArrayLike


def smape(forecast: ArrayLike, truth: ArrayLike) -> Tensor:
    """Symmetric mean absolute error in percent, ``200 mean |y - f| / (|y| + |f|)``, ``(B, T)`` -> ``(B,)``.

    From 0 to 200, and 200 wherever the signs differ: it depends on where the zero is. Two zeros are no error.

    Raises:
        InvalidInputError: If shapes differ.
    """
    f, y = _pair("smape", forecast, truth)
    size = y.abs() + f.abs()
    share = torch.where(size > 0, (y - f).abs() / size, 0.0)
    found: Tensor = 200 * share.mean(-1)
    return found


def normalised_error(forecast: ArrayLike, truth: ArrayLike, scale: ArrayLike) -> Tensor:
    """Root mean square error over a scale ``(B,)``, as the deviation of the training part; ``(B, T)`` -> ``(B,)``."""
    f, y = _pair("normalised_error", forecast, truth)
    return (f - y).square().mean(-1).sqrt() / torch.as_tensor(scale).double()


def valid_time(forecast: ArrayLike, truth: ArrayLike, scale: ArrayLike, *, threshold: float = 0.4) -> Tensor:
    """Steps before the error first exceeds a share of the scale, ``(B, T)`` -> ``(B,)``; T if it never does.

    Args:
        forecast: Paths ``(B, T)``.
        truth: What came ``(B, T)``.
        scale: Standard deviation of each series ``(B,)``.
        threshold: The share.

    Raises:
        InvalidInputError: If shapes differ.
    """
    f, y = _pair("valid_time", forecast, truth)
    positive("valid_time", "threshold", threshold)
    over = ~((f - y).abs() <= threshold * torch.as_tensor(scale).double()[..., None])
    first = torch.where(over.any(-1), over.int().argmax(-1), over.shape[-1])
    return first.double()


def _pair(who: str, forecast: ArrayLike, truth: ArrayLike) -> tuple[Tensor, Tensor]:
    f, y = (torch.as_tensor(one).double() for one in (forecast, truth))
    if f.shape != y.shape or f.ndim < 1 or not f.shape[-1]:
        raise invalid(who, "forecast and truth must have one shape", f"{tuple(f.shape)} and {tuple(y.shape)}")
    return f, y
