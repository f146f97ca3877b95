"""Conditions of an estimator: what is known of each row of the data, and what is asked of each sample."""

from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import InvalidInputError, invalid


def of_rows(cond: Any, rows: int, name: str, owner: str) -> Tensor | None:
    """Labels ``(N,)``, vectors ``(N, C)`` or fields ``(N, C, *D)`` from what a user gave, or None.

    Args:
        cond: Array, tensor, Series or DataFrame with one row per row of the data.
        rows: Number of rows of the data.
        name: Name of the argument, for errors.
        owner: Name of the data, for errors.

    Raises:
        InvalidInputError: If it holds no numbers, rows do not fit, a label is negative, or values are not finite.
    """
    if cond is None:
        return None
    try:
        tensor = torch.as_tensor(getattr(cond, "to_numpy", lambda: cond)())
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(
            f"Bridge.fit: {name} must be numbers, got {type(cond).__name__}. {error}"
        ) from error
    if tensor.ndim < 1 or len(tensor) != rows:
        raise invalid(
            "Bridge.fit", f"{name} must have one row per row of {owner}, {rows}", tuple(tensor.shape)
        )
    if not tensor.is_floating_point():
        if tensor.ndim != 1 or int(tensor.min()) < 0:
            raise invalid("Bridge.fit", f"{name} as labels must be (N,) integers >= 0", tuple(tensor.shape))
        return tensor.long()
    if not bool(torch.isfinite(tensor).all()):
        raise invalid("Bridge.fit", f"{name} must be finite", "nan or inf")
    return tensor.float().reshape(rows, -1) if tensor.ndim == 1 else tensor.float()


def for_samples(cond: Any, n: int, trained: Tensor | None) -> Tensor | None:
    """A condition for n samples from one value or one row per sample, in the form that training saw.

    Args:
        cond: One label, vector or field for all samples, or a row for each.
        n: Number of samples.
        trained: Conditions that the bridge was fitted with, or None.

    Raises:
        InvalidInputError: If the bridge takes no condition, or shapes do not fit.
    """
    if cond is None:
        return None
    tensor = torch.as_tensor(cond)
    if trained is None:
        remedy = "Fit with cond=... first, or leave cond out."
        raise invalid(
            "Bridge",
            "a bridge fitted without conditions takes none",
            f"shape {tuple(tensor.shape)}",
            remedy,
        )
    tensor = tensor.long() if not trained.is_floating_point() else tensor.to(trained.dtype)
    tensor = tensor.expand(n, *trained.shape[1:]) if tensor.ndim < trained.ndim else tensor
    if tensor.shape != (n, *trained.shape[1:]):
        raise invalid("Bridge", f"cond must have shape {(n, *trained.shape[1:])}", tuple(tensor.shape))
    return tensor.contiguous()
