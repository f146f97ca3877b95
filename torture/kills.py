"""SIGKILL at random moments of a run: reading, training, judging, report, and of the command that samples from it."""

import random
import signal
import time
from pathlib import Path

from torture.children import digest, emptied, forked, interpolants, small_run
from torture.rows import Row


def attack(scale: float, work: Path) -> Row:
    """200 kills: of a run, each gone on with to its end, and of ``sample``, which leaves the whole file or none."""
    row, rng = Row("SIGKILL at any moment of a run, gone on with to the bit"), random.Random(0)
    (work / "run.toml").write_text(small_run())
    given = ["run", "--config", work / "run.toml", "--quiet", "--out"]
    begun = time.monotonic()
    code, told = forked(interpolants(*given, work / "whole"), work)
    seconds = time.monotonic() - begun
    if code:
        return row.count(harm=f"the undisturbed run failed: {told[-300:]}")
    whole = digest(work / "whole")
    for number in range(max(5, round(200 * scale))):
        if number % 5 == 4:
            row.count(harm=_killed_sample(work, rng))
        else:
            row.count(harm=_killed_run(work, given, rng.uniform(0, seconds), whole))
    return row


def _killed_run(work: Path, given: list, after: float, whole: dict) -> str:
    cut = emptied(work / "cut")
    forked(interpolants(*given, cut), work, after=after)
    resume = ["--resume"] if (cut / "recipe.json").exists() or (cut / "work").exists() else []
    code, told = forked(interpolants(*given, cut, *resume), work)
    if code:
        return f"killed after {after:.2f} s: {told[-300:]}"
    if digest(cut) != whole:
        return f"killed after {after:.2f} s: other numbers"
    return "" if (cut / "report.html").exists() else f"killed after {after:.2f} s: no report"


def _killed_sample(work: Path, rng: random.Random) -> str:
    out = work / "samples.npy"
    out.unlink(missing_ok=True)
    command = interpolants("sample", work / "whole", "-n", 3000, "--out", out)
    code, _ = forked(command, work, after=rng.uniform(0, 1.5), send=signal.SIGKILL)
    if code == 0:
        return "" if out.exists() else "sample ended well without a file"
    if out.exists() and out.stat().st_size != 3000 * 2 * 4 + 128:
        return "sample left half a file"
    code, told = forked(interpolants("sample", work / "whole", "-n", 3000, "--out", out, "--force"), work)
    left = list(work.glob(".tmp*")) + list(work.glob("*.part"))
    return told[-300:] if code else f"left beside it: {left}" if left else ""
