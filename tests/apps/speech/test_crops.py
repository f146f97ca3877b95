"""Crops of pairs of recordings, and the unit that a recording is divided by."""

import pytest

from interpolants.apps.speech.compressed_spectra import CompressedSpectra
from interpolants.apps.speech.crops import Crops, _place
from interpolants.apps.speech.degradations import AdditiveNoise
from interpolants.apps.speech.synthetic_speech import harmonic_signals
from interpolants.apps.speech.units import unit_of


def test_crops_of_a_pair_are_of_the_same_place_in_recordings_longer_than_a_stretch(generator):
    """Degraded recordings that are the clean ones leave no difference."""
    clean = [one.samples for one in harmonic_signals(3, seconds=3.0, rate=4000)]
    spectra = CompressedSpectra(n_fft=64, hop=16)
    crops = Crops(
        clean, clean, degradation=AdditiveNoise(), spectra=spectra, rate=4000, frames=16, normalise="peak"
    )
    rows = crops.rows(20, generator)
    assert float(rows["cond"].abs().max()) > 0
    assert not bool(rows["x1"].any())


@pytest.mark.parametrize("kind", ["peak", "level"])
def test_units_follow_the_loudness_and_bring_speech_to_about_one(kind):
    for one in harmonic_signals(4):
        unit = unit_of(one.samples, kind)
        assert unit_of(3 * one.samples, kind) == pytest.approx(3 * unit)
        assert 0.4 < float((one.samples / unit).abs().max()) <= 1.0


def test_a_stretch_begins_anywhere_where_it_fits(generator):
    assert {_place(5, 3, generator) for _ in range(100)} == {0, 1, 2}
    assert _place(2, 3, generator) == 0
