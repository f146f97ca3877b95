"""Side-by-side timing on a noisy machine: short bursts in shuffled order, ratios taken round by round."""

import functools
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

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
        ratio: Median over rounds of its time over the floor's time in the same round.
        low: Lower quartile of those ratios.
        high: Upper quartile of those ratios.
        of_minima: Ratio of the fastest bursts, the figure to trust where the quartiles are wide.
        of_own: Median over rounds of its time over the time that the network's own work took in it, over the same of
            the floor; None without a stopwatch. The ratio again, but what a slow minute does cancels within each run.
    """

    case: str
    median: float
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
) -> list[Row]:
    """Time every case against the first one, the floor.

    Args:
        cases: Name -> function doing one unit of work; the first is the floor.
        rounds: Rounds; in each, every case runs once, in an order shuffled anew.
        repeats: Units of work per burst.
        seed: Seed of the order.
        watch: Counts the network's own work in all cases.
    """
    order, shuffle = list(cases), random.Random(seed)
    for work in cases.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in cases}
    own: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        shuffle.shuffle(order)
        for name in order:
            before = 0.0 if watch is None else watch.seconds
            begin = time.perf_counter()
            for _ in range(repeats):
                cases[name]()
            taken = time.perf_counter() - begin
            times[name].append(taken / repeats)
            if watch is not None:
                own[name].append(taken / (watch.seconds - before))
    floor = times[next(iter(cases))]
    least = 0.0 if watch is None else statistics.median(own[next(iter(cases))])
    return [
        _row(name, taken, floor, None if watch is None else statistics.median(own[name]) / least)
        for name, taken in times.items()
    ]


def _row(name: str, taken: list[float], floor: list[float], of_own: float | None) -> Row:
    ratios = sorted(a / b for a, b in zip(taken, floor, strict=True))
    quarter = len(ratios) // 4
    return Row(
        case=name,
        median=statistics.median(taken),
        ratio=statistics.median(ratios),
        low=ratios[quarter],
        high=ratios[-1 - quarter],
        of_minima=min(taken) / min(floor),
        of_own=of_own,
    )


def table(title: str, rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        f"### {title}",
        "",
        "| case | median | ratio | quartiles | of minima | by network time |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        median = f"{1e3 * row.median:.2f} ms"
        own = "" if row.of_own is None else f"{row.of_own:.3f}"
        quartiles = f"{row.low:.3f} - {row.high:.3f}"
        lines.append(
            f"| {row.case} | {median} | {row.ratio:.3f} | {quartiles} | {row.of_minima:.3f} | {own} |"
        )
    return "\n".join(lines) + "\n"
