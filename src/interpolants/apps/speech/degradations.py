"""What happens to clean speech on its way: noise that is added, and rooms that answer."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from annotated_types import MinLen
from torch import Generator, Tensor

from interpolants.apps.speech.recordings import channels_of, check_heard, read_folder, read_recording
from interpolants.apps.speech.room_responses import absorption_for, room_response
from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number
from interpolants.foundations.kinds import Check, Count, Each, OneOf, Whole
from interpolants.foundations.randomness import generator
from interpolants.foundations.records import record


class Degradation(Protocol):
    """A random degradation of clean samples."""

    def degrade(
        self, x: Tensor, rate: int, *, level: float, generator: Generator, others: Sequence[Tensor] = ()
    ) -> Tensor:
        """Degraded samples ``(T,)``.

        Args:
            x: Clean samples ``(T,)``, of a recording or a stretch of it.
            rate: Samples per second.
            level: Root mean square of the whole recording.
            generator: Source of what is random.
            others: Other clean recordings at this rate.
        """
        ...


def level_of(x: Tensor) -> float:
    """Root mean square of samples."""
    return float(x.double().square().mean().sqrt())


def _span(name: str, above: float | None = None) -> Check:
    """Two finite numbers, the lower one first; one number is both."""

    def span(who: str, value: object) -> tuple[float, float]:
        pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
        if len(pair) != 2:
            raise invalid(f"{name} must be a number or (least, most)", value)
        low, high = (number(who, name, v, above=above) for v in pair)
        if low > high:
            raise invalid(f"{name} must be (least, most)", value)
        return low, high

    return Check(span, "number | (least, most)")


def _uniform(low: float, high: float, source: Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=source))


# --- noise ---------------------------------------------------------------------------------------------------


def _white(n: int, rate: int, source: Generator) -> Tensor:
    return torch.randn(n, generator=source)


def _low_passed(n: int, rate: int, source: Generator) -> Tensor:
    """White noise through a filter of first order with a corner between 200 and 1000 Hz."""
    corner = _uniform(200, 1000, source)
    frequency = torch.fft.rfftfreq(n, 1 / rate)
    gain = 1 / (1 + (frequency / corner).square()).sqrt()
    found: Tensor = torch.fft.irfft(torch.fft.rfft(torch.randn(n, generator=source)) * gain, n)
    return found


def _modulated(n: int, rate: int, source: Generator) -> Tensor:
    """White noise that swells and fades 0.5 to 4 times a second."""
    speed, phase = _uniform(0.5, 4, source), _uniform(0, 2 * math.pi, source)
    envelope = 1 + 0.9 * torch.sin(2 * math.pi * speed * torch.arange(n) / rate + phase)
    return envelope * torch.randn(n, generator=source)


NOISES: Mapping[str, Callable[[int, int, Generator], Tensor]] = {
    "white": _white,
    "low_passed": _low_passed,
    "modulated": _modulated,
}
BABBLE, RECORDED = "babble", "recorded"


def _files(who: str, value: Any) -> tuple[str, ...]:
    """Paths of folders and files, as words."""
    paths = value if isinstance(value, list | tuple) else (value,)
    other = [path for path in paths if not isinstance(path, str | Path)]
    if other:
        remedy = "Write arrays to WAV files first."
        raise invalid("recordings must be folders or files", type(other[0]).__name__, remedy)
    return tuple(map(str, paths))


@record("additive_noise")
@dataclass(frozen=True, kw_only=True)
class AdditiveNoise(Checked):
    """Noise of a kind that is drawn, at a ratio of signal to noise that is drawn.

    Raises:
        InvalidInputError: If a setting is out of range; or, when noise is drawn, if a file is silent or no sound file.
    """

    snr: Annotated[Any, _span("snr")] = (0.0, 10.0)
    """Ratio of the recording's energy to the noise's in decibels: a number, or the two ends of a uniform law."""
    kinds: Annotated[
        tuple[Annotated[str, OneOf(lambda: (*NOISES, BABBLE, RECORDED))], ...], MinLen(1), Each("every kind")
    ] = ("white", "low_passed", "modulated")
    """Kinds of noise, drawn as often as they are named."""
    voices: Count = 6
    """Other recordings that babble at once, all different where there are so many."""
    recordings: Annotated[Any, Check(_files, "file | several files")] = ()
    """For ``"recorded"``: a folder or a file with noise of your own, or a list of these. Each channel of a file is a
    noise of its own, resampled to the rate of the model. Each draw takes one of them, from a random position on and
    from its beginning again after its end. Files are read when noise is first drawn."""

    def check_settings(self) -> None:
        """Refuse noise recordings that no kind draws, and a kind that has none."""
        if bool(self.recordings) != (RECORDED in self.kinds):
            rule = "recordings goes with 'recorded' among kinds, and it with recordings"
            raise invalid(rule, f"kinds {self.kinds}, {len(self.recordings)} recordings")

    def degrade(
        self, x: Tensor, rate: int, *, level: float, generator: Generator, others: Sequence[Tensor] = ()
    ) -> Tensor:
        """See :class:`Degradation`."""
        kind = self.kinds[int(torch.randint(len(self.kinds), (), generator=generator))]
        snr = _uniform(self.snr[0], self.snr[1], generator)
        noise = self._noise(kind, len(x), rate, others, generator)
        size = level * 10 ** (-snr / 20) / max(level_of(noise), 1e-12)
        return x + size * noise.to(x)

    def _noise(self, kind: str, n: int, rate: int, others: Sequence[Tensor], source: Generator) -> Tensor:
        """Noise ``(n,)`` of a kind, of any size."""
        if kind == BABBLE:
            return self._babble(n, others, source)
        if kind == RECORDED:
            known = self._recorded(rate)
            return _from_anywhere(known[int(torch.randint(len(known), (), generator=source))], n, source)
        return NOISES[kind](n, rate, source)

    def _recorded(self, rate: int) -> list[Tensor]:
        """Channels ``(T,)`` of the noise recordings at a rate; read once."""
        if rate not in self._known:
            who, found = "AdditiveNoise", []
            for path in self.recordings:
                found += read_folder(path, who) if Path(path).is_dir() else [read_recording(path, who)]
            for one in found:
                check_heard(who, one)
            self._known[rate] = channels_of(found, rate)
        return self._known[rate]

    @cached_property
    def _known(self) -> dict[int, list[Tensor]]:
        return {}

    def _babble(self, n: int, others: Sequence[Tensor], source: Generator) -> Tensor:
        """Other recordings at once, each at the same level and from a place of its own."""
        if not others:
            raise invalid("babble needs other recordings", "none", "Use another kind of noise.")
        if len(others) >= self.voices:
            picks = torch.randperm(len(others), generator=source)[: self.voices]
        else:
            picks = torch.randint(len(others), (self.voices,), generator=source)
        voices = [others[k] for k in picks.tolist()]
        return torch.stack([_from_anywhere(voice, n, source) / level_of(voice) for voice in voices]).sum(0)


def _from_anywhere(x: Tensor, n: int, source: Generator) -> Tensor:
    """``n`` samples from a random place on, from the beginning again after the end."""
    first = int(torch.randint(len(x), (), generator=source))
    return x[(first + torch.arange(n)) % len(x)]


# --- rooms ---------------------------------------------------------------------------------------------------

# Rooms in metres, at least and at most; walls are kept away from.
_SMALLEST, _LARGEST, _FROM_WALL = (3.0, 3.0, 2.4), (7.0, 6.0, 3.2), 0.5
# Taps of the sinc in drawn rooms: 81 cost four times as much and change the response by -40 dB.
_TAPS = 21


@record("reverberation")
@dataclass(frozen=True, kw_only=True)
class Reverberation(Checked):
    """The response of a shoebox room that is drawn, from where the direct sound arrives, which keeps its size.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    rt60: Annotated[Any, _span("rt60", above=0)] = (0.2, 0.5)
    """Seconds in which sound falls by 60 dB: a number, or the two ends of a uniform law."""
    rooms: Count = 32
    """Rooms that are drawn once; each draw takes one of them."""
    seed: Whole = 0
    """Seed of the rooms: others for training than for a test."""

    def degrade(
        self, x: Tensor, rate: int, *, level: float, generator: Generator, others: Sequence[Tensor] = ()
    ) -> Tensor:
        """See :class:`Degradation`."""
        pick = int(torch.randint(self.rooms, (), generator=generator))
        return filtered(x, self.response(pick, rate).to(x))

    def response(self, room: int, rate: int) -> Tensor:
        """The response of one of the rooms, ``(T,)`` float32."""
        known = self._known
        if (room, rate) not in known:
            known[room, rate] = self._drawn(room, rate)
        return known[room, rate]

    @cached_property
    def _known(self) -> dict[tuple[int, int], Tensor]:
        return {}

    def _drawn(self, room: int, rate: int) -> Tensor:
        source = generator(self.seed, "room", room)
        size = [_uniform(low, high, source) for low, high in zip(_SMALLEST, _LARGEST, strict=True)]
        places = [[_uniform(_FROM_WALL, length - _FROM_WALL, source) for length in size] for _ in range(2)]
        rt60 = _uniform(self.rt60[0], self.rt60[1], source)
        return room_response(
            size,
            *places,
            absorption=absorption_for(size, rt60),
            rate=rate,
            seconds=rt60,
            taps=_TAPS,
            from_direct=True,
        ).float()


def filtered(x: Tensor, response: Tensor) -> Tensor:
    """The causal convolution of samples ``(T,)`` with a response, cut to their length."""
    n = len(x) + len(response) - 1
    found: Tensor = torch.fft.irfft(torch.fft.rfft(x, n) * torch.fft.rfft(response, n), n)[: len(x)]
    return found
