"""Harmonic signals: energy at multiples of a pitch, pauses, and one signal for each index."""

import torch
from torch.testing import assert_close

from interpolants.apps.speech.synthetic_speech import harmonic_signals


def test_they_are_harmonic_and_have_pauses():
    for one in harmonic_signals(5):
        x = one.samples
        assert (len(x), one.rate) == (16000, 8000)
        assert float(x.abs().max()) == 0.5
        assert 0.05 < float((x == 0).double().mean()) < 0.6
        voiced = (x != 0).nonzero()[:, 0]
        frame = x[voiced[400] : voiced[400] + 400]
        power = torch.fft.rfft(frame * torch.hann_window(400), 4096).abs().square()
        repeated = torch.fft.irfft(power).abs()  # the autocorrelation comes back after a period of the pitch
        assert float(repeated[20:100].max() / repeated[0]) > 0.7


def test_signal_i_belongs_to_seed_and_i():
    first, more = harmonic_signals(2, seconds=0.5), harmonic_signals(4, seconds=0.5)
    assert all(torch.equal(a.samples, b.samples) for a, b in zip(first, more, strict=False))
    assert not torch.equal(first[0].samples, first[1].samples)
    assert not torch.equal(first[0].samples, harmonic_signals(1, seconds=0.5, seed=1)[0].samples)


def test_a_signal_that_ends_where_a_syllable_would_begin_is_the_beginning_of_a_longer_one():
    """A syllable begins with a zero after a pause; the cut one is louder, so both are compared by their shape."""
    whole = harmonic_signals(1, seconds=2.0, rate=4000)[0].samples
    begins = 1 + ((whole[:-2] == 0) & (whole[1:-1] == 0) & (whole[2:] != 0)).nonzero()[:, 0]
    assert len(begins) > 1
    for n in begins[1:].tolist():
        cut = harmonic_signals(1, seconds=n / 4000, rate=4000)[0].samples
        assert len(cut) == n
        assert_close(cut / cut.norm(), whole[:n] / whole[:n].norm())
