"""Report of a run on one page: what it did, how well, and how to repeat it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interpolants.foundations.extras import require
from interpolants.foundations.storage import write_text
from interpolants.reports import sentences
from interpolants.reports.album import Album, slug
from interpolants.reports.page import Child, Markup, document, el, facts, join, link
from interpolants.reports.record import Record, read_run
from interpolants.reports.sections import TaskPage

LIMIT = 5_000_000  # bytes: a page that can be mailed
_QUALITIES = ((200, True), (140, True), (100, True), (100, False), (70, False))


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` into a run folder, and each figure as PNG into its ``figures``.

    The page is complete in itself: pictures are inline, there is no script and no address that would be
    loaded. It follows the reader's light or dark scheme. What the run did not store is left out with a
    sentence that says so. Should many tasks make it larger than 5 MB, the figures are drawn coarser.

    Args:
        run_folder: What ``interpolants run`` wrote: ``results.json``, and if they are there ``config.json`` and
            each task's arrays.

    Returns:
        The path of the page.

    Raises:
        InvalidInputError: If the folder is missing or is not a run folder.
        MissingExtraError: If matplotlib is not installed.
    """
    require("matplotlib", by="report")
    record = read_run(run_folder)
    page = ""
    for dpi, dark in _QUALITIES:
        page = render(record, Album(record.folder / "figures", dpi=dpi, dark=dark))
        if len(page.encode()) < LIMIT:
            break
    target = record.folder / "report.html"
    write_text(target, page)
    return target


def render(record: Record, album: Album) -> str:
    """The page as text."""
    results = record.results
    title = str(results.get("title") or "A bridge between two distributions")
    names = [sentences.task_name(task.facts) for task in record.tasks]
    body: list[Child] = [_tiles(results)]
    for i, (name, task) in enumerate(zip(names, record.tasks, strict=True)):
        prefix = slug(str(task.facts.get("name") or f"task-{i + 1}"))
        heading = el("h2", name, id=f"task-{i + 1}")
        body.append(el("section", heading, TaskPage(task, album, prefix).write(), aria_label=name))
    body += [_problems(results), _reproduce(record), _licences(results), _reading_guide()]
    created = str(results.get("created") or "")
    end = f"Written by interpolants {_mapping(results.get('versions')).get('interpolants', '')}".rstrip()
    footer = el("p", f"{end}. This page is complete in one file and loads nothing.")
    return document(title, _header(results, title, names, created), body, footer)


def _header(results: Mapping[str, Any], title: str, names: list[str], created: str) -> list[Child]:
    machine = _mapping(results.get("machine"))
    meta = [
        created[:10],
        _machine(machine),
        f"seed {results['seed']}" if "seed" in results else "",
    ]
    anchors = [(f"#task-{i + 1}", name) for i, name in enumerate(names)]
    anchors += [
        ("#warnings", "Warnings"),
        ("#reproduce", "Reproduce"),
        ("#licences", "Licences"),
        ("#terms", "Terms"),
    ]
    items = [el("li", el("a", name, href=href)) for href, name in anchors]
    return [
        el("p", "Report of a run", cls="kicker"),
        el("h1", title),
        el("p", " · ".join(part for part in meta if part), cls="meta"),
        el("p", sentences.summary(results), cls="abstract"),
        el("nav", el("ul", items), aria_label="Contents"),
    ]


def _tiles(results: Mapping[str, Any]) -> Child:
    """The few numbers that a hurried reader wants."""
    tiles: list[tuple[str, str, str]] = []
    tasks = [task for task in results.get("tasks") or [] if isinstance(task, dict)]
    for task in tasks[:3]:
        name = sentences.task_name(task)
        metrics = [m for m in task.get("metrics") or [] if sentences.real(m.get("value")) is not None]
        for metric in [m for m in metrics if sentences.real(m.get("floor")) is not None][
            : 2 if len(tasks) < 3 else 1
        ]:
            label = f"{name}: {metric.get('title') or metric.get('id')}"
            tiles.append(
                (label, sentences.number(metric["value"]), f"real data {sentences.number(metric['floor'])}")
            )
    checks = [check for task in tasks for check in task.get("checks") or []]
    if checks:
        passed = sum(check.get("verdict") == "pass" for check in checks)
        tiles.append(("Checks passed", f"{passed} of {len(checks)}", ""))
    if sentences.real(results.get("seconds")) is not None:
        tiles.append(("Whole run", sentences.duration(results["seconds"]), ""))
    cells = [el("div", el("dt", a), el("dd", b, el("small", c) if c else None)) for a, b, c in tiles]
    return el("dl", cells, cls="tiles") if cells else None


