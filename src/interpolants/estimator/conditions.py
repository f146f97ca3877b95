"""Conditions of an estimator: what is known of each row of the data, and what is asked of each sample."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.errors import InvalidInputError, invalid


def numbers(cond: Any, who: str, name: str) -> Tensor:
    """A copy of what a user gave, array, tensor, list, Series or DataFrame, as a tensor of real numbers.

    Raises:
        InvalidInputError: If it holds no numbers, or complex ones.
    """
    plain = getattr(cond, "to_numpy", lambda: cond)()
    try:
        # NumPy's copy has positive strides and may be written to, which PyTorch asks for.
        tensor = plain.detach().clone() if isinstance(plain, Tensor) else torch.as_tensor(np.array(plain))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(
            f"{who}: {name} must be numbers, got {type(cond).__name__}. {error}"
        ) from error
    if tensor.is_complex():
        raise invalid(who, f"{name} must be real", str(tensor.dtype), "Stack real and imaginary parts.")
    return tensor if tensor.is_floating_point() else tensor.long()


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
    tensor = numbers(cond, "Bridge.fit", name)
    if tensor.ndim < 1 or len(tensor) != rows:
        raise invalid(
            "Bridge.fit", f"{name} must have one row per row of {owner}, {rows}", tuple(tensor.shape)
        )
    if not tensor.is_floating_point():
        if tensor.ndim != 1 or int(tensor.min()) < 0:
            raise invalid("Bridge.fit", f"{name} as labels must be (N,) integers >= 0", tuple(tensor.shape))
        return tensor
    _check_finite(tensor, "Bridge.fit", name)
    return tensor.float().reshape(rows, -1) if tensor.ndim == 1 else tensor.float()


def for_samples(cond: Any, n: int, trained: Tensor | None) -> Tensor | None:
    """A condition for n samples from one value or one row per sample, in the form that training saw.

    Args:
        cond: One label, vector or field for all samples, or a row for each.
        n: Number of samples.
        trained: Conditions that the bridge was fitted with, or None.

    Raises:
        InvalidInputError: If the bridge takes no condition, or shapes or values do not fit.
    """
    if cond is None:
        return None
    tensor = numbers(cond, "Bridge", "cond")
    if trained is None:
        remedy = "Fit with cond=... first, or leave cond out."
        raise invalid(
            "Bridge",
            "a bridge fitted without conditions takes none",
            f"shape {tuple(tensor.shape)}",
            remedy,
        )
    wanted = (n, *trained.shape[1:])
    if trained.is_floating_point():
        _check_finite(tensor, "Bridge", "cond")
        tensor = tensor.to(trained.dtype)
    else:
        tensor = _labels(tensor)
    if wanted == (n, 1) and tensor.shape == (n,):
        tensor = tensor[:, None]  # as of_rows takes one number per row
    elif tensor.ndim < trained.ndim and _fits(tensor, wanted):
        tensor = tensor.expand(wanted)
    if tensor.shape != wanted:
        raise invalid("Bridge", f"cond must have shape {wanted}", tuple(tensor.shape))
    return tensor.contiguous()


def _fits(tensor: Tensor, wanted: tuple[int, ...]) -> bool:
    """Whether one condition can stand for all."""
    return all(size in (1, full) for size, full in zip(tensor.shape[::-1], wanted[::-1], strict=False))


def _labels(tensor: Tensor) -> Tensor:
    whole = tensor.long()
    if not torch.equal(whole.to(tensor.dtype), tensor):
        raise invalid("Bridge", "cond must be labels, whole numbers", str(tensor.flatten()[:4].tolist()))
    return whole


def _check_finite(tensor: Tensor, who: str, name: str) -> None:
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise invalid(who, f"{name} must be finite", "nan or inf")
