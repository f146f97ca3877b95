"""Subtraction of a noise floor, and prediction of late echoes, on signals whose answer is known."""

import pytest
import torch

from interpolants.apps.speech.classical_restoration import DelayedPrediction, SpectralSubtraction
from interpolants.apps.speech.metrics.speech_quality import si_sdr
from interpolants.apps.speech.recordings import Recording
from interpolants.apps.speech.synthetic_speech import harmonic_signals

SIGNAL = harmonic_signals(1, seconds=3.0)[0].samples


def noise(size=1.0, n=24_000, seed=0):
    return size * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def fitted(method):
    return method.fit([SIGNAL])


def test_the_quantile_of_white_noise_tells_its_power():
    """All that is left of noise alone is the floor, but for frames that stand out."""
    rule = fitted(SpectralSubtraction(over=4.0, floor=0.01))
    left = rule.restore(noise())
    assert float(left.square().mean()) < 0.02
    kept = fitted(SpectralSubtraction(over=1e-9)).restore(noise())
    assert float((kept - noise()).abs().max()) < 1e-4


def test_it_takes_white_noise_from_speech():
    y = SIGNAL + noise(float(SIGNAL.std()) * 10 ** (-5 / 20))
    found = fitted(SpectralSubtraction()).restore(y)
    assert float(si_sdr(found, SIGNAL)) > float(si_sdr(y, SIGNAL)) + 2


def weighted_prediction(y, taps, delay, rounds):
    """The equations of `DelayedPrediction` by tensors: bins (F, N) less what their past predicts."""
    shifts = range(delay, delay + taps)
    past = torch.stack([torch.nn.functional.pad(y, (k, 0))[:, : y.shape[1]] for k in shifts], -1)
    x = y
    for _ in range(rounds):
        power = x.abs().square()
        weight = (1 / power.clamp_min(1e-10 * power.amax(1, keepdim=True))).to(y)
        normal = torch.einsum("fnk,fn,fnl->fkl", past.conj(), weight, past)
        right = torch.einsum("fnk,fn,fn->fk", past.conj(), weight, y)
        x = y - torch.einsum("fnk,fk->fn", past, torch.linalg.solve(normal, right))
    return x


@pytest.mark.parametrize(("taps", "delay", "rounds"), [(10, 3, 3), (4, 1, 1), (1, 2, 2)])
def test_prediction_solves_the_equations_of_the_paper(taps, delay, rounds):
    pytest.importorskip("nara_wpe")
    c = torch.randn(2, 9, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = DelayedPrediction(taps=taps, delay=delay, rounds=rounds).changed(c)
    expected = weighted_prediction(torch.complex(*c), taps, delay, rounds)
    torch.testing.assert_close(torch.complex(*found), expected, rtol=1e-8, atol=1e-8)


def test_silence_stays_silence():
    pytest.importorskip("nara_wpe")
    assert not fitted(DelayedPrediction()).restore(torch.zeros(4000)).any()


def test_an_echo_from_beyond_the_delay_is_predicted():
    """White noise in each bin is not predictable by its past; with an echo it is, and the echo goes."""
    pytest.importorskip("nara_wpe")
    x = noise()
    y = (
        x + 0.6 * torch.nn.functional.pad(x, (512, 0))[: len(x)]
    )  # four hops: within the taps, beyond the delay
    rule = fitted(DelayedPrediction())
    assert float(si_sdr(y, x)) == pytest.approx(4.5, abs=0.2)
    assert float(si_sdr(rule.restore(y), x)) > 8
    assert (
        float(si_sdr(rule.restore(x), x)) > 14
    )  # ten coefficients for each bin of 190 frames: little is lost


def test_channels_rates_and_lengths_are_kept():
    pytest.importorskip("nara_wpe")
    both = Recording(torch.stack([SIGNAL + noise(0.1), SIGNAL + noise(0.1, seed=1)]), 16000, "both")
    for rule in (fitted(SpectralSubtraction()), fitted(DelayedPrediction())):
        found = rule.restore([both, Recording(SIGNAL[:50], 8000)])
        assert [tuple(one.samples.shape) for one in found] == [(2, len(SIGNAL)), (50,)]
        assert (found[0].rate, found[0].name) == (16000, "both")
