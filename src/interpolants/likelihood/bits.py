"""Bits per dimension of quantised data.

Values on a lattice of spacing ``level`` get a density by adding uniform noise over one cell. The mean log density of
the noisy values, plus ``log level`` per entry for the cell's volume, is then a lower bound of the log probability of
the lattice values (Jensen), whatever scale they were brought to.

Source: Theis, van den Oord & Bethge (2016), arXiv:1511.01844, section 3.1.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.likelihood.result import LogProb, mean_and_error


@dataclass(frozen=True)
class BitsPerDim:
    """Bits per dimension of some points.

    Attributes:
        values: ``(B,)`` of each point; lower is better.
        mean: Their mean.
        error: Standard error of the mean over the points, probes included; NaN for one point.
        probe_error: The part of ``error`` that comes from the probes of the divergence or the paths of an SDE, and that
            more of them would take away: 0 for an exact divergence, NaN where a single probe gives no error.
    """

    values: Tensor
    mean: float
    error: float
    probe_error: float


def bits_per_dim(found: LogProb, level: float | Tensor | None = None) -> BitsPerDim:
    """``-(log p + sum log level) / (D log 2)`` of log densities at dequantised points.

    Args:
        found: Log densities, from ``log_prob`` at points made by :func:`dequantise`.
        level: Distance between neighbouring values in the units of the data: 1/256 for 8-bit data on [0, 1], which adds
            8 bits, 2/256 for [-1, 1], which adds 7; a tensor of the event's shape where entries were scaled apart. None
            for data that were never quantised: the bits then depend on their unit.

    Raises:
        InvalidInputError: If a level is not finite and positive, or does not fit the event.
    """
    size = found.x[0].numel()
    volume = 0.0 if level is None else _log_volume(level, found.x[0])
    values = -(found.log_prob.double() + volume) / (size * math.log(2))
    mean, error = mean_and_error(values)
    noise = found.error.double() / (size * math.log(2))
    return BitsPerDim(values, mean, error, float(noise.square().sum().sqrt() / len(noise)))


def dequantise(x: Tensor, level: float | Tensor, *, generator: Generator | None = None) -> Tensor:
    """``x + level u`` with u uniform on [0, 1): values on a lattice, spread over their cells.

    Args:
        x: ``(B, *D)``, each value the lower end of its cell.
        level: As in :func:`bits_per_dim`.
        generator: Source of u.

    Raises:
        InvalidInputError: As :func:`bits_per_dim`, or if ``x`` holds whole numbers.
    """
    if not x.is_floating_point():
        raise invalid("dequantise", "x must be floating point", str(x.dtype), "Pass x.float().")
    _log_volume(level, x[0])
    u = torch.rand(x.shape, dtype=x.dtype, device=x.device, generator=generator)
    return x + torch.as_tensor(level).to(x) * u


def _log_volume(level: float | Tensor, like: Tensor) -> float:
    widths = torch.as_tensor(level, dtype=torch.float64).cpu()
    if not bool((torch.isfinite(widths) & (widths > 0)).all()):
        raise invalid(
            "bits_per_dim", "level must be finite and > 0", level, "E.g. 1/256 for 8-bit data on [0, 1]."
        )
    if widths.ndim and widths.shape != like.shape:
        rule = f"level must be a number or have the event's shape {tuple(like.shape)}"
        raise invalid("bits_per_dim", rule, tuple(widths.shape))
    return float(widths.log().expand(like.shape).sum())
