"""Growth of the cost of every method with the rows of its fit.

Each method is fitted with the ``[quick]`` part of its recipe, to its rows and to copies of them, 10 and 100 times as
many, with as many steps. Copies differ by noise of a thousandth of the standard deviation where a method takes it.
Every point runs in a separate process, within a limit on time and one on memory, after a fit to the rows themselves
that warms the process up; its answers are on the test rows of the recipe, whose number stays.
"""

import ctypes
import json
import math
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FACTORS = (1, 10, 100)
JITTER = 1e-3  # of the standard deviation
SHORT = 1.0  # seconds: a shorter fit is repeated
WARM = 600.0  # seconds within which a process must be warm
# Above the exponent that a card declares: seconds of a shared machine, and overheads between powers.
SLACK = 0.25
MEASURED = ("before", "step", "fit", "answer", "memory")
Point = dict[str, Any]


def run(
    *,
    only: str = "",
    cache: Path = Path("runs/growth"),
    seconds: float = 60.0,
    gib: float = 4.0,
    report: Callable[[str], None],
) -> None:
    """Seconds and memory of every method at 1, 10 and 100 times the rows of its quick recipe.

    Measured points stay in ``cache`` and are not measured again; ``only`` names methods, with commas.
    """
    from interpolants.foundations.cards import load_cards

    cards = {card.id: card for card in load_cards("interpolants") if card.kind == "method"}
    if unknown := [name for name in only.split(",") if only and name not in cards]:
        raise SystemExit(f"growth: --only must name methods, got {unknown[0]!r}")
    report(PREFACE.format(seconds=seconds, gib=gib))
    report("| " + " | ".join(HEADS) + " |\n|" + " --- |" * 2 + " ---: |" * (len(HEADS) - 2))
    faster = []
    for name in only.split(",") if only else sorted(cards):
        points = _points(name, Path(cache), seconds, gib)
        report(_row(name, points, seconds, gib))
        if (result := _exponent(points, "fit")) is not None and result > declared(cards[name].cost) + SLACK:
            faster.append(f"{name} (N^{result:.1f}; its card: {cards[name].cost})")
    report(f"\nGrow faster than their cards say: {'; '.join(faster) or 'none'}.")


PREFACE = """# Growth with the number of rows

`python -m benchmarks growth --out docs/growth.md` writes this page. Each method is fitted with the quick part of its
recipe to 1, 10 and 100 times its rows, with the same number of steps, in a separate process. A fit with its results
has at most {seconds:g} s, and {gib:g} GiB above the memory before it. Additional rows are copies, with noise
of a thousandth of the standard deviation if the method accepts it. *Answers* is the time of all verbs on the test rows
of the recipe, whose number does not grow.

*Before* is the time before the first step, or of the complete fit if a method has no steps. A cell lists the values for
1, 10 and 100 times the rows. The exponents are those of the time of the complete fit and of the memory, from 1 to 10
and from 10 to 100 times the rows: 1 is linear, 0 constant. `time` and `memory` mark an exceeded limit,
and `refused` a method that raises an error for this number of rows.
"""
HEADS = (
    "method",
    "rows",
    "before, s",
    "per step, ms",
    "answers, s",
    "memory, MiB",
    "exponents: fit",
    "memory",
)


def declared(cost: str) -> float:
    """The highest power of the number of rows that the cost of a card names; 1 where it names none."""
    powers = [float(power) for power in re.findall(r"\b[NnT]\^(\d)", cost)]
    return max([1.0, *powers])


def _points(name: str, cache: Path, seconds: float, gib: float) -> list[Point]:
    """The points of a method, measured or read; none behind one without rows, or one that hit a limit."""
    result: list[Point] = []
    for factor in FACTORS:
        file = cache / f"{name}-{factor}.json"
        if not file.exists():
            cache.mkdir(parents=True, exist_ok=True)
            measured = measure([sys.executable, "-m", __spec__.name, name, str(factor)], seconds, gib)
            file.write_text(json.dumps(measured))
        result.append(json.loads(file.read_text()))
        if result[-1].get("limit") or not result[-1].get("rows"):
            break
    return result


def measure(command: list[str], seconds: float, gib: float) -> Point:
    """One point: what the process says of itself within the limits, and which limit it hit.

    Args:
        command: Starts a process that says ``{"ready": true}``, waits for a line, and then says what it measured,
            line by line.
        seconds: Limit on the time after it was ready.
        gib: Limit on the memory that it may allocate after it was ready.
    """
    paths = os.pathsep.join(str(ROOT / part) for part in ("src", "", "tests"))
    env = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "GROWTH_GIB": str(gib)}
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        begun = time.perf_counter()
        ready = process.stdout.readline()
        reported: Point = {"warm": time.perf_counter() - begun}
        try:
            said, errors = process.communicate("go\n" if ready else "", timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            said, errors = process.communicate()
            reported["limit"] = "time"
    lines = [json.loads(line) for line in (ready, *said.splitlines()) if line.startswith("{")]
    for line in lines:
        reported |= line
    if process.returncode and "limit" not in reported:
        raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}\n{errors[-2000:]}")
    return reported


def _row(name: str, points: list[Point], seconds: float, gib: float) -> str:
    scale = {"step": 1e3, "memory": 2.0**-20}
    cells = [name, " / ".join(f"{point['rows']:,}" if point.get("rows") else "none" for point in points)]
    for quantity in ("before", "step", "answer", "memory"):
        values = [_value(point, quantity, scale.get(quantity, 1.0)) for point in points]
        cells.append(" / ".join(values) if any(values) else "")
    for quantity in ("fit", "memory"):
        pairs = [_slope(a, b, quantity) for a, b in pairwise(points)]
        cells.append(" / ".join("" if slope is None else f"{slope:.1f}" for slope in pairs))
    return f"| {' | '.join(cells)} |"


