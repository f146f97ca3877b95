"""Compressed spectra: there and back, magnitudes and phases by hand, zeros."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.speech.compressed_spectra import CompressedSpectra
from interpolants.foundations.errors import InvalidInputError


def samples(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("settings", [{}, {"n_fft": 510, "hop": 128}, {"exponent": 0.667, "scale": 0.065}])
@pytest.mark.parametrize("length", [1, 40, 126, 8000, 8001, 8031])
def test_there_and_back(settings, length):
    spectra, x = CompressedSpectra(**settings), samples(length)
    back = spectra.samples(spectra.of(x), length)
    assert back.shape == x.shape
    assert float((back - x).norm() / x.norm()) < 1e-5


def test_magnitudes_are_compressed_and_phases_kept():
    x, spectra = samples(4000).double(), CompressedSpectra(exponent=0.5, scale=0.15)
    window = torch.hann_window(126, dtype=torch.float64)
    plain = torch.stft(x, 126, 32, window=window, return_complex=True)
    found = torch.view_as_complex(spectra.of(x).movedim(0, -1).contiguous())
    assert found.shape == (64, 1 + 4000 // 32)
    assert_close(found.abs(), 0.15 * plain.abs().sqrt())
    assert_close(found.angle().cos(), plain.angle().cos())


def test_a_tone_of_known_size():
    """A cosine on bin 16 of 126 has a magnitude of n_fft / 4 there, under Hann."""
    x = torch.cos(2 * math.pi * 16 / 126 * torch.arange(4000, dtype=torch.float64))
    middle = CompressedSpectra(exponent=1.0, scale=1.0).of(x)[:, 16, 60]
    assert float(middle.norm()) == pytest.approx(126 / 4, rel=1e-6)


def test_silence_has_neither_phase_nor_gradient():
    x = torch.zeros(2, 1000, requires_grad=True)
    found = CompressedSpectra().of(x)
    found.sum().backward()
    assert torch.equal(found, torch.zeros_like(found))
    assert torch.equal(x.grad, torch.zeros_like(x))
    assert torch.equal(CompressedSpectra().samples(found.detach(), 1000), torch.zeros(2, 1000))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_fft": 127}, "n_fft must be even, got 127"),
        ({"hop": 64}, "hop must be at most half of n_fft, 63, got 64"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        CompressedSpectra(**settings)
