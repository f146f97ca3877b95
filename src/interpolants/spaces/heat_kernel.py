"""Heat kernel of the unit sphere: its density, its slope, and draws of it.

Notation: theta the angle between two points of ``S^n``; tau the time of the heat equation ``dp/dtau = Laplacian p``,
whose process is Brownian motion with variance 2 tau per coordinate; ``P_l`` the zonal polynomial of degree l with
``P_l(1) = 1`` (Legendre on S^2, Chebyshev on the circle) and ``d_l`` the number of harmonics of degree l.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

# Time below which the expansion for small times replaces the series, and terms of the series above it.
_EARLY, _TERMS = 0.03, 36
# theta^2 / (4 tau) beyond which the sum of the series is lost in rounding; draws do not come here.
_FAR = 25.0
# Grid of the draws: standard deviations sqrt(2 tau), normal lengths, and angles of the distribution function.
_LEAST, _MOST, _TIMES, _LENGTHS, _ANGLES = 0.01, 8.0, 160, 600, 1500


class Kernel(NamedTuple):
    """Heat kernel at some angles and times.

    Attributes:
        log_ratio: Log of the density over that of the uniform distribution, ``(...)``.
        slope: ``d log_ratio / d theta / theta``, ``(...)``; finite at 0.
    """

    log_ratio: Tensor
    slope: Tensor


def heat_kernel(n: int, angle: Tensor, tau: Tensor, *, even: bool = False) -> Kernel:
    """Density and slope of the heat kernel at an angle, by its series, or by an expansion for small times.

    The series is ``sum_l d_l P_l(cos theta) exp(-l (l + n - 1) tau)``. For tau < .03 the kernel is
    ``(4 pi tau)^(-n/2) (theta / sin theta)^((n-1)/2) exp(n (n - 1) tau / 6 - theta^2 / (4 tau))``, with an error of
    the slope of 2e-5 on S^2 and 2e-3 on S^10, relative; on the circle and on S^3 it is exact.

    Args:
        n: Dimension of the sphere.
        angle: Angles ``(...)`` in [0, pi], float64.
        tau: Positive times, broadcast against the angles.
        even: Sum the terms of even degree: the kernel of opposite points taken as one, on angles up to pi / 2.
    """
    angle, tau = angle + torch.zeros_like(tau), tau + torch.zeros_like(angle)
    is_early = (tau < _EARLY) | (angle.square() > 4 * _FAR * tau)
    early = _expansion(n, angle, tau, even=even)
    if bool(is_early.all()):
        return early
    # The expansion fails near opposite points, and the series at early times: neither is evaluated there.
    series = _series(n, angle, torch.where(tau < _EARLY, _EARLY, tau), even=even)
    return Kernel(*(torch.where(is_early, *pair) for pair in zip(early, series, strict=True)))


def _series(n: int, angle: Tensor, tau: Tensor, *, even: bool) -> Kernel:
    x = angle.cos()
    last, value = torch.ones_like(x), x
    last_slope, slope = torch.zeros_like(x), torch.ones_like(x)
    total, total_slope = torch.ones_like(x), torch.zeros_like(x)
    for degree in range(1, _TERMS + 1):
        if not even or degree % 2 == 0:
            weight = _harmonics(n, degree) * torch.exp(-degree * (degree + n - 1) * tau)
            total, total_slope = total + weight * value, total_slope + weight * slope
        # (l + n - 1) P_(l+1) = (2 l + n - 1) x P_l - l P_(l-1), and its derivative
        up, down, scale = 2 * degree + n - 1, degree, degree + n - 1
        next_slope = (up * (value + x * slope) - down * last_slope) / scale
        last, value = value, (up * x * value - down * last) / scale
        last_slope, slope = slope, next_slope
    total = total.clamp_min(torch.finfo(total.dtype).tiny)
    return Kernel(total.log(), -torch.sinc(angle / math.pi) * total_slope / total)


def _harmonics(n: int, degree: int) -> float:
    """Number of independent harmonics of a degree on ``S^n``."""
    if degree == 1:
        return n + 1.0
    return math.comb(n + degree, degree) - float(math.comb(n + degree - 2, degree - 2))


def _expansion(n: int, angle: Tensor, tau: Tensor, *, even: bool) -> Kernel:
    sine = torch.sinc(angle / math.pi).clamp_min(torch.finfo(angle.dtype).tiny)
    curved = (angle.cos() / sine - 1) / angle.square()  # (theta cot theta - 1) / theta^2
    curved = torch.where(angle < 1e-2, -1 / 3 - angle.square() / 45, curved)
    slope = -1 / (2 * tau) - (n - 1) / 2 * curved
    log_uniform = -log_area(n) + (math.log(2) if even else 0.0)
    peak = -n / 2 * (4 * math.pi * tau).log() - log_uniform + n * (n - 1) / 6 * tau
    return Kernel(peak - (n - 1) / 2 * sine.log() - angle.square() / (4 * tau), slope)


def log_area(n: int) -> float:
    """Log of the volume of the unit sphere ``S^n``."""
    return math.log(2) + (n + 1) / 2 * math.log(math.pi) - math.lgamma((n + 1) / 2)


def radial_transport(n: int, length: Tensor, std: Tensor, *, even: bool = False) -> Tensor:
    """Angle of a draw of the heat kernel, from the length of a standard normal vector in n dimensions.

    The map is monotonic and takes the chi distribution of the length to the distribution of the angle. It is
    interpolated in a table, whose error is below 1e-4 of the angle. On the circle it is the wrapped normal
    distribution, exactly.

    Args:
        n: Dimension of the sphere.
        length: Lengths ``(...)``.
        std: Standard deviations ``sqrt(2 tau)``, broadcast against the lengths.
        even: As for :func:`heat_kernel`.
    """
    if n == 1:
        return length * std
    table, step = _table(n, even)
    row = (std.clamp(_LEAST, _MOST) / _LEAST).log() * ((_TIMES - 1) / math.log(_MOST / _LEAST))
    column = (length / step).clamp_max(_LENGTHS - 1)
    i, j = (part.floor().clamp_max(size - 2).long() for part, size in ((row, _TIMES), (column, _LENGTHS)))
    u, v = row - i, column - j
    ratio = (1 - u) * ((1 - v) * table[i, j] + v * table[i, j + 1])
    ratio = ratio + u * ((1 - v) * table[i + 1, j] + v * table[i + 1, j + 1])
    return ratio * std


@lru_cache(maxsize=8)
def _table(n: int, even: bool) -> tuple[Tensor, float]:
    """Angles over standard deviations, by standard deviation and length, and the step of the lengths."""
    farthest = math.sqrt(n) + 7
    std = torch.logspace(math.log10(_LEAST), math.log10(_MOST), _TIMES, dtype=torch.float64)[:, None]
    limit = (farthest * std).clamp_max(math.pi / 2 if even else math.pi)
    angle = limit * torch.linspace(0, 1, _ANGLES, dtype=torch.float64)
    kernel = heat_kernel(n, angle, std.square() / 2, even=even).log_ratio
    density = (kernel - kernel.amax(1, keepdim=True)).exp() * angle.sin().clamp_min(0).pow(n - 1)
    reached = torch.cumulative_trapezoid(density, angle, dim=1)
    reached = torch.cat([torch.zeros_like(std), reached / reached[:, -1:]], 1)
    lengths = torch.linspace(0, farthest - 1, _LENGTHS, dtype=torch.float64)
    chi = torch.special.gammainc(torch.tensor(n / 2, dtype=torch.float64), lengths.square() / 2)
    after = torch.searchsorted(reached, chi.expand(_TIMES, -1).contiguous()).clamp(1, _ANGLES - 1)
    low, high = reached.gather(1, after - 1), reached.gather(1, after)
    part = ((chi - low) / (high - low).clamp_min(1e-300)).clamp(0, 1)
    inverse = torch.lerp(angle.gather(1, after - 1), angle.gather(1, after), part)
    return inverse / std, float(lengths[1])
