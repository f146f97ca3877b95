"""Noise at the ratio that was asked for, and rooms whose echoes are known."""

import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.speech import degradations
from interpolants.apps.speech.degradations import AdditiveNoise, Reverberation, filtered, level_of
from interpolants.apps.speech.room_responses import SPEED, absorption_for, room_response
from interpolants.apps.speech.synthetic_speech import harmonic_signals
from interpolants.foundations.errors import InvalidInputError

RATE = 8000


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def noise_of(kind, n=RATE * 8, **settings):
    x = torch.sin(torch.arange(n) / 7)
    y = AdditiveNoise(kinds=(kind,), **settings).degrade(
        x, RATE, level=level_of(x), generator=source(), others=[x[: n // 2]]
    )
    return x, y - x


@pytest.mark.parametrize("kind", ["white", "low_passed", "modulated", "babble"])
def test_the_ratio_is_the_one_asked_for(kind):
    x, n = noise_of(kind, snr=5.0)
    assert 20 * math.log10(level_of(x) / level_of(n)) == pytest.approx(5.0, abs=1e-3)


def test_ratios_are_drawn_from_their_span():
    x, degradation = torch.ones(500), AdditiveNoise(snr=(0.0, 10.0))
    found = []
    for k in range(200):
        n = degradation.degrade(x, RATE, level=1.0, generator=source(k)) - x
        found.append(-20 * math.log10(level_of(n)))
    assert min(found) == pytest.approx(0, abs=0.3)
    assert max(found) == pytest.approx(10, abs=0.3)
    assert sum(found) / 200 == pytest.approx(5, abs=0.8)


def test_the_level_is_that_of_the_whole_recording():
    """A silent stretch of a recording gets the recording's noise, not none."""
    y = AdditiveNoise(snr=0.0, kinds=("white",)).degrade(
        torch.zeros(4000), RATE, level=0.3, generator=source()
    )
    assert level_of(y) == pytest.approx(0.3, rel=1e-3)


def test_kinds_have_their_spectra_and_envelopes():
    def share_below(n, hertz):
        power = torch.fft.rfft(n).abs().square()
        return float(power[: int(len(power) * hertz / (RATE / 2))].sum() / power.sum())

    assert share_below(noise_of("white")[1], 1000) == pytest.approx(0.25, abs=0.01)
    assert share_below(noise_of("low_passed")[1], 1000) > 0.6
    loudness = noise_of("modulated")[1].reshape(-1, 400).square().mean(1)
    assert float(loudness.max() / loudness.min()) > 50  # (1.9 / 0.1)^2 = 361, less the width of a stretch


def test_voices_that_babble_are_different_ones_where_there_are_so_many():
    """Tones of their own bins: as many are heard, all at one level."""
    n = 800
    others = [(k + 1) * torch.sin(2 * math.pi * (20 + 10 * k) * torch.arange(n) / n) for k in range(7)]
    y = AdditiveNoise(kinds=("babble",), snr=0.0).degrade(
        torch.zeros(n), RATE, level=1.0, generator=source(), others=others
    )
    heard = torch.fft.rfft(y).abs()[20:81:10] / n * 12**0.5
    assert_close(heard.sort().values, torch.tensor([0.0] + [1.0] * 6), rtol=0, atol=1e-4)
    few = AdditiveNoise(kinds=("babble",), snr=0.0).degrade(
        torch.zeros(n), RATE, level=1.0, generator=source(), others=others[:2]
    )
    assert level_of(few) == pytest.approx(1, rel=1e-4)


def tone(hertz, n=4000, rate=RATE):
    return 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(n) / rate)


def loudest(n):
    power = torch.fft.rfft(n).abs().square()
    return round(float(power.argmax()) * RATE / 2 / (len(power) - 1), -2)


@pytest.fixture
def noises(tmp_path):
    """Two channels of 500 and 1,500 Hz at twice the rate, and a file of 2,500 Hz."""
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("julius")
    (tmp_path / "noise").mkdir()
    both = torch.stack([tone(500, rate=2 * RATE), tone(1500, rate=2 * RATE)], 1)
    soundfile.write(tmp_path / "noise" / "a.wav", both.numpy(), 2 * RATE)
    soundfile.write(tmp_path / "b.flac", tone(2500).numpy(), RATE)
    return [str(tmp_path / "noise"), str(tmp_path / "b.flac")]


def test_recorded_noise_is_mixed_anew_at_the_ratio_that_was_asked_for(noises):
    x, degradation = tone(900, n=3000), AdditiveNoise(snr=5.0, kinds=("recorded",), recordings=noises)
    drawn = [
        degradation.degrade(x, RATE, level=level_of(x), generator=source(seed)) - x for seed in range(30)
    ]
    for n in drawn:
        assert 20 * math.log10(level_of(x) / level_of(n)) == pytest.approx(5.0, abs=1e-3)
    assert {loudest(n) for n in drawn} == {500.0, 1500.0, 2500.0}
    assert not any(torch.equal(one, other) for k, one in enumerate(drawn) for other in drawn[:k])
    again = degradation.degrade(x, RATE, level=level_of(x), generator=source(3)) - x
    assert torch.equal(again, drawn[3])


def test_a_short_recording_begins_anew_after_its_end(noises):
    noise = AdditiveNoise(snr=0.0, kinds=("recorded",), recordings=noises[1])
    found = noise.degrade(torch.zeros(9000), RATE, level=1.0, generator=source())
    assert_close(found[:5000], found[4000:], rtol=0, atol=1e-3)  # 4,000 samples long


def test_noise_recordings_are_read_when_noise_is_drawn(noises, tmp_path):
    """So that a saved model does not need them, and a folder of one's own is refused by name in the fit."""
    with pytest.raises(InvalidInputError, match="recordings goes with 'recorded' among kinds"):
        AdditiveNoise(recordings=noises)
    with pytest.raises(InvalidInputError, match="recordings goes with 'recorded' among kinds"):
        AdditiveNoise(kinds=("recorded",))
    with pytest.raises(InvalidInputError, match=r"recordings must be folders or files, got Tensor\. Write"):
        AdditiveNoise(kinds=("recorded",), recordings=[torch.zeros(3)])
    gone = AdditiveNoise(kinds=("recorded",), recordings=str(tmp_path / "gone.wav"))
    with pytest.raises(InvalidInputError, match=r"the file must exist, got .*gone\.wav"):
        gone.degrade(torch.zeros(5), RATE, level=1.0, generator=source())
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "gone.wav", torch.zeros(900).numpy(), RATE)
    with pytest.raises(InvalidInputError, match="gone must not be silent"):
        gone.degrade(torch.zeros(5), RATE, level=1.0, generator=source())


