"""Negative log likelihood of errors with a learnt power and scale, safe to differentiate at errors of 0."""

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid

# Errors below this, in units of the scale, count as this for the power; and the largest slope there, in 1/scale.
_FLOOR, _STEEPEST = 1e-6, 100.0


def generalized_gaussian_loss(
    error: Tensor, power: Tensor, scale: Tensor, *, product: bool = False
) -> Tensor:
    """``(|d| / a)^b - ln b + ln(2 a) + ln G(1/b)`` in nats, entry by entry.

    Its slope over the error is ``b |d|^(b - 1) sign(d) / a^b``, which for ``b < 1`` has no bound at 0 and is cut off at
    ``100 / a``. First derivatives alone are those of the formula.

    Args:
        error: d, any shape.
        power: b, > 0, of a shape that broadcasts.
        scale: a, > 0, in units of the error.
        product: Take ``b |d| / a`` for the power, as the published code does: its best b is 0.69, 0.85, 0.92 where the
            true power is 0.8, 1.3, 2.0. For comparisons alone.

    Raises:
        InvalidInputError: If a power or a scale is not > 0. NaN passes, for the caller's check of the loss.

    Source: Kim et al. (2024), arXiv:2408.02295, equation of the loss, where the scale is 1.
    """
    for name, value in (("power", power), ("scale", scale)):
        if bool((value <= 0).any()):
            remedy = "Keep it away from 0, e.g. by softplus(raw) + 1e-3."
            raise invalid(
                "generalized_gaussian_loss", f"{name} must be > 0", f"{float(value.detach().min()):g}", remedy
            )
    norm = torch.lgamma(1 / power) - (power / (2 * scale)).log()
    if product:
        return power * error.abs() / scale + norm
    size = error.abs()
    ratio = (size.detach() / scale).clamp(min=_FLOOR)
    # The slope over the error by itself, so that it can be cut off; it adds 0 to the value.
    slope = power * ratio ** (power - 1) / scale
    slope = torch.where(power < 1, torch.minimum(slope, _STEEPEST / scale), slope).detach()
    return ratio**power + norm + slope * (size - size.detach())
