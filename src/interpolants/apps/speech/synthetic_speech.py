"""Synthetic speech-like signals: harmonics of a gliding pitch under moving formants, in syllables with pauses."""

import math

import torch
from torch import Generator, Tensor

from interpolants.apps.speech.recordings import Recording
from interpolants.foundations.checks import positive, whole
from interpolants.foundations.randomness import generator

_PITCH = (90.0, 240.0)  # Hz
_FORMANTS = ((250.0, 900.0), (900.0, 2400.0), (2200.0, 3200.0))  # Hz
_SYLLABLE, _PAUSE = (0.12, 0.35), (0.03, 0.15)  # seconds
_LOUDNESS = 0.5


def harmonic_signals(
    n: int = 200, *, seconds: float = 2.0, rate: int = 8000, seed: int = 0
) -> list[Recording]:
    """Signals like voiced speech; signal i belongs to (seed, i).

    Args:
        n: Number of signals.
        seconds: Length of each.
        rate: Samples per second.
        seed: Seed of pitches, formants and syllables.
    """
    who = "harmonic_signals"
    whole(who, "n", n, at_least=1), whole(who, "rate", rate, at_least=4000), positive(who, "seconds", seconds)
    sources = (generator(seed, "harmonic signal", i) for i in range(n))
    return [
        Recording(_signal(round(seconds * rate), rate, source), rate, f"signal-{i:04d}")
        for i, source in enumerate(sources)
    ]


def _signal(n: int, rate: int, source: Generator) -> Tensor:
    signal, at = torch.zeros(n), 0
    base = _between(*_PITCH, source)
    while at < n:
        length = min(n - at, round(_between(*_SYLLABLE, source) * rate))
        signal[at : at + length] = _syllable(length, rate, base, source)
        at += length + round(_between(*_PAUSE, source) * rate)
    return signal * (_LOUDNESS / float(signal.abs().max()))


def _syllable(n: int, rate: int, base: float, source: Generator) -> Tensor:
    """Harmonics below half the rate, with phases of their own, louder near the formants, which glide."""
    share = torch.linspace(0, 1, n)
    pitch = base * (1 + _between(-0.15, 0.15, source) + _between(-0.2, 0.2, source) * share)
    phase = 2 * math.pi * (pitch / rate).cumsum(0)
    tracks = [_between(*ends, source) + _between(-200, 200, source) * share for ends in _FORMANTS]
    order = torch.arange(1, int(rate / 2 / float(pitch.max())) + 1)[:, None]
    size = torch.stack([torch.exp(-0.5 * ((order * pitch - track) / 180).square()) for track in tracks]).sum(
        0
    )
    size = (size + 0.02) / order.sqrt()
    start = 2 * math.pi * torch.rand(len(order), 1, generator=source)
    return torch.sin(math.pi * share).clamp_min(0).sqrt() * (size * torch.sin(order * phase + start)).sum(0)


def _between(low: float, high: float, source: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=source))
