"""SIGTERM while each method is fitted: nothing is published, and the run goes on."""

import random
import signal
import time
from pathlib import Path

from interpolants.foundations.cards import load_cards
from interpolants.runs.recipes import recipes
from torture.children import PUBLISHED, emptied, forked, interpolants
from torture.rows import Row


def attack(scale: float, work: Path) -> Row:
    """One SIGTERM per method, in its recipe's quick run; a share of the methods below full scale."""
    row, rng = Row("SIGTERM in the run of each method"), random.Random(0)
    known = set(recipes())
    names = sorted({c.recipe for c in load_cards() if c.kind == "method" and c.recipe in known})
    rng.shuffle(names)
    for name in names[: max(3, round(len(names) * scale))]:
        fault = _stopped(name, work, rng)
        row.count(refused=fault == "stopped", harm="" if fault in ("", "stopped") else f"{name}: {fault}")
    return row


def _stopped(name: str, work: Path, rng: random.Random) -> str:
    out = emptied(work / name)
    begun = time.monotonic()
    command = interpolants("run", "--config", name, "--quick", "--quiet", "--out", out)
    code, told = forked(command, work, send=signal.SIGTERM, after=rng.uniform(0.5, 6.0))
    if code == 0:
        return ""  # it had ended
    if code not in (143, -signal.SIGTERM):
        return f"status {code} after {time.monotonic() - begun:.1f} s: {told[-300:]}"
    if "Traceback" in told:
        return told[-300:]
    if out.exists() and (left := PUBLISHED & {entry.name for entry in out.iterdir()}) and "Stopped" in told:
        return f"published {sorted(left)}"
    resume = ["--resume"] if (out / "recipe.json").exists() or (out / "work").exists() else []
    code, told = forked(
        interpolants("run", "--config", name, "--quick", "--quiet", "--out", out, *resume), work
    )
    return "stopped" if code == 0 else f"does not go on: {told[-300:]}"