def _value(point: Point, quantity: str, scale: float) -> str:
    if quantity in point:
        return f"{point[quantity] * scale:.3g}"
    return point.get("limit", "") if quantity != "step" else ""


def _slope(a: Point, b: Point, quantity: str) -> float | None:
    """The exponent between two points; None where one of them is missing or was not measurable."""
    if not (a.get(quantity) and b.get(quantity)):
        return None
    return math.log(b[quantity] / a[quantity]) / math.log(b["rows"] / a["rows"])


def _exponent(points: list[Point], quantity: str) -> float | None:
    """The last measured exponent."""
    slopes = [_slope(a, b, quantity) for a, b in pairwise(points)]
    return next((slope for slope in reversed(slopes) if slope is not None), None)


# --- the process of one point


def _child(name: str, factor: int) -> None:
    """Warm up, wait for a word, and measure."""
    import warnings

    import torch

    from interpolants.foundations.cards import load_cards
    from laws.instances import instance  # type: ignore[import-untyped]

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    card = next(c for c in load_cards("interpolants") if c.kind == "method" and c.id == name)
    warm = instance(card)
    _measured(warm, warm.task.for_fit(warm.method), say=lambda **reported: None)
    _give_back_memory()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _memory("VmRSS")
    _say(ready=True)
    sys.stdin.readline()
    limit = int(float(os.environ["GROWTH_GIB"]) * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + limit,) * 2)
    try:
        _fit_more(instance(card), factor)
    except MemoryError:
        _say(limit="memory")
    except RuntimeError as error:
        if "allocate memory" not in str(error) and "bad_alloc" not in str(error):
            raise
        _say(limit="memory")
    _say(memory=max(_memory("VmHWM") - before, 0))


def _fit_more(trial: Any, factor: int) -> None:
    """Fit to more rows: to copies with noise, or to plain ones where these are refused."""
    from interpolants.foundations.errors import InvalidInputError
    from interpolants.framework.role import kind_of

    counted = [role.name for role in trial.method.roles() if kind_of(role).has_rows]
    values = trial.task.for_fit(trial.method)
    rows = max((len(values[name]) for name in counted if name in values), default=0)
    _say(rows=rows * factor)
    if not rows and factor > 1:
        return
    noisy = {role.name for role in trial.method.roles() if role.kind in ("rows", "series")}
    for jitter in (JITTER, 0.0):
        grown = {
            name: repeated(value, factor, jitter if name in noisy else 0.0) if name in counted else value
            for name, value in values.items()
        }
        try:
            _measured(trial, grown, say=_say)
        except InvalidInputError as error:
            refusal = str(error)
        else:
            return
    _say(limit="refused", why=refusal)


def repeated(value: Any, factor: int, jitter: float) -> Any:
    """Rows ``factor`` times in sequence, in their container; floating ones with noise in all copies."""
    import numpy as np
    import torch

    from interpolants.framework.roles import take

    if factor == 1:
        return value
    grown = take(value, torch.arange(len(value)).repeat(factor))
    rng = np.random.default_rng(0)
    if isinstance(grown, torch.Tensor) and grown.is_floating_point() and jitter:
        width = jitter * value.std(0, keepdim=True).nan_to_num()
        noise = torch.from_numpy(rng.normal(size=tuple(grown.shape))).to(grown)
        noise[: len(value)] = 0
        return grown + width * noise
    if hasattr(grown, "iloc"):
        return _more_of_table(value, grown, jitter, rng)
    return grown


def _more_of_table(value: Any, grown: Any, jitter: float, rng: Any) -> Any:
    """The same for a table; its dates continue by the distance of the first two."""
    import numpy as np
    import pandas as pd

    if jitter:
        for column in grown.select_dtypes("floating").columns:
            noise = jitter * value[column].std() * rng.normal(size=len(grown))
            noise[: len(value)] = 0
            grown[column] = grown[column].to_numpy() + noise
    index = value.index
    if isinstance(index, pd.DatetimeIndex):
        grown.index = index[0] + (index[1] - index[0]) * np.arange(len(grown))
        return grown
    return grown.reset_index(drop=True)


def _measured(trial: Any, values: Mapping[str, Any], say: Callable[..., None]) -> None:
    """Fit, and answer all verbs; each figure is reported at once."""
    from interpolants.testing.asking import able, answers

    best: dict[str, float] = {}
    for _ in range(3):
        once = _timed_fit(trial.method, values)
        best = {key: min(best.get(key, math.inf), value) for key, value in once.items()}
        if once["fit"] > SHORT:
            break
    say(**best)
    begun = time.perf_counter()
    answers(trial.method, trial.task, trial.probe)
    say(answer=time.perf_counter() - begun, verbs=sum(1 for _ in able(trial.method)))


def _timed_fit(method: Any, values: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of a fit: of all of it, before its first step, and of a step within its stages."""
    moments: list[tuple[str, float]] = []
    begun = time.perf_counter()
    method.fit_roles(values, watch=lambda stage, k, steps: moments.append((stage, time.perf_counter())))
    fit = time.perf_counter() - begun
    intervals = [later - earlier for (a, earlier), (b, later) in pairwise(moments) if a == b]
    if not intervals:
        return {"fit": fit, "before": fit}
    step = sum(intervals) / len(intervals)
    return {"fit": fit, "step": step, "before": max(moments[0][1] - begun - step, 0.0)}


def _memory(quantity: str) -> int:
    """A line of the status of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(quantity))


def _give_back_memory() -> None:
    import gc

    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _say(**reported: Any) -> None:
    print(json.dumps(reported), flush=True)


if __name__ == "__main__":
    _child(sys.argv[1], int(sys.argv[2]))