def test_an_echo_by_hand():
    x = torch.arange(1.0, 7.0)
    assert_close(filtered(x, torch.tensor([1.0, 0.0, 0.5])), x + 0.5 * torch.tensor([0, 0, 1.0, 2, 3, 4]))


def test_direct_sound_and_first_reflections_by_hand():
    """Source and microphone on a line: the wall behind the source and the one behind the microphone."""
    size, here, there = (8.0, 6.0, 4.0), (2.0, 3.0, 2.0), (5.0, 3.0, 2.0)
    # 100 samples a metre, reflections of 0.8
    options = {"absorption": 0.36, "rate": 34_300, "seconds": 0.03, "high_pass": 0.0}
    direct = room_response(size, here, there, max_order=0, **options)
    assert int(direct.argmax()) == 300
    assert float(direct[300]) == pytest.approx(1 / (4 * math.pi * 3))
    first = room_response(size, here, there, max_order=1, **options) - direct
    for metres in (7.0, 9.0):  # 2 + 5 by the wall at 0, 6 + 3 by that at 8 m
        assert float(first[round(100 * metres)]) == pytest.approx(0.8 / (4 * math.pi * metres), rel=0.02)
    for metres in (math.hypot(3.0, 6.0), 5.0):  # by the two walls beside them; by floor and ceiling
        pulse = first[round(100 * metres) - 20 : round(100 * metres) + 21]
        assert float(pulse.sum()) == pytest.approx(2 * 0.8 / (4 * math.pi * metres), rel=0.02)


@pytest.mark.parametrize("taps", [5, 81])
def test_a_pulse_before_a_sample_mirrors_one_that_is_as_much_behind_it(taps):
    """Direct sound alone after 60.3 and after 60.7 samples: one is the other, seen from 60.5."""
    pulses = [
        room_response(
            (8.0, 6.0, 4.0), (2.0, 3.0, 2.0), (2.0 + delay / 100, 3.0, 2.0), absorption=1.0, rate=34_300,
            seconds=0.01, max_order=0, taps=taps, high_pass=0.0,
        ) * delay
        for delay in (60.3, 60.7)
    ]  # fmt: skip
    assert_close(pulses[0][:122].flip(0), pulses[1][:122])


