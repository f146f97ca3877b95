"""Side-by-side timing on a noisy machine: short bursts in shuffled order, ratios taken round by round."""

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


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
    """

    case: str
    median: float
    ratio: float
    low: float
    high: float
    of_minima: float


def compare(
    cases: dict[str, Callable[[], object]], *, rounds: int = 7, repeats: int = 3, seed: int = 0
) -> list[Row]:
    """Time every case against the first one, the floor.

    Args:
        cases: Name -> function doing one unit of work; the first is the floor.
        rounds: Rounds; in each, every case runs once, in an order shuffled anew.
        repeats: Units of work per burst.
        seed: Seed of the order.
    """
    order, shuffle = list(cases), random.Random(seed)
    for work in cases.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        shuffle.shuffle(order)
        for name in order:
            begin = time.perf_counter()
            for _ in range(repeats):
                cases[name]()
            times[name].append((time.perf_counter() - begin) / repeats)
    floor = times[next(iter(cases))]
    return [_row(name, taken, floor) for name, taken in times.items()]


def _row(name: str, taken: list[float], floor: list[float]) -> Row:
    ratios = sorted(a / b for a, b in zip(taken, floor, strict=True))
    quarter = len(ratios) // 4
    return Row(
        case=name,
        median=statistics.median(taken),
        ratio=statistics.median(ratios),
        low=ratios[quarter],
        high=ratios[-1 - quarter],
        of_minima=min(taken) / min(floor),
    )


def table(title: str, rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        f"### {title}",
        "",
        "| case | median | ratio | quartiles | of minima |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        median = f"{1e3 * row.median:.2f} ms"
        lines.append(
            f"| {row.case} | {median} | {row.ratio:.3f} | {row.low:.3f} - {row.high:.3f} | {row.of_minima:.3f} |"
        )
    return "\n".join(lines) + "\n"
