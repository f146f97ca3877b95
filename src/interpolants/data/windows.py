"""Windows of series with gaps: lagged copies as further columns, and gaps filled by interpolation.

Letters: R rows, T times, C columns, L times of a window, k the number of lags.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def with_lags(x: Tensor, length: int, lags: Sequence[int] = ()) -> Tensor:
    """The last ``length`` times, channels first, and copies of them that many steps earlier.

    Args:
        x: ``(R, T, C)``, with T at least ``length`` and the largest lag.
        length: L.
        lags: Steps back, >= 1.

    Returns:
        ``(R, C (1 + k), L)``: the columns themselves, then those of the first lag, ...
    """
    last = x.shape[1]
    parts = [x[:, last - length - lag : last - lag] for lag in (0, *lags)]
    return torch.cat(parts, 2).transpose(1, 2)


def all_windows(x: Tensor, length: int) -> Tensor:
    """Every stretch of ``length`` times of ``(T, C)``, ``(T - length + 1, length, C)``; a view."""
    return x.unfold(0, length, 1).transpose(1, 2)


def padded_front(x: Tensor, length: int) -> Tensor:
    """The last ``length`` times of ``(R, T, C)``, with zeros (or False) in front where there are fewer."""
    missing = length - x.shape[1]
    if missing <= 0:
        return x[:, -missing:]
    return torch.cat([x.new_zeros(x.shape[0], missing, x.shape[2]), x], 1)


def interpolated(values: Tensor, seen: Tensor) -> Tensor:
    """Gaps of ``(T, C)`` filled by straight lines in time; before the first and after the last seen, by these.

    Args:
        values: Floating values.
        seen: Which were seen; a column without any becomes zero.
    """
    columns = [_line(values[:, c], seen[:, c]) for c in range(values.shape[1])]
    return torch.stack(columns, 1)


def _line(values: Tensor, seen: Tensor) -> Tensor:
    known = seen.nonzero()[:, 0]
    if not len(known):
        return torch.zeros_like(values)
    place = torch.arange(len(values))
    after = torch.searchsorted(known, place).clamp(max=len(known) - 1)
    before = (torch.searchsorted(known, place, right=True) - 1).clamp(min=0)
    left, right = known[before], known[after]
    share = (place - left).to(values) / (right - left).clamp(min=1).to(values)
    return torch.lerp(values[left], values[right], share.clamp(0, 1))


def phase_randomised(windows: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Windows ``(N, L, C)`` with the spectrum and mean of each, and random phases, the same for all its columns.

    Args:
        windows: ``(N, L, C)``, finite.
        generator: Source of the phases.

    Source: Theiler et al. (1992), Physica D 58, 77-94.
    """
    spectrum = torch.fft.rfft(windows, dim=1)
    turn = (
        2
        * torch.pi
        * torch.rand(len(windows), spectrum.shape[1], 1, generator=generator, dtype=torch.float64)
    )
    turn[:, 0] = 0
    if windows.shape[1] % 2 == 0:
        turn[:, -1] = 0  # of the highest frequency only the real part is seen
    turned = spectrum * torch.polar(torch.ones_like(turn), turn)
    found: Tensor = torch.fft.irfft(turned, n=windows.shape[1], dim=1).to(windows)
    return found
