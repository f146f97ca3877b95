"""What all studies share: sizes, seeds, a results file that survives an interruption, and the command line.

A study measures *cases*; a case and a seed give one row of named numbers. Rows are written as they come, so that an
interrupted study goes on where it stopped; tables and figures are drawn from the rows alone.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interpolants.foundations.errors import InvalidInputError, invalid, nearest
from interpolants.foundations.version import __version__

SIZES = ("quick", "laptop", "full")
RESULTS, TABLES, ARRAYS = "results.json", "table.md", "arrays"
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    """What one case gave with one seed.

    Attributes:
        values: Numbers by name; infinity and NaN are allowed.
        arrays: Small arrays that figures need, by name.
    """

    values: Mapping[str, float]
    arrays: Mapping[str, np.ndarray[Any, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """One numerical experiment.

    Attributes:
        name: Name of its folder.
        settings: Settings of each size, by name; plain numbers, strings and lists.
        cases: What is measured, from the settings.
        measure: ``measure(case, seed, settings)`` -> outcome.
        table: Results -> Markdown.
        figures: Draws the figures from the results into a folder.
    """

    name: str
    settings: Mapping[str, Mapping[str, Any]]
    cases: Callable[[Mapping[str, Any]], Sequence[str]]
    measure: Callable[[str, int, Mapping[str, Any]], Outcome]
    table: Callable[["Results"], str]
    figures: Callable[["Results", Path], None]


class Results:
    """The rows of a study in ``results.json``, replaced as a whole after every row.

    Args:
        folder: Where the file is, or will be.
        study: Name of the study.
        size: Name of its size.
        settings: Settings of that size.

    Raises:
        InvalidInputError: If the folder holds results of another study or of other settings.
    """

    def __init__(self, folder: Path, study: str, size: str, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = folder, dict(settings)
        self.manifest = manifest(study, size, settings)
        self.rows: list[dict[str, Any]] = []
        if (folder / RESULTS).exists():
            self._take_up(json.loads((folder / RESULTS).read_text(encoding="utf-8")))

    def _take_up(self, stored: Mapping[str, Any]) -> None:
        before, now = stored["manifest"], self.manifest
        if (before["study"], before["settings_hash"]) != (now["study"], now["settings_hash"]):
            found = f"{before['study']} ({before['size']}, {before['settings_hash']})"
            rule = f"{self.folder} must hold results of {now['study']} with these settings"
            raise invalid("study", rule, found, "Choose another --out, or delete that folder's results.json.")
        self.rows = list(stored["rows"])
        if self.rows:
            self.manifest = {**now, "started": before["started"]}

    def has(self, case: str, seed: int) -> bool:
        """Whether the row is there."""
        return any((row["case"], row["seed"]) == (case, seed) for row in self.rows)

    def add(self, case: str, seed: int, outcome: Outcome, seconds: float) -> None:
        """Keep a row: first its arrays, then the file of rows, so that a row is never without them."""
        if outcome.arrays:
            target = self._array_file(case, seed)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_suffix(f".{os.getpid()}.tmp.npz")
            arrays: dict[str, Any] = dict(outcome.arrays)
            np.savez_compressed(temporary, **arrays)
            temporary.replace(target)
        values = {name: _jsonable(float(value)) for name, value in outcome.values.items()}
        stamp = {"seconds": round(seconds, 1), "commit": self.manifest["commit"]}
        self.rows.append({"case": case, "seed": seed, "values": values, **stamp})
        self._write()

    def values(self, case: str, name: str) -> list[float]:
        """The number ``name`` of a case, one for each seed that was measured."""
        rows = sorted((row for row in self.rows if row["case"] == case), key=lambda row: int(row["seed"]))
        # float() also reads the words "inf" and "nan"
        return [float(row["values"][name]) for row in rows if name in row["values"]]

    def names(self, case: str) -> list[str]:
        """The numbers that a case has."""
        return list(dict.fromkeys(name for row in self.rows if row["case"] == case for name in row["values"]))

    def arrays(self, case: str, seed: int) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays of a row; empty if it kept none."""
        file = self._array_file(case, seed)
        if not file.exists():
            return {}
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    @property
    def seeds(self) -> list[int]:
        """The seeds that have rows."""
        return sorted({int(row["seed"]) for row in self.rows})

    def _array_file(self, case: str, seed: int) -> Path:
        safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in case)
        return self.folder / ARRAYS / f"{safe}_{seed}.npz"

    def _write(self) -> None:
        seconds = sum(row["seconds"] for row in self.rows)
        head = {**self.manifest, "seeds": self.seeds, "seconds": round(seconds, 1)}
        text = json.dumps({"manifest": head, "rows": self.rows}, indent=1, allow_nan=False) + "\n"
        write_text(self.folder / RESULTS, text)