def _problems(results: Mapping[str, Any]) -> Markup:
    """Warnings, and every check that did not pass: a report that hides these is worth nothing."""
    issues: list[Markup] = [el("li", str(w), cls="warn") for w in results.get("warnings") or []]
    for task in results.get("tasks") or []:
        name = sentences.task_name(task)
        issues += [el("li", el("b", f"{name}: "), str(w), cls="warn") for w in task.get("warnings") or []]
        for check in task.get("checks") or []:
            if check.get("verdict") in ("warn", "fail"):
                told = f"{str(check.get('name')).replace('_', ' ')} ({sentences.verdict_words(check['verdict'])}). "
                text = [el("b", f"{name}: "), told, str(check.get("message") or "")]
                issues.append(el("li", text, cls=str(check["verdict"])))
        for metric in task.get("metrics") or []:
            standing = sentences.standing(metric)
            if standing is not None and standing <= 0:
                told = f"{metric.get('title') or metric.get('id')} is no better than the trivial baseline."
                issues.append(el("li", el("b", f"{name}: "), told, cls="fail"))
    heading = el("h2", "Warnings, and what failed", id="warnings")
    if not issues:
        return join([heading, el("p", "Nothing failed and nothing raised a warning.")])
    return join([heading, el("ul", issues, cls="issues")])


def _reproduce(record: Record) -> Markup:
    results = record.results
    parts: list[Child] = [el("h2", "How to reproduce", id="reproduce")]
    if command := results.get("command"):
        shown = " ".join(map(str, command)) if isinstance(command, list) else str(command)
        parts += [el("p", "This command repeats the run:"), el("pre", el("code", shown))]
    else:
        parts.append(el("p", "The run did not store its command.", cls="absent"))
    versions = [f"{name} {version}" for name, version in _mapping(results.get("versions")).items()]
    machine = _mapping(results.get("machine"))
    threads = sentences.count(machine["threads"], "thread") if "threads" in machine else ""
    parts.append(
        facts(
            [
                ("Seed", str(results["seed"]) if "seed" in results else None),
                ("Versions", ", ".join(versions)),
                (
                    "Machine",
                    ", ".join(
                        part
                        for part in (_machine(machine), threads, str(machine.get("platform") or ""))
                        if part
                    ),
                ),
                ("Created", str(results.get("created") or "")),
                ("Time", sentences.duration(results["seconds"]) if "seconds" in results else None),
            ]
        )
    )
    told = "With the same versions on the same machine the numbers come out the same; "
    told += "elsewhere the last digits may differ."
    parts.append(el("p", told))
    if record.config:
        shown = json.dumps(record.config, indent=2, ensure_ascii=False)
        parts.append(el("details", el("summary", "All settings of the run"), el("pre", el("code", shown))))
    return join(parts)


def _licences(results: Mapping[str, Any]) -> Markup:
    heading = el("h2", "Licences of the data", id="licences")
    seen: dict[str, Markup] = {}
    for task in results.get("tasks") or []:
        for key in ("x0", "x1"):
            side = _mapping(_mapping(task.get("data")).get(key))
            name = str(side.get("name") or "")
            if not name or not (side.get("source") or side.get("licence")):
                continue
            licence = str(side.get("licence") or "licence not stated")
            origin = [", from ", link(str(side["source"]))] if side.get("source") else []
            seen.setdefault(name, el("li", el("b", name), f": {licence}", origin, "."))
    if not seen:
        return join([heading, el("p", "The run does not state where its data come from.", cls="absent")])
    return join([heading, el("ul", list(seen.values()))])


def _reading_guide() -> Markup:
    paper = link("https://arxiv.org/abs/2303.08797", "arXiv:2303.08797")
    terms: list[tuple[Child, Child]] = [
        ("Bridge", "A model that maps one distribution to another, and back, through times 0 to 1."),
        ("ε (eps)", [
            "The noise of the dynamics, chosen after training: 0 is an ordinary differential equation, more is a ",
            "stochastic one. All have the same distributions at all times if the fields are exact.",
        ]),
        ("Two halves", "The same measure between two random halves of real data: what a perfect model would get."),
        ("Trivial baseline", "What can be had without learning, named in the table."),
        ("Sliced W2", "Distance between two sets: root mean squared optimal-transport distance over many directions."),
        ("Nats", "Unit of log-densities with the natural logarithm."),
    ]  # fmt: skip
    told = el("p", "Method: Albergo, Boffi and Vanden-Eijnden, Stochastic Interpolants (2023), ", paper, ".")
    return join([el("h2", "Terms", id="terms"), facts(terms), told])


def _machine(machine: Mapping[str, Any]) -> str:
    """The processor by its name, or how many cores there are."""
    cpu = machine.get("cpu")
    if sentences.real(cpu) is not None:
        return sentences.count(cpu, "core")
    return str(cpu or "")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
