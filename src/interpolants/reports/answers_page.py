"""Report of a run on one page: a picture, what was learnt from what and how well, what went wrong, how to repeat it.

It knows no method: what is shown is what questions found, models and cards say, and data are called.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from interpolants.foundations.extras import require
from interpolants.foundations.links import refuse_links
from interpolants.foundations.storage import write_text
from interpolants.framework.claims import verdict_lines
from interpolants.reports import words
from interpolants.reports.cell_sections import PILLS, absent, task_section
from interpolants.reports.embedded import Embedded
from interpolants.reports.facts import CellFacts, RunFacts
from interpolants.reports.findings import QUICK, findings_of, grave_findings
from interpolants.reports.front import first_picture, front_matter, nothing_wrong, prefix, told
from interpolants.reports.page import Child, Markup, document, el, facts, join, link, table
from interpolants.reports.seeds import tasks_of
from interpolants.reports.terms import terms_in

REPORT, FIGURES = "report.html", "figures"
LIMIT = 5_000_000  # bytes: a page that can be mailed
_MOST_FINDINGS = 5  # that are shown unfolded
_APPENDIX = "Data, model and training of each task, and all that was measured."
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
    picture, above = first_picture(run, drawn)
    main, shown = front_matter(run, drawn, above)
    results, findings = _section("Results", "results", main), _findings(run)
    checked = not grave_findings(run)[0] or run.budget == "quick"  # a failed check comes before any result
    front = [*([results, findings] if checked else [findings, results]), _claims(run, drawn)]
    sections = [
        _section(
            cells[0].title,
            f"task-{k}",
            task_section(cells, drawn, prefix(cells[0], several=len(tasks) > 1), shown),
        )
        for k, cells in enumerate(tasks, start=1)
    ]
    appendix = _section("Appendix", "appendix", el("p", _APPENDIX))
    body = join([front, appendix, sections])
    body = join([body, _reproduce(run), _licences(run)])
    terms = _terms(re.sub(r"<[^>]*?>", " ", body))
    footer = el("p", "This page is complete in one file and loads nothing.")
    return document(run.title, _header(run, tasks, picture, has_terms=bool(terms)), [body, terms], footer)


# --- the head: title, four sentences, findings ---------------------------------------------------------------


def _header(
    run: RunFacts, tasks: Sequence[Sequence[CellFacts]], picture: Child, *, has_terms: bool
) -> list[Child]:
    seeds = list(dict.fromkeys(cell.seed for cell in run.cells)) or [run.seed]
    meta = [
        run.created[:10],
        run.machine.partition(",")[0],
        f"seed{'s' if len(seeds) > 1 else ''} {words.listing(list(map(str, seeds)), 6)}",
    ]
    anchors = [("results", "Results"), ("findings", "What went wrong")]
    anchors += [("claims", "Claims")] if run.verdicts else []
    anchors += [("appendix", "Appendix")]
    anchors += [(f"task-{k}", cells[0].title) for k, cells in enumerate(tasks, start=1)]
    anchors += [("reproduce", "Reproduce"), ("licences", "Licences")]
    anchors += [("terms", "Terms")] if has_terms else []
    items = [el("li", el("a", name, href=f"#{place}")) for place, name in anchors]
    return [
        el("p", "Report of a run", cls="kicker"),
        el("h1", run.title),
        el("p", " · ".join(part for part in meta if part), cls="meta"),
        el("p", _waiting(run), cls="note-box") if run.waiting else None,
        picture,
        el("dl", [[el("dt", name), el("dd", text)] for name, text in told(run)], cls="told"),
        el("nav", el("ul", items), aria_label="Contents"),
    ]


def _waiting(run: RunFacts) -> str:
    missing = f"{words.listing(list(run.waiting), 3)} {'is' if len(run.waiting) == 1 else 'are'} missing"
    return f"The run is not finished: {missing}. This page is rewritten after each of them."


def _findings(run: RunFacts) -> Markup:
    """The worst first. If a check failed, the section precedes the results."""
    found = findings_of(run)
    items = [el("li", one.text, cls="fail" if one.grave else "warn") for one in found]
    quick = [el("li", QUICK, cls="note-box")] if run.budget == "quick" else []
    most = _MOST_FINDINGS if len(items) > _MOST_FINDINGS + 1 else len(items)
    shown, rest = [*quick, *items[:most]], items[most:]
    more = el("details", el("summary", f"{len(rest)} more"), el("ul", rest, cls="issues")) if rest else None
    nothing = None if any(one.grave for one in found) else el("p", nothing_wrong(run))
    title = el("h2", "What went wrong", id="findings")
    return el("section", title, nothing, el("ul", shown, cls="issues") if shown else None, more)


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