def manifest(study: str, size: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a number depends on: code, versions, settings, machine."""
    return {
        "study": study,
        "size": size,
        "settings": dict(settings),
        "settings_hash": settings_hash(settings),
        "commit": _commit(),
        "library": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hardware": {
            "machine": platform.machine(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def settings_hash(settings: Mapping[str, Any]) -> str:
    """The same for equal settings in whatever order, 12 hexadecimal digits."""
    text = json.dumps(dict(settings), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_text(path: Path, text: str) -> None:
    """Replace a file as a whole: a reader, or a crash, sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def run(study: Study, size: str, seeds: Iterable[int], out: Path, *, only: Sequence[str] = ()) -> Results:
    """Measure what is missing, seed by seed, and write tables and figures after each seed."""
    return _measure(study, _opened(study, size, out, only), size, seeds, only)


def _opened(study: Study, size: str, out: Path, only: Sequence[str]) -> Results:
    """The results that are there, once what is asked for is known to make sense."""
    if size not in study.settings:
        raise invalid(study.name, "the size must be known", repr(size), nearest(size, study.settings))
    settings = study.settings[size]
    results = Results(out, study.name, size, settings)
    cases = study.cases(settings)
    for name in only:
        if name not in cases:
            raise invalid(study.name, "the case must be known", repr(name), nearest(name, cases))
    return results


def _measure(study: Study, results: Results, size: str, seeds: Iterable[int], only: Sequence[str]) -> Results:
    settings = study.settings[size]
    cases = study.cases(settings)
    for seed in seeds:
        fresh = False
        for case in only or cases:
            if results.has(case, seed):
                continue
            begun = time.perf_counter()
            outcome = study.measure(case, seed, settings)
            seconds = time.perf_counter() - begun
            results.add(case, seed, outcome, seconds)
            say(f"{study.name}: {case}, seed {seed}: {seconds:.0f} s")
            fresh = True
        if fresh:
            publish(study, results)
    return results


def publish(study: Study, results: Results) -> None:
    """Write the table and the figures of what has been measured."""
    write_text(results.folder / TABLES, study.table(results))
    study.figures(results, results.folder)


def main(study: Study, arguments: Sequence[str] | None = None) -> int:
    """The command of a study."""
    parser = argparse.ArgumentParser(prog=f"python -m studies.{study.name}", description=_purpose(study))
    parser.add_argument(
        "--size", choices=SIZES, default="laptop", help="quick: seconds; full: as in the paper"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="measure seeds 0 .. N-1")
    parser.add_argument("--out", type=Path, help="folder of the results, gone on with if it has some")
    parser.add_argument("--case", action="append", default=[], help="only this case; may be repeated")
    parser.add_argument("--threads", type=int, help="threads of the computation")
    parser.add_argument("--redraw", action="store_true", help="only write table and figures again")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error("--seeds must be >= 1")
    if options.threads is not None:
        if options.threads < 1:
            parser.error("--threads must be >= 1")
        torch.set_num_threads(options.threads)
    out = options.out or Path("runs") / "studies" / f"{study.name}_{options.size}"
    seeds = () if options.redraw else range(options.seeds)
    try:
        results = _opened(study, options.size, out, options.case)
    except InvalidInputError as error:  # what a study's own computation raises keeps its traceback
        parser.error(str(error))
    _measure(study, results, options.size, seeds, options.case)
    if not results.rows:
        parser.error(f"there are no results in {out}")
    publish(study, results)
    say((out / TABLES).read_text(encoding="utf-8"))
    say(f"results, table and figures: {out}")
    return 0


def say(text: str) -> None:
    """One line for whoever waits."""
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean over seeds and its standard error; the error of a single value is NaN."""
    array = np.asarray(values, dtype=np.float64)
    if array.size < 2:
        return (float(array[0]) if array.size else float("nan")), float("nan")
    if not np.isfinite(array).all():
        return float(array.mean()), float("nan")
    return float(array.mean()), float(array.std(ddof=1) / np.sqrt(array.size))


def shown(values: Sequence[float], digits: int = 3) -> str:
    """``mean ± standard error`` over seeds, to some digits after the point; a dash for nothing."""
    if not values:
        return "–"
    mean, error = mean_and_error(values)
    if not np.isfinite(error):
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def paired_gap(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, int]:
    """Mean of ``first - second`` over seeds, its standard error, and in how many seeds it is positive."""
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    mean, error = mean_and_error(gaps)
    return mean, error, sum(gap > 0 for gap in gaps)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, first column to the left and numbers to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _purpose(study: Study) -> str:
    text = (sys.modules[study.measure.__module__].__doc__ or "").strip()
    return text.split("\n\n")[0]


def _jsonable(value: float) -> float | str:
    # JSON has no infinity; the word is read back by float().
    return value if np.isfinite(value) else str(value)


def _commit(root: Path = ROOT) -> str:
    """The commit of the code, with a + if files of the library or the studies differ from it."""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(
            root, "status", "--porcelain", "--untracked-files=no", "--", "src", ":(glob)studies/**/*.py"
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
