"""Impulse responses of shoebox rooms by the image-source method.

A wall that reflects a share of the pressure mirrors the source. Along an axis of length L the images of a source at s
stand at ``i L + s`` for even i and ``(i + 1) L - s`` for odd i, after ``|i|`` reflections.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from interpolants.foundations.checks import number, positive, whole
from interpolants.foundations.errors import invalid

SPEED = 343.0  # of sound, in metres per second


def absorption_for(size: Sequence[float], rt60: float) -> float:
    """Share of energy that walls take so that sound falls by 60 dB in ``rt60`` seconds, by Eyring's formula."""
    positive("absorption_for", "rt60", rt60, remedy="A living room has 0.3 to 0.6 seconds.")
    a, b, c = size
    walls = 2 * (a * b + b * c + a * c)
    return -math.expm1(-24 * math.log(10) * a * b * c / (SPEED * walls * rt60))


def room_response(
    size: Sequence[float],
    source: Sequence[float],
    microphone: Sequence[float],
    *,
    absorption: float,
    rate: int,
    seconds: float,
    max_order: int | None = None,
    taps: int = 81,
    from_direct: bool = False,
    high_pass: float = 100.0,
) -> Tensor:
    """Pressure at a microphone after a unit impulse at a source, ``(T,)`` float64.

    Each image adds ``reflection^order / (4 pi d)`` at the time d / c, a windowed sinc of ``taps`` samples.

    Args:
        size: Lengths of the room, in metres.
        source: Its place in the room, in metres.
        microphone: Likewise.
        absorption: Share of energy that every wall takes, in (0, 1].
        rate: Samples per second.
        seconds: Length of the response.
        max_order: Most reflections; as many as arrive in time if None.
        taps: Length of the sinc, odd.
        from_direct: Begin where the direct sound arrives, and have it of size 1: one sample that no filter changes, so
            that dry sound is in step with what it became.
        high_pass: Corner in Hz of a filter; 0 for none. All images have one sign, and late ones, many in each sample,
            would add up to a slow pressure that no room holds.

    Raises:
        InvalidInputError: If a place is outside the room, both are the same, or a number is out of range.

    Source: Allen & Berkley (1979), J. Acoust. Soc. Am. 65, 943-950.
    """
    who = "room_response"
    room, here, there = (
        _place(who, name, v) for name, v in (("size", size), ("source", source), ("microphone", microphone))
    )
    for name, place in (("source", here), ("microphone", there)):
        if not bool(((place > 0) & (place < room)).all()):
            raise invalid(who, f"{name} must be inside the room {room.tolist()}", place.tolist())
    number(who, "absorption", absorption, above=0, at_most=1), number(who, "high_pass", high_pass, at_least=0)
    whole(who, "rate", rate, at_least=1), positive(who, "seconds", seconds)
    if whole(who, "taps", taps, at_least=1) % 2 == 0:
        raise invalid(who, "taps must be odd", taps)
    direct = float((here - there).norm())
    positive(who, "the distance of source and microphone", direct)
    distance, order = _images(room, here, there, SPEED * seconds + direct, max_order)
    size_of = math.sqrt(1 - absorption) ** order / (4 * math.pi * distance)
    delay = distance / SPEED * rate
    if from_direct:
        late = order > 0
        size_of, delay = (size_of * 4 * math.pi * direct)[late], (delay - direct / SPEED * rate)[late]
    response = _placed(delay, size_of, round(seconds * rate), taps)
    response = _high_passed(response, high_pass / rate) if high_pass else response
    if from_direct:
        response[0] += 1.0
    return response


def _place(who: str, name: str, value: Sequence[float]) -> Tensor:
    found = torch.as_tensor(value, dtype=torch.float64)
    if found.shape != (3,) or not bool(torch.isfinite(found).all()):
        raise invalid(who, f"{name} must be three lengths in metres", value)
    return found


def _images(
    room: Tensor, source: Tensor, microphone: Tensor, reach: float, max_order: int | None
) -> tuple[Tensor, Tensor]:
    """Distances of all images within reach, and their numbers of reflections."""
    squares, orders = [], []
    for length, s, m in zip(room.tolist(), source.tolist(), microphone.tolist(), strict=True):
        most = math.ceil(reach / length) + 1
        i = torch.arange(-most, most + 1, dtype=torch.float64)
        place = torch.where(i % 2 == 0, i * length + s, (i + 1) * length - s)
        squares += [(place - m).square()]
        orders += [i.abs()]
    square, order = (
        (x[:, None, None] + y[None, :, None] + z[None, None]).flatten() for x, y, z in (squares, orders)
    )
    heard = square <= reach**2
    if max_order is not None:
        heard &= order <= max_order
    return square[heard].sqrt(), order[heard]


def _placed(delay: Tensor, size: Tensor, length: int, taps: int) -> Tensor:
    """Impulses at fractional samples: sinc under a Hann window of ``taps`` samples about each."""
    first = delay.round().long() - taps // 2
    offset = torch.arange(taps)
    response = torch.zeros(length + 2 * taps, dtype=torch.float64)
    for part in torch.split(torch.arange(len(delay)), 1 << 17):
        place = first[part, None] + offset
        away = place - delay[part, None]
        window = 0.5 + 0.5 * torch.cos(2 * math.pi * away / (taps + 1))
        at = (place + taps).clamp(0, len(response) - 1)
        response.index_add_(0, at.flatten(), (size[part, None] * torch.sinc(away) * window).flatten())
    return response[taps : taps + length]


def _high_passed(x: Tensor, corner: float) -> Tensor:
    """The causal filter ``(1 - (1 + r) q + r q^2) / (1 - 2 r cos(w) q + r^2 q^2)``, q the delay by a sample, r = e^-w.

    Args:
        x: Samples ``(T,)``.
        corner: Corner frequency in cycles a sample; ``w`` is its angle.
    """
    w = 2 * math.pi * corner
    r, n = math.exp(-w), 2 * len(x)
    q = torch.exp(-2j * math.pi * torch.arange(n // 2 + 1, dtype=torch.float64) / n)
    gain = (1 - (1 + r) * q + r * q**2) / (1 - 2 * r * math.cos(w) * q + r**2 * q**2)
    found: Tensor = torch.fft.irfft(torch.fft.rfft(x, n) * gain, n)[: len(x)]
    return found
