"""Side-by-side timing on a noisy machine: short bursts in shuffled order, ratios taken round by round."""

import functools
import gc
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


class Stopwatch:
    """Counts the seconds spent in what is the network's own work, whoever asks for it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, counted."""

        @functools.wraps(work)
        def counted(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            out = work(*args, **kwargs)
            self.seconds += time.perf_counter() - begin
            return out

        return counted

    def on(self, net: nn.Module) -> nn.Module:
        """The network itself, its forward counted."""
        net.forward = self.timed(net.forward)
        return net

    @contextmanager
    def on_methods(self, *methods: tuple[type, str]) -> Iterator[None]:
        """Count these methods of classes while the block runs."""
        kept = [(owner, name, getattr(owner, name)) for owner, name in methods]
        for owner, name, method in kept:
            setattr(owner, name, self.timed(method))
        try:
            yield
        finally:
            for owner, name, method in kept:
                setattr(owner, name, method)


@dataclass(frozen=True)
class Row:
    """One case of an item.

    Attributes:
        case: Its name.
        median: Median seconds of a unit of work.
        least: Seconds of a unit of work in the fastest burst.
        ratio: Median over rounds of its time over the floor's time in the same round.
        low: Lower quartile of those ratios.
        high: Upper quartile of those ratios.
        of_minima: Ratio of the fastest bursts, the figure to trust where the quartiles are wide.
        of_own: Median over rounds of its time over the time that the network's own work took in it, over the same of
            the floor; None without a stopwatch. The ratio again, but what a slow minute does cancels within each run.
    """

    case: str
    median: float
    least: float
    ratio: float
    low: float
    high: float
    of_minima: float
    of_own: float | None


def compare(
    cases: dict[str, Callable[[], object]],
    *,
    rounds: int = 7,
    repeats: int = 3,
    seed: int = 0,
    watch: Stopwatch | None = None,
    burst: float | None = None,
) -> list[Row]:
    """Time every case against the first one, the floor.

    Args:
        cases: Name -> function doing one unit of work; the first is the floor.
        rounds: Rounds; in each, every case runs once, in an order shuffled anew.
        repeats: Units of work per burst.
        seed: Seed of the order.
        watch: Counts the network's own work in all cases.
        burst: Seconds of a burst: every case is then repeated as often as fits, ``repeats`` aside.
    """
    order, shuffle = list(cases), random.Random(seed)
    for work in cases.values():
        work()
    times_of = {name: repeats if burst is None else _fitting(work, burst) for name, work in cases.items()}
    times: dict[str, list[float]] = {name: [] for name in cases}
    own: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        shuffle.shuffle(order)
        gc.collect()
        for name in order:
            before = 0.0 if watch is None else watch.seconds
            _wait()
            begin = time.perf_counter()
            for _ in range(times_of[name]):
                cases[name]()
            _wait()
            taken = time.perf_counter() - begin
            times[name].append(taken / times_of[name])
            if watch is not None:
                own[name].append(taken / (watch.seconds - before))
    floor = times[next(iter(cases))]
    least = 0.0 if watch is None else statistics.median(own[next(iter(cases))])
    return [
        _row(name, taken, floor, None if watch is None else statistics.median(own[name]) / least)
        for name, taken in times.items()
    ]


def _wait() -> None:
    """Wait for a GPU, if one is in use: its operations may still be queued."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _fitting(work: Callable[[], object], burst: float) -> int:
    """How often a unit of work fits into a burst, at least once; by the faster of two runs."""
    seconds = math.inf
    for _ in range(2):
        begin = time.perf_counter()
        work()
        _wait()
        seconds = min(seconds, time.perf_counter() - begin)
        if seconds > burst:
            return 1
    return max(1, int(burst / max(seconds, 1e-7)))


def _row(name: str, taken: list[float], floor: list[float], of_own: float | None) -> Row:
    ratios = sorted(a / b for a, b in zip(taken, floor, strict=True))
    quarter = len(ratios) // 4
    return Row(
        case=name,
        median=statistics.median(taken),
        least=min(taken),
        ratio=statistics.median(ratios),
        low=ratios[quarter],
        high=ratios[-1 - quarter],
        of_minima=min(taken) / min(floor),
        of_own=of_own,
    )


def table(title: str, rows: list[Row], columns: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """The rows as a Markdown table.

    Args:
        title: Its heading.
        rows: What `compare` returned.
        columns: Further columns, by heading: the entry of each case that has one.
    """
    more = dict(columns or {})
    if any(row.of_own is not None for row in rows):
        more["by network time"] = {row.case: f"{row.of_own:.3f}" for row in rows if row.of_own is not None}
    heads = ["case", "median", "ratio", "quartiles", "of minima", *more]
    lines = [f"### {title}", "", f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for row in rows:
        cells = [
            row.case,
            f"{1e3 * row.median:.2f} ms",
            f"{row.ratio:.3f}",
            f"{row.low:.3f} - {row.high:.3f}",
            f"{row.of_minima:.3f}",
            *(column.get(row.case, "") for column in more.values()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
