"""Test of whether samples belong to a log density: Stein's identity, coordinate by coordinate.

For samples of ``p ~ e^f`` that vanishes at infinity, ``E d_i f = 0`` and ``E (x_i - m_i) d_i f = -1``, m the mean. The
first identity detects a shift, the second another width: a missing 1/kT, or energies in other units than the rows.

Source: Stein (1972); Gorham & Mackey (2015), arXiv:1506.03039, for tests of samples.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid

# Standard errors by which a mean may differ.
_MOST = 6.0
_REMEDY = (
    "Log densities are -U(x)/kT of rows in data units, in the order (f0, f1). For a density with a bound, correlated "
    "rows or a function without a gradient, pass stein=False."
)


def check_samples(caller: str, name: str, log_density: Callable[[Tensor], Any], x: Tensor) -> None:
    """Raise an error if samples do not belong to a log density.

    Args:
        caller: Public name in errors.
        name: Name of the log density in errors.
        log_density: Log density up to a constant, ``(B, *D)`` float64 -> ``(B,)``, written in torch.
        x: Independent samples ``(B, *D)``.

    Raises:
        InvalidInputError: If the function has no gradient, or a mean differs from its value by more than 6 standard
            errors.
    """
    rows = x.detach().double().clone().requires_grad_()
    with torch.enable_grad():
        value = torch.as_tensor(log_density(rows))
    if not value.requires_grad:
        raise invalid(caller, f"{name} must have a gradient for the test of its samples", "none", _REMEDY)
    (slope,) = torch.autograd.grad(value.sum(), rows)
    slope, flat = slope.flatten(1), rows.detach().flatten(1)
    _check_mean(caller, f"the mean gradient of {name} over its samples must vanish", slope, 0.0)
    product = (flat - flat.mean(0)) * slope
    _check_mean(caller, f"the mean of (x - mean) times the gradient of {name} must be -1", product, -1.0)


def _check_mean(caller: str, rule: str, values: Tensor, expected: float) -> None:
    error = values.std(0) / math.sqrt(len(values))
    excess = (values.mean(0) - expected).abs() - _MOST * error
    # Rounding alone must not look like a difference.
    if bool((excess > 1e-9 * values.abs().amax(0).clamp_min(1)).any()) or bool(values.isnan().any()):
        k = int(excess.nan_to_num(math.inf).argmax())
        value = f"{float(values[:, k].mean()):.4g} ± {float(error[k]):.2g} in column {k}"
        raise invalid(caller, rule, value, _REMEDY)