def test_late_sound_has_the_energy_of_its_images():
    """Images in direction u at distance c t were reflected c t sum |u_i| / L_i times; there are 4 pi (c t)^2 c / V of
    them a second, each of energy 1 / (4 pi c t)^2 times what the walls left.
    """
    size, absorption = (5.0, 4.0, 3.0), 0.23
    h = room_response(size, (1.2, 1.5, 1.1), (3.6, 2.7, 1.7), absorption=absorption, rate=RATE, seconds=0.3)
    u = torch.randn(100_000, 3, dtype=torch.float64, generator=source())
    u = u.abs() / u.norm(dim=1, keepdim=True)
    rate = (u / torch.tensor(size)).sum(1) * SPEED * -math.log(1 - absorption)
    for time in (0.06, 0.1, 0.15):
        around = h[round((time - 0.03) * RATE) : round((time + 0.03) * RATE)]
        expected = SPEED / (4 * math.pi * 60) * float(torch.exp(-rate * time).mean())
        assert float(around.square().sum()) / 0.06 == pytest.approx(expected, rel=0.35)


def test_walls_for_a_decay_take_what_eyring_says():
    """60 dB in T: the share 1 - a of energy that is left after S c / (4 V) reflections a second."""
    size, rt60 = (5.0, 4.0, 3.0), 0.4
    left = 1 - absorption_for(size, rt60)
    assert left ** (94 * SPEED / (4 * 60) * rt60) == pytest.approx(1e-6)


def test_a_room_leaves_the_direct_sound_where_and_as_it_is():
    room = Reverberation(rooms=1, rt60=0.2)
    h = room.response(0, RATE)
    assert float(h[0]) == pytest.approx(1.0, abs=0.01)
    assert float(h[1:].abs().max()) < 1
    assert_close(Reverberation(rooms=1, rt60=0.2).response(0, RATE), h, rtol=0, atol=0)
    assert not torch.equal(Reverberation(rooms=1, rt60=0.2, seed=1).response(0, RATE), h)


def test_rooms_decay_within_their_span_from_its_one_end_to_the_other():
    """A response is as long as its decay."""
    rooms = Reverberation(rooms=12, rt60=(0.1, 0.2))
    found = [len(rooms.response(k, 1000)) / 1000 for k in range(12)]
    assert 0.1 <= min(found) < 0.13
    assert 0.17 < max(found) <= 0.2


def test_dry_sound_is_in_step_with_what_a_room_makes_of_it():
    """Walls that take all leave the sound as it is; the high-pass filter of echoes had turned the phase of the direct
    sound too, which held SI-SDR below 9 dB whatever was restored.
    """
    x = harmonic_signals(1, seconds=1.0)[0].samples.double()
    size, here, there = (8.0, 6.0, 4.0), (2.0, 3.0, 2.0), (5.0, 3.0, 2.0)
    dead = room_response(size, here, there, absorption=1.0, rate=RATE, seconds=0.2, from_direct=True)
    assert_close(filtered(x, dead), x)
    live = room_response(size, here, there, absorption=0.36, rate=34_300, seconds=0.03, from_direct=True)
    assert float(live[0]) == pytest.approx(1)
    assert float(live[1:150].abs().max()) < 1e-9
    # floor and ceiling, 2 m on at 100 samples a metre
    assert float(live[200]) == pytest.approx(2 * 0.8 * 3 / 5, rel=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AdditiveNoise(snr=(10, 0)), r"snr must be \(least, most\)"),
        (
            lambda: AdditiveNoise(kinds=("babble",)).degrade(torch.ones(9), 8, level=1.0, generator=source()),
            "babble needs other",
        ),
        (lambda: Reverberation(rt60=0.0), "rt60 must be finite and > 0"),
        (lambda: absorption_for((3, 3, 3), -1), "rt60 must be finite and > 0"),
        (
            lambda: room_response((3, 3, 3), (4, 1, 1), (1, 1, 1), absorption=0.5, rate=8000, seconds=0.1),
            "source must be inside the room",
        ),
        (
            lambda: room_response((3, 3, 3), (1, 1, 1), (1, 1, 1), absorption=0.5, rate=8000, seconds=0.1),
            "distance of source and microphone must be",
        ),
        (
            lambda: room_response((3, 3, 3), (1, 1, 1), (2, 1, 1), absorption=0.0, rate=8000, seconds=0.1),
            r"absorption must lie in \(0, 1\]",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


def test_the_speed_of_sound_is_in_metres_per_second():
    assert SPEED == 343.0


def test_modulated_noise_swells_as_often_as_its_speed(monkeypatch):
    """At speed 1 and phase 0 the first half of a second is loud, the second half quiet."""
    draws = iter((1.0, 0.0))
    monkeypatch.setattr(degradations, "_uniform", lambda low, high, source: next(draws))
    x = degradations._modulated(8000, 8000, torch.Generator().manual_seed(0))
    loud, quiet = (float(part.square().mean()) for part in (x[:4000], x[4000:]))
    exact = [1 + 0.9**2 / 2 + sign * 4 * 0.9 / math.pi for sign in (1, -1)]
    assert [loud, quiet] == pytest.approx(exact, rel=0.1)
