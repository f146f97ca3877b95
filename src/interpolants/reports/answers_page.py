"""Report of a run on one page: what went wrong, what was learnt from what, how well, and how to repeat it.

It knows no method: what is shown is what questions found, models and cards say, and data are called.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from interpolants.foundations.extras import require
from interpolants.foundations.links import refuse_links
from interpolants.foundations.storage import write_text
from interpolants.framework.claims import verdict_lines
from interpolants.framework.scores import Score
from interpolants.reports import words
from interpolants.reports.cell_sections import PILLS, absent, task_section
from interpolants.reports.embedded import Embedded
from interpolants.reports.facts import CellFacts, QuestionFacts, RunFacts
from interpolants.reports.findings import QUICK, findings_of
from interpolants.reports.page import Child, Markup, document, el, facts, join, link, table
from interpolants.reports.readings import floor_of, headline, title_of, unit
from interpolants.reports.seeds import over_seeds, tasks_of
from interpolants.reports.terms import terms_in

REPORT, FIGURES = "report.html", "figures"
LIMIT = 5_000_000  # bytes: a page that can be mailed
_MOST_FINDINGS = 8  # that are shown unfolded
_QUALITIES = ((200, True, 10.0), (140, True, 6.0), (100, True, 3.0), (100, False, 2.0), (70, False, 1.0))


def write_answers(folder: str | os.PathLike[str], run: RunFacts) -> Path:
    """Write ``report.html`` into a run folder, and each figure as PNG into its ``figures``.

    The page is complete in itself: pictures and sounds are inline, there is no script and no address that would be
    loaded. It follows the reader's light or dark scheme. A page that would be larger than 5 MB is drawn coarser.

    Args:
        folder: The run folder.
        run: What is shown.

    Raises:
        InvalidInputError: If the folder holds a symbolic link.
        MissingExtraError: If matplotlib is not installed.
    """
    require("matplotlib", by="report")
    place, page = Path(folder), ""
    refuse_links("report", place)
    for dpi, dark, seconds in _QUALITIES:
        page = render(run, Embedded(place / FIGURES, dpi=dpi, dark=dark, seconds=seconds))
        if len(page.encode()) < LIMIT:
            break
    write_text(place / REPORT, page)
    return place / REPORT


def render(run: RunFacts, drawn: Embedded) -> str:
    """The page as text."""
    tasks = tasks_of(run)
    several = len(tasks) > 1
    sections = [
        _section(
            cells[0].title,
            f"task-{k}",
            task_section(cells, drawn, f"{words.slug(cells[0].task)}-" if several else ""),
        )
        for k, cells in enumerate(tasks, start=1)
    ]
    body = join([_findings(run), _tiles(run, tasks), sections, _claims(run, drawn)])
    body = join([body, _reproduce(run), _licences(run)])
    terms = _terms(re.sub(r"<[^>]*?>", " ", body))
    footer = el("p", "This page is complete in one file and loads nothing.")
    return document(run.title, _header(run, tasks, bool(terms)), [body, terms], footer)


# --- the head: title, summary, findings, tiles ---------------------------------------------------------------


def _header(run: RunFacts, tasks: Sequence[Sequence[CellFacts]], has_terms: bool) -> list[Child]:
    seeds = list(dict.fromkeys(cell.seed for cell in run.cells)) or [run.seed]
    meta = [
        run.created[:10],
        run.machine.partition(",")[0],
        f"seed{'s' if len(seeds) > 1 else ''} {words.listing(list(map(str, seeds)), 6)}",
    ]
    anchors = [("findings", "What went wrong")]
    anchors += [(f"task-{k}", cells[0].title) for k, cells in enumerate(tasks, start=1)]
    anchors += [("claims", "Claims")] if run.verdicts else []
    anchors += [("reproduce", "Reproduce"), ("licences", "Licences")]
    anchors += [("terms", "Terms")] if has_terms else []
    items = [el("li", el("a", name, href=f"#{place}")) for place, name in anchors]
    return [
        el("p", "Report of a run", cls="kicker"),
        el("h1", run.title),
        el("p", " · ".join(part for part in meta if part), cls="meta"),
        el("p", summary(run), cls="abstract"),
        el("p", worst(run), cls="abstract") if worst(run) else None,
        el("nav", el("ul", items), aria_label="Contents"),
    ]


def worst(run: RunFacts) -> str:
    """The worst finding in a sentence; empty where none is grave, or where the run is too small to tell."""
    grave = [one.text for one in findings_of(run) if one.grave]
    return f"The worst finding: {grave[0]}" if grave and run.budget != "quick" else ""


def summary(run: RunFacts) -> str:
    """What was learnt from what, and the main result, in a sentence or two a task."""
    told = [_task_sentence(cells) for cells in tasks_of(run)]
    more = f" So were {len(told) - 4} more." if len(told) > 4 else ""
    return (" ".join(told[:4]) + more) if told else "This run holds no finished fit."


def _task_sentence(cells: Sequence[CellFacts]) -> str:
    cell = cells[0]
    seconds = sum(stage.seconds or 0.0 for one in cells for stage in one.stages)
    spent = f" in {words.duration(seconds)} of training" if seconds else ""
    often = f", with {len(cells)} seeds" if len(cells) > 1 else ""
    return f"{cell.model.title}, fitted to {_data(cell)}{often}{spent}. {_main_result(over_seeds(cells))}"


def _data(cell: CellFacts) -> str:
    names = list(dict.fromkeys(words.named(role.name) for role in cell.data))
    sizes = {role.rows["train"] for role in cell.data if role.rows.get("train")}
    size = (
        f" ({words.count(max(sizes), 'training row')}{' each' if len(names) > 1 else ''})"
        if len(sizes) == 1
        else ""
    )
    return f"{words.listing(names, 3)}{size}" if names else "its data"


def _main_result(questions: Sequence[QuestionFacts]) -> str:
    best = next((score for question in questions for score in _headlines(question)), None)
    if best is None:
        return "Nothing was measured beside a floor or a rival."
    value = f"{title_of(best)} is {words.with_error(best.value, best.error)}{unit(best)}{_beside(best)}"
    read = headline(best)
    return f"{value}: {read[:1].lower()}{read[1:]}" if read else f"{value}."


def _beside(score: Score) -> str:
    """Floor and rivals in brackets."""
    floor = floor_of(score)
    told = [f"{score.floor_of or 'the floor'} {words.number(floor)}"] if floor is not None else []
    told += [f"{words.spaced(name)} {words.number(value)}" for name, value in score.rivals.items()]
    return f" ({'; '.join(told)})" if told else ""


def _headlines(question: QuestionFacts) -> Iterator[Score]:
    """Scores with a direction, and with a floor or rivals."""
    for score in question.scores:
        if score.better != "neither" and (floor_of(score) is not None or score.rivals):
            yield score


def _findings(run: RunFacts) -> Markup:
    """The worst first: a report that hides these is worth nothing."""
    found = findings_of(run)
    items = [el("li", one.text, cls="fail" if one.grave else "warn") for one in found]
    quick = [el("li", QUICK, cls="note-box")] if run.budget == "quick" else []
    most = _MOST_FINDINGS if len(items) > _MOST_FINDINGS + 1 else len(items)
    shown, rest = [*quick, *items[:most]], items[most:]
    more = el("details", el("summary", f"{len(rest)} more"), el("ul", rest, cls="issues")) if rest else None
    nothing = None if any(one.grave for one in found) else el("p", _nothing(run))
    title = el("h2", "What went wrong", id="findings")
    return el("section", title, nothing, el("ul", shown, cls="issues") if shown else None, more)


def _nothing(run: RunFacts) -> str:
    """That nothing went wrong, of what could have."""
    questions = [question for cell in run.cells for question in cell.questions]
    if not questions:
        return "Nothing that is known: no question was asked."
    told = (
        ["no claim came out otherwise than expected"]
        if any(v.outcome != "not asked" for v in run.verdicts)
        else []
    )
    told += ["no rival is better"] if any(score.rivals for q in questions for score in q.scores) else []
    return words.sentence(words.listing(["no check failed", *told]))


def _tiles(run: RunFacts, tasks: Sequence[Sequence[CellFacts]]) -> Child:
    """The few numbers that a hurried reader wants."""
    most = 3 if len(tasks) == 1 else 1
    tiles = [tile for cells in tasks[:3] for tile in _task_tiles(cells, most, named=len(tasks) > 1)]
    judged = [v for v in run.verdicts if v.outcome != "not asked"]
    if judged:
        good = sum(v.outcome == v.claim.expected for v in judged)
        tiles.append(("Claims as expected", f"{good} of {len(judged)}", ""))
    if run.seconds:
        tiles.append(("Whole run", words.duration(run.seconds), ""))
    cells = [el("div", el("dt", a), el("dd", b, el("small", c) if c else None)) for a, b, c in tiles]
    return el("dl", cells, cls="tiles") if cells else None


def _task_tiles(cells: Sequence[CellFacts], most: int, *, named: bool) -> list[tuple[str, str, str]]:
    best = [next(_headlines(question), None) for question in over_seeds(cells)]
    return [
        (
            f"{cells[0].title}: {title_of(score)}" if named else title_of(score),
            words.number(score.value),
            " ".join(part for part in (f"{score.unit}." if score.unit else "", headline(score)) if part),
        )
        for score in [one for one in best if one is not None][:most]
    ]


def _section(title: str, place: str, inner: Child) -> Markup:
    return el("section", el("h2", title, id=place), inner, aria_label=title)


# --- the end: claims, how to repeat it, licences, terms ------------------------------------------------------


def _claims(run: RunFacts, drawn: Embedded) -> Child:
    if not run.verdicts:
        return None
    rows = []
    for verdict, (says, *rest, outcome) in zip(run.verdicts, verdict_lines(run.verdicts), strict=True):
        kind = "pass" if verdict.outcome == verdict.claim.expected else PILLS.get(verdict.outcome, "")
        rows.append([el("code", says.strip("`")), *rest, el("span", outcome, cls=f"verdict {kind}")])
    told = "What the recipe says of the method, judged by machine. The gap is the left less the right side."
    quick = " A quick run judges none." if run.budget == "quick" else ""
    header = ["Claim", "Beside", "Seeds", "Gap", "Verdict"]
    numbers = [False, False, True, True, False]
    made = table(
        [drawn.table_label(), told + quick], header, rows, label="Claims", text=numbers, stacked=True
    )
    return _section("Claims", "claims", made)


def _reproduce(run: RunFacts) -> Markup:
    given = run.command or run.again
    parts: list[Child] = [
        el("pre", el("code", given)) if given else absent("The run did not store its command.")
    ]
    if run.command and run.again:
        parts += [
            el("p", "Or from the settings that the run folder keeps:"),
            el("pre", el("code", run.again)),
        ]
    seeds = list(dict.fromkeys(str(cell.seed) for cell in run.cells)) or [str(run.seed)]
    listed = [
        ("Seeds" if len(seeds) > 1 else "Seed", words.listing(seeds)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())),
        ("Machine", run.machine),
        ("Started", run.created),
        ("Time", words.duration(run.seconds) if run.seconds is not None else None),
    ]
    parts.append(facts(listed))
    told = "With the same versions on the same machine the numbers come out the same; "
    told += "elsewhere the last digits may differ."
    parts.append(el("p", told))
    if run.settings:
        shown = json.dumps(dict(run.settings), indent=2, ensure_ascii=False, default=str)
        parts.append(el("details", el("summary", "All settings of the run"), el("pre", el("code", shown))))
    return _section("How to reproduce", "reproduce", parts)


def _licences(run: RunFacts) -> Markup:
    seen: dict[str, Markup] = {}
    for role in (role for cell in run.cells for role in cell.data):
        if role.origin or role.licence:
            licence = f": {role.licence}" if role.licence else ""
            origin = [", from " if licence else ": ", link(role.origin)] if role.origin else None
            seen.setdefault(role.name, el("li", el("b", words.named(role.name)), licence, origin, "."))
    nothing = absent("The run does not state where its data come from.")
    return _section("Licences of the data", "licences", el("ul", list(seen.values())) if seen else nothing)


def _terms(text: str) -> Child:
    found = terms_in(text)
    return _section("Terms", "terms", facts(found)) if found else None
