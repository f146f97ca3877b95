"""Fuzzed command lines: an answer, or one line that says what is wrong; never a traceback."""

import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from interpolants.cli import recipe_runs
from interpolants.cli.app import app
from torture.fuzzed_lines import lines, overrides
from torture.rows import Row

RECIPE = """
[data.x1]
problem = "moons"
n = 60
[method]
kind = "bridge"
path = "one_sided_linear"
steps = 1
batch_size = 8
net = { kind = "mlp", width = 4, depth = 1 }
[[ask]]
question = "sample_quality"
n = 10
options = { n_steps = 2 }
"""
NET = ["--steps", "1", "--set", "method.net={kind='mlp',width=4,depth=1}", "--quiet",
       "--set", "ask=[{question='sample_quality',n=10,options={n_steps=2}}]"]  # fmt: skip


# Seconds of a processor that an odd line may take. pytest-timeout has the clock of the wall for its own.
LONGEST = 120


class TooLongError(BaseException):
    """A line that is refused, or asks for little, does not come to its end. No command catches this."""


def call(*words: str):
    """A command in this process; raises what ended it, if that is no exit."""

    def stop(*_: object):
        raise TooLongError(f"not done after {LONGEST} s: {' '.join(words)}")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = CliRunner().invoke(app, list(words))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2), result.output
    return result


def make_files(folder: Path) -> None:
    """Files and runs for the lines to name, in the current folder."""
    rng = np.random.default_rng(0)
    np.save(folder / "a.npy", rng.normal(size=(80, 2)).astype(np.float32))
    np.savetxt(folder / "b.csv", rng.normal(size=(80, 2)), delimiter=",", header="u,v", comments="")
    np.save(folder / "labels.npy", np.arange(80) % 3)
    np.save(folder / "short.npy", np.arange(3))
    (folder / "holes.csv").write_text("u,v\n1,2\n3,nan\n")
    (folder / "words.csv").write_text("u,v\n1,2\nthree,4\n")
    (folder / "empty.csv").touch()
    (folder / "base.toml").write_text(RECIPE)
    call("run", "--x0", "a.npy", "--x1", "b.csv", "--out", "runs/mine", *NET)
    call("run", "--x1", "b.csv", "--cond", "labels.npy", "--out", "runs/labels", *NET)


def clear(folder: Path) -> None:
    """Remove what a line has made."""
    shutil.rmtree(folder / "new", ignore_errors=True)
    for made in folder.glob("out.*"):
        made.unlink()


def drawn(examples: int) -> list[list[str]]:
    """So many different lines, the same each time: half of them change a setting of a recipe."""
    found: list[list[str]] = []

    def collect(strategy, count):
        @settings(
            max_examples=count, derandomize=True, database=None, deadline=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(strategy)
        def draw(line):
            found.append(line)

        draw()

    change = overrides().map(
        lambda c: ["run", "--config", "base.toml", "--out", "new", "--quiet", "--set", c]
    )
    collect(change, examples // 2)
    collect(st.one_of(lines()), examples - examples // 2)
    return found


def attack(scale: float, work: Path) -> Row:
    """10,000 lines in one process, and 200 in processes of their own."""
    row, before = Row("fuzzed command lines"), os.getcwd()
    real, recipe_runs._report = recipe_runs._report, lambda *a, **k: None
    os.chdir(work)
    try:
        make_files(work)
        for line in drawn(max(100, round(10_000 * scale))):
            clear(work)
            try:
                row.count(refused=call(*line).exit_code != 0)
            except BaseException as error:
                row.count(harm=f"{' '.join(line)}: {type(error).__name__}: {error}"[:300])
        for line in drawn(max(10, round(200 * scale))):
            clear(work)
            _fresh(row, line)
    finally:
        os.chdir(before)
        recipe_runs._report = real
    return row


def _fresh(row: Row, line: Sequence[str]) -> None:
    words = [sys.executable, "-m", "interpolants", *(word.replace("\0", "") for word in line)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    fault = "Traceback" in done.stderr or done.returncode not in (0, 1, 2)
    row.count(refused=done.returncode != 0, harm=f"{line}: {done.stderr[-300:]}" if fault else "")
