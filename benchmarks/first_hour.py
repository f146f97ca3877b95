"""What a newcomer does in the first hour, step by step: each is carried out, checked, and timed.

Every step is what a person would type, in processes of its own; a step that does not give what it promises raises.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from safetensors.numpy import load_file

# Below a run folder: the model of its only task.
MODEL = ("work", "main", "model", "tensors.safetensors")

WITHOUT_THINKING = """
import numpy as np, interpolants as itp
x0, x1 = np.random.default_rng(0).normal(size=(2, 2000, 2)) + [[[0, 0]], [[4, 1]]]
bridge = itp.Bridge().fit(x0, x1, steps={steps})
y = bridge.transport(x0[:5])
assert y.shape == (5, 2)
"""

DIGITS = """
import interpolants as itp
assert itp.load("pretrained:digits").sample(16, cond=[3] * 16).shape == (16, 1, 8, 8)
"""


@dataclass(frozen=True)
class Step:
    """One thing done.

    Attributes:
        what: In words.
        commands: Commands typed.
        lines: Lines of the user's own code.
        seconds: Wall time of all of it.
    """

    what: str
    commands: int
    lines: int
    seconds: float


class Newcomer:
    """Somebody at a shell in an empty folder.

    Args:
        folder: The folder.
        sets: Overrides for all trainings, e.g. to make them short.
        samples: How many samples are drawn.
    """

    def __init__(self, folder: Path, sets: tuple[str, ...], samples: int) -> None:
        self.folder, self.samples = folder, samples
        self.sets = [word for text in sets for word in ("--set", text)]
        self.typed = 0

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """A command, running."""
        self.typed += 1
        return subprocess.Popen(
            [sys.executable, "-m", "interpolants", *words],
            cwd=self.folder,
            env=os.environ | {"COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
            text=True,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def types(self, *words: str, code: int = 0) -> str:
        """A command to its end; what it printed."""
        process = self.start(*words)
        told = "".join(_end(process))
        assert process.returncode == code, f"{' '.join(words)}: exit code {process.returncode}\n{told}"
        assert "Traceback" not in told, told
        return told


def first_hour(
    folder: Path, *, sets: tuple[str, ...] = (), steps: int = 1000, samples: int = 10_000
) -> Iterator[Step]:
    """Carry out the steps, one after the other.

    Args:
        folder: An empty folder.
        sets: Overrides for the trainings of the command line.
        steps: Training steps of the example in Python.
        samples: How many samples are drawn.
    """
    person = Newcomer(folder, sets, samples)
    tasks: list[tuple[str, Callable[[Newcomer], None], int]] = [
        ("see what is installed", _doctor, 0),
        ("16 digits of a trained model, in Python", lambda person: _run(person, DIGITS), 2),
        ("train on a toy, and see samples", _train, 0),
        ("stop a training by Ctrl-C and go on", _stop, 0),
        (f"{samples:,} samples, whatever the batch and the processes", _sample, 0),
        ("the report of the run", _report, 0),
        ("the explorer in the browser", _explore, 0),
        ("own arrays, in Python", lambda person: _run(person, WITHOUT_THINKING.format(steps=steps)), 3),
        ("a misspelt setting", _typo, 0),
    ]
    for what, work, lines in tasks:
        person.typed, begin = 0, time.perf_counter()
        work(person)
        yield Step(what, person.typed, lines, time.perf_counter() - begin)


def run(*, steps: int = 1000, report: Callable[[str], None]) -> None:
    """Carry out the first hour of a newcomer and time every step."""
    with tempfile.TemporaryDirectory() as folder:
        report(table(list(first_hour(Path(folder), steps=steps))))


def table(steps: list[Step]) -> str:
    """The steps as a Markdown table."""
    lines = ["| step | commands | lines of code | seconds |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {s.what} | {s.commands} | {s.lines or ''} | {s.seconds:.1f} |" for s in steps]
    commands, code, seconds = (
        sum(getattr(s, name) for s in steps) for name in ("commands", "lines", "seconds")
    )
    return "\n".join([*lines, f"| together | {commands} | {code} | {seconds:.1f} |"]) + "\n"


def _end(process: "subprocess.Popen[str]", seconds: float = 600) -> tuple[str, str]:
    """What a process printed until its end; it is killed, and that is an error, if it does not end."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _doctor(person: Newcomer) -> None:
    told = person.types("doctor")
    assert "torch" in told
    assert "devices" in told


def _train(person: Newcomer) -> None:
    told = person.types("train", "--config", "checkerboard", "--out", "runs/a", *person.sets)
    assert "1,500 samples" in told
    assert "next: interpolants run --out runs/a --resume" in told


def _stop(person: Newcomer) -> None:
    process = person.start("train", "--config", "checkerboard", "--out", "runs/b", *person.sets)
    log = person.folder.joinpath("runs", "b", "work", "main", "train", "match", "log.csv")
    while not log.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = _end(process)
    if process.returncode != 0:  # a short training may have ended first
        assert process.returncode == 130, told
        assert "Resume with: interpolants" in " ".join(told.split())
        person.types("train", "--resume", "runs/b")
    one, two = (load_file(person.folder.joinpath("runs", run, *MODEL)) for run in "ab")
    assert one.keys() == two.keys()
    same = all(np.array_equal(one[name], two[name]) for name in one)
    assert same, "a resumed training went another way"


def _sample(person: Newcomer) -> None:
    common = ("sample", "runs/a", "-n", str(person.samples), "--seed", "1", "--eps", "0.5")
    person.types(*common, "--out", "s.npz")
    person.types(*common, "--batch-size", "700", "--out", "t.npz")
    person.types(*common, "--nproc", "2", "--out", "u.npz")
    first, second, third = (np.load(person.folder / name)["x"] for name in ("s.npz", "t.npz", "u.npz"))
    assert first.shape == (person.samples, 2)
    assert np.array_equal(first, second), "samples depend on the batch"
    assert np.array_equal(first, third), "samples depend on the processes"


def _report(person: Newcomer) -> None:
    person.types("run", "--out", "runs/a", "--resume")
    person.types("report", "runs/a")
    page = person.folder / "runs/a/report.html"
    assert page.stat().st_size < 5_000_000
    assert "How to reproduce" in page.read_text("utf-8")


def _explore(person: Newcomer) -> None:
    process = person.start("explore", "--no-open", "--port", "0")
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert address is not None, line + process.stderr.read()
        with urlopen(address[0], timeout=30) as answer:
            assert b"<canvas" in answer.read()
    finally:
        process.send_signal(signal.SIGINT)
        _end(process, seconds=30)


def _run(person: Newcomer, script: str) -> None:
    subprocess.run([sys.executable, "-c", script], cwd=person.folder, check=True, capture_output=True)


def _typo(person: Newcomer) -> None:
    told = person.types("train", "--config", "checkerboard", "--out", "c", "--set", "method.setps=1", code=2)
    assert "Did you mean 'steps'" in told, told
    assert not (person.folder / "c").exists()
