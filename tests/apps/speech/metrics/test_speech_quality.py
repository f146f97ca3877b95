"""Ratios of energies by construction; models of listeners on what they must tell apart."""

import pytest
import torch

from interpolants.apps.speech.metrics.speech_quality import estoi, pesq, si_ratios, si_sdr, si_sdr_of_draws
from interpolants.foundations.errors import InvalidInputError


def orthogonal(n=20_000, seed=0):
    """Three orthogonal signals of one energy."""
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linalg.qr(x).Q.T * n**0.5


def test_noise_at_ten_decibels_and_any_loudness():
    s, n, _ = orthogonal()
    assert float(si_sdr(s + 10**-0.5 * n, s)) == pytest.approx(10.0, abs=1e-6)
    assert float(si_sdr(-3 * (s + 10**-0.5 * n), s)) == pytest.approx(10.0, abs=1e-6)
    assert float(si_sdr(0.7 * s, s)) > 80


def test_it_is_a_number_for_each_row():
    s, n, _ = orthogonal()
    found = si_sdr(torch.stack([s + n, s + 0.1 * n]), torch.stack([s, s]))
    assert found.tolist() == pytest.approx([0.0, 20.0], abs=1e-6)


def test_padding_counts_as_restored():
    """Why recordings are compared at their own length: junk beside zeros of the reference does count."""
    s, n, _ = orthogonal()
    padded = torch.cat([s, torch.zeros(5000)])
    junk = torch.cat([s, n[:5000]])
    assert float(si_sdr(junk, padded)) < 10 < 80 < float(si_sdr(junk[:20_000], padded[:20_000]))


@pytest.mark.parametrize("draws", [1, 2, 8])
@pytest.mark.parametrize("deviation", [0.3, 2.0])
def test_draws_of_a_gaussian_posterior_err_as_they_must(draws, deviation):
    """Signal N(0, 1) in noise of a known deviation: the posterior is known, sample by sample."""
    g = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(200_000, dtype=torch.float64, generator=g) for _ in range(2))
    mean = (x + deviation * noise) / (1 + deviation**2)
    spread = deviation / (1 + deviation**2) ** 0.5
    drawn = (
        sum(mean + spread * torch.randn(x.shape, dtype=x.dtype, generator=g) for _ in range(draws)) / draws
    )
    found, best = float(si_sdr(drawn, x)), float(si_sdr(mean, x))
    assert found == pytest.approx(si_sdr_of_draws(best, draws), abs=0.1)
    assert si_sdr_of_draws(best, 10**9) == pytest.approx(best, abs=1e-6)


def test_distortion_is_parted_into_noise_and_artefacts():
    s, n, other = orthogonal()
    found = si_ratios(2 * s + 0.2 * n + 0.02 * other, s, n + 0.5 * s)
    assert float(found.interference) == pytest.approx(20.0, abs=1e-6)
    assert float(found.artefacts) == pytest.approx(40.0, abs=1e-6)
    assert float(found.distortion) == pytest.approx(
        -10 * torch.tensor(0.01 + 0.0001).log10().item(), abs=1e-6
    )


def speech(rate, seconds=2.0):
    from interpolants.apps.speech.synthetic_speech import harmonic_signals

    return harmonic_signals(1, seconds=seconds, rate=rate)[0].samples


@pytest.mark.parametrize(("listener", "rate"), [(estoi, 8000), (estoi, 16000), (pesq, 8000), (pesq, 16000)])
def test_listeners_prefer_less_noise(listener, rate):
    pytest.importorskip(listener.__name__.replace("estoi", "pystoi"))
    s = speech(rate)
    n = torch.randn(len(s), generator=torch.Generator().manual_seed(1)) * s.std()
    clean, soft, loud = (listener(s + size * n, s, rate) for size in (0.0, 0.1, 1.0))
    assert clean > soft > loud
    assert clean == pytest.approx({"estoi": 1.0, "pesq": 4.6}[listener.__name__], abs=0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: si_sdr(torch.ones(3), torch.ones(4)), r"both must have one shape, \(4,\), got \(3,\)"),
        (lambda: si_sdr(torch.ones(4), torch.zeros(4)), "the reference must not be silent"),
        (lambda: estoi(torch.ones(900), torch.ones(900), 8000), "a third of a second of speech"),
        (lambda: pesq(torch.ones(900), torch.ones(900), 11025), "rate must be one of 8000, 16000"),
        (lambda: pesq(torch.ones(900), torch.ones(900), 8000), "a quarter of a second"),
    ],
)
def test_bad_input_is_refused(call, message):
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    with pytest.raises(InvalidInputError, match=message):
        call()
