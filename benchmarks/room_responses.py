"""Impulse responses of rooms by our image sources and by pyroomacoustics.

pyroomacoustics comes with ``pip install pyroomacoustics`` (MIT); without it a line says so.
"""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from interpolants.apps.speech.room_responses import SPEED, room_response
from interpolants.foundations.randomness import generator

_SMALLEST, _LARGEST = torch.tensor([3.0, 3.0, 2.4]), torch.tensor([7.0, 6.0, 3.2])


def run(
    *, rooms: int = 5, rate: int = 8000, max_order: int = 12, report: Callable[[str], None] = print
) -> None:
    """Relative differences of responses and seconds, room by room, without the high-pass filters of either.

    Args:
        rooms: Number of random rooms.
        rate: Samples per second.
        max_order: Most reflections.
        report: Where lines go.
    """
    if importlib.util.find_spec("pyroomacoustics") is None:
        report("pyroomacoustics is not installed: pip install pyroomacoustics.")
        return
    report(
        "| room (m) | absorption | relative difference | delay (samples) | seconds, ours | seconds, theirs |"
    )
    report("| --- | --- | --- | --- | --- | --- |")
    for k in range(rooms):
        report(_measured(k, rate, max_order))


def _measured(k: int, rate: int, max_order: int) -> str:
    u = torch.rand(10, dtype=torch.float64, generator=generator(0, "benchmark room", k))
    size = _SMALLEST + u[:3] * (_LARGEST - _SMALLEST)
    source, microphone = (0.5 + part * (size - 1) for part in (u[3:6], u[6:9]))
    absorption = 0.1 + 0.4 * float(u[9])
    begin = time.perf_counter()
    theirs, delay = _theirs(size, source, microphone, absorption, rate, max_order)
    middle = time.perf_counter()
    ours = room_response(
        size.tolist(), source.tolist(), microphone.tolist(), absorption=absorption, rate=rate,
        seconds=len(theirs) / rate, max_order=max_order, high_pass=0.0,
    )  # fmt: skip
    seconds = time.perf_counter() - middle
    n = len(theirs) - delay - 100
    gap = float((ours[:n] - theirs[delay : delay + n]).norm() / ours[:n].norm())
    room = " x ".join(f"{length:.2f}" for length in size)
    return f"| {room} | {absorption:.2f} | {gap:.4f} | {delay} | {seconds:.2f} | {middle - begin:.2f} |"


def _theirs(
    size: Tensor, source: Tensor, microphone: Tensor, absorption: float, rate: int, max_order: int
) -> tuple[Tensor, int]:
    """Their response, and the samples by which it is late: half of their sinc."""
    import pyroomacoustics as pra

    for name, value in (("rir_hpf_enable", False), ("c", SPEED)):
        pra.constants.set(name, value)
    room: Any = pra.ShoeBox(size.tolist(), fs=rate, materials=pra.Material(absorption), max_order=max_order)
    room.add_source(source.tolist()), room.add_microphone(microphone.tolist())
    room.compute_rir()
    response = torch.as_tensor(room.rir[0][0], dtype=torch.float64)
    return response, int(pra.constants.get("frac_delay_length")) // 2
