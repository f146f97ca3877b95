"""Hostile names of columns, labels, files, titles and tasks: text in reports and in the explorer, and in no path."""

import csv
import html.parser
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from torture.command_lines import call
from torture.rows import Row

NAMES = ["</title><script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg/onload=alert(1)>', "../../escape",
         "javascript:alert(1)", "..\\..\\escape", "a\x07\x1b[31mred", "x" * 3000, "\u202eevil", "a\nb", "{{7*7}}",
         "/tmp/escape", "&lt;script&gt;", "con", "-rf", "%s%n", "$\\frac{", "[x](javascript:alert(1))",
         "![x](http://evil.example/p)",
         "' onmouseover='alert(1)", "</script><script>", "${7*7}", "a,b;c", "=1+1", " "]  # fmt: skip
PLACES = ("column", "label", "series", "file", "title", "task", "role")
HEAD = """
title = TITLE
[[tasks]]
name = TASK
"""
ROWS = """
[tasks.data.x1]
file = FILE
[tasks.method]
kind = "bridge"
path = "one_sided_linear"
steps = 1
batch_size = 8
net = { kind = "mlp", width = 4, depth = 1 }
[[tasks.ask]]
question = "sample_quality"
n = 10
options = { n_steps = 2 }
"""
# Labels in words are columns of points; names of series come in a long table.
LABELS = """
[tasks.data.points]
file = "labels.csv"
[tasks.data.values]
file = FILE
columns = ["v"]
[tasks.split]
by = "random"
test = 0.3
[tasks.method]
kind = "exact_gp"
[[tasks.ask]]
question = "predictive_scores"
"""
SERIES = """
[tasks.data.series]
file = "long.csv"
[tasks.split]
by = "time"
test = 12
[tasks.method]
kind = "seasonal_naive"
season = 2
[[tasks.ask]]
question = "forecast_by_horizon"
steps = 3
origins = 2
members = 4
"""


class Active(html.parser.HTMLParser):
    """What a page holds that acts: scripts, handlers, and addresses elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what may not be there."""
        if tag in ("script", "iframe", "object", "embed", "base", "form"):
            self.found.append(tag)
        for name, value in attrs:
            text = (value or "").strip().lower()
            if name.startswith("on"):
                self.found.append(f"{tag} {name}")
            if name in ("src", "href", "action", "srcdoc") and text.startswith(
                ("javascript", "data:text", "//")
            ):
                self.found.append(f"{tag} {name}={text[:40]}")
            if name == "src" and text.startswith("http"):
                self.found.append(f"{tag} {name}={text[:40]}")


def active(page: str) -> list[str]:
    """Faults of a page of HTML."""
    parser = Active()
    parser.feed(page)
    return parser.found


def write_inputs(folder: Path, place: str, name: str) -> None:
    """A recipe and its files in a folder of their own, with a hostile name in one place."""
    rng = np.random.default_rng(0)
    file = "x.csv"
    if place == "file":
        file = f"{name}.csv"
        (folder / file).parent.resolve().relative_to(
            folder.resolve()
        )  # a name that leaves the folder is no file's
    with (folder / file).open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out, quoting=csv.QUOTE_ALL)
        table.writerow([name if place == "column" else "u", "v"])
        table.writerows(rng.normal(size=(60, 2)).tolist())
    word = name if place == "label" else "b"
    with (folder / "long.csv").open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out, quoting=csv.QUOTE_ALL)
        table.writerow(["when", "which", "x"])
        days = np.datetime64("2024-01-01") + np.arange(48)
        table.writerows([day, which, rng.normal()] for day in days for which in ("a", name))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as out:
        labels = csv.writer(out, quoting=csv.QUOTE_ALL)
        labels.writerow(["kind"])
        labels.writerows([[("a", word)[k % 2]] for k in range(60)])
    words = {"TITLE": "plain", "TASK": "plain", "FILE": file}
    words |= {place.upper(): name} if place in ("title", "task") else {}
    text = HEAD + {"label": LABELS, "series": SERIES}.get(place, ROWS)
    for key, value in words.items():
        text = text.replace(key, json.dumps(value, ensure_ascii=True), 1)
    if place == "role":
        text = text.replace("[tasks.data.x1]", f"[tasks.data.{json.dumps(name)}]")
    (folder / "run.toml").write_text(text, encoding="utf-8")


def faults_of_run(work: Path, run: Path, before: set[Path]) -> list[str]:
    """What is wrong with a run's pages and files."""
    outside = {file for file in work.rglob("*") if not file.is_relative_to(run)} - before
    found = [f"wrote {file}" for file in sorted(outside)]
    for page in run.rglob("*.html"):
        found += [f"{page.name}: {fault}" for fault in active(page.read_text("utf-8"))]
    for text in run.rglob("*.md"):
        told = text.read_text("utf-8").lower()
        told = told.partition("\n---\n")[2] if told.startswith("---\n") else told  # what is before is data
        if "](javascript:" in told or "<script" in told:
            found.append(f"{text.name} holds what acts")
    return found


def faults_of_explorer(run: Path) -> list[str]:
    """What is wrong with what the explorer says of a run."""
    from fastapi.testclient import TestClient

    from interpolants.web import create_app, open_runs

    found = []
    home = "http://127.0.0.1:8000"
    with TestClient(create_app(open_runs([run])), raise_server_exceptions=False, base_url=home) as client:
        for place in ("/", "/run?runs=0", "/api/runs", "/api/runs/0"):
            reply = client.get(place)
            kind = reply.headers.get("content-type", "")
            if reply.status_code >= 500:
                found.append(f"{place}: status {reply.status_code}")
            if "html" in kind and "alert(1)" in reply.text:
                found.append(f"{place}: a name in the page's own text")
            if "json" in kind and reply.headers.get("x-content-type-options") != "nosniff":
                found.append(f"{place}: may be taken for HTML")
    return found


def attempt(work: Path, number: int, place: str, name: str) -> tuple[bool, str]:
    """One recipe: whether it ran, and what was wrong."""
    folder = work / str(number)
    folder.mkdir()
    try:
        write_inputs(folder, place, name)
    except (OSError, ValueError, UnicodeError):  # no file system takes such a name
        return False, ""
    before, here = set(work.rglob("*")), os.getcwd()
    os.chdir(folder)
    try:
        result = call("run", "--config", "run.toml", "--out", "out", "--quiet")
    except BaseException as error:  # whatever it is, it is the finding
        return False, f"{place} {name[:40]!r}: {type(error).__name__}: {str(error)[:200]}"
    finally:
        os.chdir(here)
    found = ["a traceback"] if "Traceback" in result.output else []
    if "\x1b[31m" in result.output or "\x07" in result.output:
        found.append("control characters on the screen")
    found += faults_of_run(work, folder / "out", before)
    if result.exit_code == 0:
        found += faults_of_explorer(folder / "out")
    return result.exit_code == 0, f"{place} {name[:40]!r}: {'; '.join(found)[:250]}" if found else ""


def attack(scale: float, work: Path) -> Any:
    """Each name in each place."""
    row, every = (
        Row("hostile names in data and recipes, their reports and the explorer"),
        max(1, round(1 / scale)),
    )
    cases = [(place, name) for name in NAMES for place in PLACES]
    for number, (place, name) in enumerate(cases[::every]):
        ran, harm = attempt(work, number, place, name)
        row.count(refused=not ran, harm=harm)
    return row
