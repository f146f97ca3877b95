"""``python -m mutants [--scale 1]``: put faults into formulas, and write into MUTANTS.md how many the tests see.

What came of those that were tried stands in `mutants/tried.jsonl`; called again, the others follow, and ``--again``
tries once more those that no test saw. ``--check`` tries all anew but those that `mutants/survivors.toml` knows, each
by the test that caught it before, writes nothing, and fails if one survives. With ``--changed COMMIT`` it tries
all of the files that differ from a commit too, and only a survivor in one of these fails it.
"""

import argparse
import ast
import json
import multiprocessing
import os
import queue
import subprocess
import sys
import time
import tomllib
from pathlib import Path

from mutants.drawing import PACKAGE, drawn, share
from mutants.mutant import Mutant
from mutants.nearest import nearest_tests
from mutants.report import page
from mutants.trial import CAUGHT, copied, tried

ROOT = Path(__file__).parents[1]
TRIED = ROOT / "mutants" / "tried.jsonl"


def main() -> int:
    """Try the mutants that were not tried yet."""
    parser = argparse.ArgumentParser(prog="python -m mutants", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the mutants; 1 takes hours")
    parser.add_argument("--seed", type=int, default=0, help="another draw")
    parser.add_argument("--only", default="", help="modules whose path begins so, e.g. paths/")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("runs/mutants"))
    parser.add_argument("--out", type=Path, default=Path("MUTANTS.md"))
    parser.add_argument("--list", action="store_true", help="print the mutants and try none")
    parser.add_argument(
        "--again", action="store_true", help="try those once more that no test saw, with more test files"
    )
    parser.add_argument("--check", action="store_true", help="fail at a survivor that nobody has explained")
    parser.add_argument("--changed", metavar="COMMIT", help="with --check: what differs from it is judged")
    given = parser.parse_args()
    every = [one for one in drawn(ROOT, given.seed) if one.module.startswith(given.only)]
    explained = tomllib.loads((ROOT / "mutants" / "survivors.toml").read_text())
    known = explained if given.check or given.again else {}
    judged = _changed(given.changed) if given.changed else {one.module for one in every}
    chosen = share(every, given.scale)
    if given.changed:
        chosen += [one for one in every if one.module in judged and one not in chosen]
    if given.check:
        chosen = [one for one in chosen if one.name not in known]
    if given.list:
        print(*(f"{one.name} {one}" for one in chosen), sep="\n")
        return 0
    kept = {} if given.check else _kept(given.work)
    seen = {name for name, row in kept.items() if row["outcome"] == CAUGHT or not given.again} | set(known)
    most = 15 if given.again else 4
    first = _catchers(_kept(given.work)) if given.check else {}
    _try_all([one for one in chosen if one.name not in seen], given.workers, given.work, most, first)
    kept = _kept(given.work)
    left = [one for one in chosen if kept[one.name]["outcome"] != CAUGHT and one.name not in explained]
    for one in left:
        print(
            f"{kept[one.name]['outcome']} {one.name} {one}{'' if one.module in judged else ' (file unchanged)'}"
        )
    if not given.check:
        _record(kept)
        given.out.write_text(page(drawn(ROOT, given.seed), kept, explained))
    return int(any(one.module in judged for one in left)) if given.check else 0


def _changed(commit: str) -> set[str]:
    """Modules whose code differs from a commit; reworded docstrings, messages and comments change no formula."""
    words = ["git", "diff", "--name-only", "--relative", commit, "--", "."]
    named = subprocess.run(
        words, cwd=ROOT / PACKAGE, capture_output=True, check=True, text=True
    ).stdout.split()
    return {name for name in named if not name.endswith(".py") or _code_differs(name, commit)}


def _code_differs(module: str, commit: str) -> bool:
    words, now = ["git", "show", f"{commit}:./{module}"], ROOT / PACKAGE / module
    before = subprocess.run(words, cwd=ROOT / PACKAGE, capture_output=True, check=False, text=True)
    if before.returncode or not now.exists():  # new, or gone
        return True
    return code_without_text(before.stdout) != code_without_text(now.read_text("utf-8"))


def code_without_text(source: str) -> str:
    """The syntax tree with every string emptied."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
        elif isinstance(node, ast.JoinedStr):
            node.values = [part for part in node.values if isinstance(part, ast.FormattedValue)]
    return ast.dump(tree)


def _kept(work: Path) -> dict[str, dict]:
    """What came last of the mutants that were tried, by name, and what came first."""
    files = [file for file in (TRIED, *work.glob("*.jsonl")) if file.exists()]
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    found: dict[str, dict] = {}
    for row in sorted(rows, key=lambda row: row["at"]):
        before = found.get(row["name"], {})
        first = before.get("first", row.get("first", row["outcome"]))
        found[row["name"]] = {**row, "first": first}
    return found


def _catchers(kept: dict[str, dict]) -> dict[str, str]:
    """The test that caught each mutant; all cases of it where the name of the case was cut at a space."""
    tests = {name: row["by"] for name, row in kept.items() if "::" in row["by"]}
    return {name: by if by.endswith("]") else by.partition("[")[0] for name, by in tests.items()}


def _record(kept: dict[str, dict]) -> None:
    """Write what came of all mutants that were ever tried."""
    told = ("name", "mutant", "first", "outcome", "by", "at")
    lines = [json.dumps({key: row[key] for key in told}) + "\n" for _, row in sorted(kept.items())]
    TRIED.write_text("".join(lines))


def _try_all(mutants: list[Mutant], workers: int, work: Path, most: int, first: dict[str, str]) -> None:
    """Try mutants in some processes, by the test that is named for one first; each adds a line to a file of its own."""
    work.mkdir(parents=True, exist_ok=True)
    context, begun = multiprocessing.get_context("fork"), time.monotonic()
    todo = context.Queue()
    for one in mutants:
        todo.put(one)
    places = [work / f"worker-{k}" for k in range(workers)]
    running = [
        context.Process(target=_work, args=(todo, place.resolve(), len(mutants), most, first))
        for place in places
    ]
    for one in running:
        one.start()
    for one in running:
        one.join()
    print(f"{len(mutants)} mutants in {(time.monotonic() - begun) / 60:.0f} min", flush=True)


def _work(
    todo: "multiprocessing.Queue[Mutant]", place: Path, total: int, most: int, first: dict[str, str]
) -> None:
    _import_what_is_slow()
    copy = copied(ROOT, place)
    with open(place.with_suffix(".jsonl"), "a") as log:
        while True:
            try:
                one = todo.get(timeout=2)
            except queue.Empty:
                return
            row = {
                "name": one.name,
                "at": time.time(),
                "mutant": str(one),
                **tried(one, copy, nearest_tests(ROOT, one.module, most), first.get(one.name, "")),
            }
            log.write(json.dumps(row) + "\n")
            log.flush()
            print(f"[{total - todo.qsize()}/{total}] {row['outcome']} {one} {row['by']}", flush=True)


def _import_what_is_slow() -> None:
    """Everything that children would import again, without the library itself."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in ("torch", "numpy", "pytest", "scipy.stats", "torch._dynamo", "sklearn", "pandas"):
        try:
            __import__(name)
        except ImportError:
            continue
    assert not any(name.startswith("interpolants") for name in sys.modules)


if __name__ == "__main__":
    sys.exit(main())
