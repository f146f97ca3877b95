"""Two processes that start in one folder at once: one works, the other is refused, and the answers are those of one."""

import os
import random
import time
from pathlib import Path

from torture.children import digest, emptied, forked, interpolants, small_run
from torture.rows import Row


def attack(scale: float, work: Path) -> Row:
    """100 pairs."""
    row, rng = Row("pairs of processes in one run folder"), random.Random(0)
    (work / "run.toml").write_text(small_run())
    given = ["run", "--config", work / "run.toml", "--quiet", "--out"]
    forked(interpolants(*given, work / "whole"), work)
    whole = digest(work / "whole")
    for _ in range(max(3, round(100 * scale))):
        out, (one, two) = emptied(work / "same"), (work / "one", work / "two")
        for place in (one, two):
            place.mkdir(exist_ok=True)
        child = os.fork()
        if not child:
            code, told = forked(interpolants(*given, out), one)
            (one / "told").write_text(f"{code}\n{told}")
            os._exit(0)
        time.sleep(rng.uniform(0, 0.3))
        code, told = forked(interpolants(*given, out), two)
        os.waitpid(child, 0)
        first, said = (one / "told").read_text().split("\n", 1)
        ends = sorted([int(first), code])
        fault = "a traceback" if "Traceback" in told + said else ""
        fault = fault or ("" if ends == [0, 2] else f"ended with {ends}: {told[-200:]} {said[-200:]}")
        row.count(harm=fault or ("" if digest(out) == whole else "other numbers"))
    return row
