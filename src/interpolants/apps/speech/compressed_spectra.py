"""Compressed spectra: short-time Fourier coefficients with their range of magnitudes made smaller, as real channels.

Letters: F bins ``n_fft // 2 + 1``, N frames ``1 + T // hop``.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Count, Positive
from interpolants.foundations.records import record


@record("compressed_spectra")
@dataclass(frozen=True, kw_only=True)
class CompressedSpectra(Checked):
    """``c -> scale |c|^exponent exp(i arg c)`` of the coefficients c, real and imaginary part as two channels.

    Speech has few loud coefficients and many soft ones; an exponent of 1/2 brings them together.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Richter et al. (2023), arXiv:2208.05830, equation 21.
    """

    n_fft: Annotated[int, Ge(4)] = 126
    """Samples of a window (periodic Hann), even."""
    hop: Count = 32
    """Samples from one window to the next, at most half a window."""
    exponent: Annotated[float, Interval(gt=0, le=1)] = 0.5
    """Power of the magnitudes; 1 leaves them as they are."""
    scale: Positive = 0.15
    """Factor on the compressed magnitudes."""

    def check_settings(self) -> None:
        """Refuse odd windows, and steps of more than half a window."""
        if self.n_fft % 2:
            raise invalid("n_fft must be even", self.n_fft)
        if self.hop > self.n_fft // 2:
            raise invalid(f"hop must be at most half of n_fft, {self.n_fft // 2}", self.hop)

    @property
    def bins(self) -> int:
        """F."""
        return self.n_fft // 2 + 1

    def of(self, x: Tensor) -> Tensor:
        """Spectra ``(..., 2, F, N)`` of samples ``(..., T)``; zeros stay zeros, with gradients of zero."""
        short = max(0, self.n_fft // 2 + 1 - x.shape[-1])  # the reflected border needs so many samples
        padded = torch.nn.functional.pad(x, (0, short))
        c = torch.stft(
            padded.reshape(-1, padded.shape[-1]),
            self.n_fft,
            self.hop,
            window=self._window(x),
            return_complex=True,
        )
        channels = torch.view_as_real(c).movedim(-1, 1).reshape(*x.shape[:-1], 2, *c.shape[1:])
        return channels * self._factor(channels, self.exponent, self.scale)

    def samples(self, spectra: Tensor, length: int) -> Tensor:
        """Samples ``(..., T)`` of spectra ``(..., 2, F, N)``.

        Args:
            spectra: What :meth:`of` gives, or what was made like it.
            length: T.
        """
        power = 1 / self.exponent
        c = spectra * self._factor(spectra, power, self.scale**-power)
        flat = torch.view_as_complex(c.reshape(-1, *c.shape[-3:]).movedim(1, -1).contiguous())
        padded = max(length, self.n_fft // 2 + 1)
        x = torch.istft(flat, self.n_fft, self.hop, window=self._window(c), length=padded)
        return x[:, :length].reshape(*spectra.shape[:-3], length)

    def _window(self, x: Tensor) -> Tensor:
        return torch.hann_window(self.n_fft, dtype=x.dtype, device=x.device)

    @staticmethod
    def _factor(c: Tensor, exponent: float, scale: float) -> Tensor:
        """``scale |c|^(exponent - 1)``, zero where c is."""
        power = c.square().sum(-3, keepdim=True)
        there = power > 0
        safe = torch.where(there, power, torch.ones_like(power))
        return torch.where(there, scale * safe ** ((exponent - 1) / 2), torch.zeros_like(power))
