"""Fractional Brownian motion and its increments: covariances, spectrum, exact paths, Whittle's likelihood.

Letters: ``H`` Hurst index in (0, 1); ``B`` with ``Var (B(t) - B(s)) = |t - s|^(2H)``; increments over unit steps are
fractional Gaussian noise, which is persistent for H > 1/2.
"""

import math

import torch
from torch import Generator, Tensor

_ALIASES = 12  # frequencies beyond those of the grid that are summed; the rest is an integral


def motion_covariance(hurst: Tensor | float, times: Tensor) -> Tensor:
    """``(s^(2H) + t^(2H) - |t - s|^(2H)) / 2`` at times ``(N,)`` >= 0, ``(N, N)``."""
    power = 2 * torch.as_tensor(hurst, dtype=torch.float64)
    own = times**power
    # 0^(2H) has no gradient in H by torch's rule; the diagonal of the last term is 0.
    gap = (times[:, None] - times).abs()
    between = torch.where(gap > 0, torch.where(gap > 0, gap, 1.0) ** power, 0.0)
    return (own[:, None] + own - between) / 2


def increment_covariance(hurst: Tensor | float, lags: Tensor) -> Tensor:
    """Autocovariance of fractional Gaussian noise of variance 1 at whole lags."""
    power = 2 * torch.as_tensor(hurst, dtype=torch.float64)
    k = lags.abs()
    return ((k + 1) ** power + (k - 1).abs() ** power - 2 * k**power) / 2


def increment_spectrum(hurst: Tensor | float, frequency: Tensor) -> Tensor:
    """Spectral density of fractional Gaussian noise on (0, pi], whose integral over (-pi, pi) is 1.

    Args:
        hurst: H.
        frequency: Angular frequencies per step ``(F,)`` in (0, pi].

    Source: Beran (1994), Statistics for Long-Memory Processes, section 2.3.
    """
    h = torch.as_tensor(hurst, dtype=torch.float64)
    power, turn = 2 * h + 1, 2 * math.pi
    j = torch.arange(1, _ALIASES + 1, dtype=torch.float64)[:, None]
    total = frequency**-power + ((turn * j + frequency) ** -power + (turn * j - frequency) ** -power).sum(0)
    edge = turn * (_ALIASES + 0.5)
    total = total + ((edge + frequency) ** (1 - power) + (edge - frequency) ** (1 - power)) / (turn * 2 * h)
    size = torch.sin(math.pi * h) * torch.lgamma(2 * h + 1).exp() / math.pi
    return size * 2 * torch.sin(frequency / 2).square() * total


def sample_increments(hurst: float, count: int, length: int, *, generator: Generator | None = None) -> Tensor:
    """Exact draws of fractional Gaussian noise of variance 1, ``(count, length)`` float64, in ``O(length log length)``.

    Args:
        hurst: H.
        count: Number of paths.
        length: Steps of each.
        generator: Source of the draws.

    Source: Davies & Harte (1987), Biometrika 74, 95-101: the covariance is embedded in a circulant one.
    """
    row = increment_covariance(hurst, torch.arange(length + 1, dtype=torch.float64))
    circle = torch.cat([row, row[1:-1].flip(0)])
    size = len(circle)
    spectrum = torch.fft.fft(circle).real.clamp_min(0)  # never negative but for rounding
    normal = torch.randn(2, count, size, dtype=torch.float64, generator=generator)
    turned = torch.fft.fft(torch.complex(normal[0], normal[1]) * (spectrum / size).sqrt())
    found: Tensor = turned.real[:, :length].contiguous()
    return found


def periodogram(increments: Tensor) -> tuple[Tensor, Tensor]:
    """Frequencies ``(F,)`` in (0, pi) and ``|sum_t x_t exp(-i f t)|^2 / (2 pi n)`` of rows ``(B, n)``, ``(B, F)``."""
    n = increments.shape[1]
    count = (n - 1) // 2
    frequency = 2 * math.pi * torch.arange(1, count + 1, dtype=torch.float64) / n
    power = torch.fft.rfft(increments - increments.mean(1, keepdim=True)).abs().square()[:, 1 : count + 1]
    return frequency, power / (2 * math.pi * n)


def whittle_loss(hurst: Tensor, variance: Tensor, noise: Tensor, frequency: Tensor, power: Tensor) -> Tensor:
    """Whittle's negative log likelihood of increments, without constants: ``sum_f log s(f) + power(f) / s(f)``.

    Args:
        hurst: H.
        variance: Variance of the fractional Gaussian noise.
        noise: Variance of independent noise of the levels: their increments have the spectrum
            ``noise (1 - cos f) / pi``.
        frequency: ``(F,)``, as from :func:`periodogram`, like the next.
        power: ``(B, F)``.

    Source: Whittle (1953), Arkiv foer Matematik 2, 423-434.
    """
    density = (
        variance * increment_spectrum(hurst, frequency)
        + noise * 2 * torch.sin(frequency / 2).square() / math.pi
    )
    return (density.log() + power / density).sum()
