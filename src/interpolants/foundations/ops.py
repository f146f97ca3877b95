"""Array helpers: times widened to states, sums over an event, rows of a batch."""

import torch
from torch import Tensor


def expand_like(t: Tensor, x: Tensor) -> Tensor:
    """Reshape times so that they broadcast against states: ``()`` or ``(B,)`` -> ``(B, 1, ..., 1)``.

    A 0-d ``t`` is returned unchanged: it broadcasts already, at no cost. So does one time per entry, ``(B, *D)``.
    """
    return t if t.ndim in (0, x.ndim) else t.reshape(t.shape[0], *(1,) * (x.ndim - 1))


def batch_time(t: Tensor | float, x: Tensor) -> Tensor:
    """One time per row of ``x``: a number, ``()`` or ``(B,)`` -> ``(B,)``, without copying."""
    time = torch.as_tensor(t, dtype=time_dtype(x), device=x.device)
    return time.expand(x.shape[0]) if time.ndim == 0 else time


def time_dtype(x: Tensor) -> torch.dtype:
    """Times are float64 for float64 states and float32 otherwise: half precision has too few of them."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def sum_event(x: Tensor) -> Tensor:
    """Sum over every dimension but the first: ``(B, *D)`` -> ``(B,)``."""
    return x.reshape(x.shape[0], -1).sum(1)


def mean_event(x: Tensor) -> Tensor:
    """Mean over every dimension but the first: ``(B, *D)`` -> ``(B,)``."""
    return x.reshape(x.shape[0], -1).mean(1)
