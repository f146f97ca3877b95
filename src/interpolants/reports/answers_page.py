"""The report of a run of a recipe: scores beside floors and rivals, verdicts on claims, and declared figures.

It knows no method: what is shown is what questions found and cards say.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interpolants.foundations.extras import require
from interpolants.foundations.storage import write_text
from interpolants.framework.claims import Verdict, verdict_lines
from interpolants.framework.figures import Figure, Panel
from interpolants.framework.scores import UNKNOWN, Answered, Score
from interpolants.reports.draw import draw
from interpolants.reports.page import Child, Markup, document, el, facts, join, picture, table

REPORT, FIGURES = "report.html", "figures"


def write_answers(
    folder: str | os.PathLike[str],
    title: str,
    found: Answered,
    *,
    about: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Write ``report.html`` and each figure as PNG into a run folder; the page is complete in itself.

    Args:
        folder: The run folder.
        title: Heading.
        found: Scores, figures, texts and verdicts of the run.
        about: Facts beside the heading: name -> value.
        settings: The recipe, to be shown in full.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require("matplotlib", by="report")
    place = Path(folder)
    body: list[Child] = [_warnings(found), _scores(found), _verdicts(found.verdicts)]
    body += [_figure(figure, place / FIGURES) for figure in found.figures]
    body += [_texts(found.texts), _settings(settings)]
    header = [el("p", "Report of a run", cls="kicker"), el("h1", title), facts((about or {}).items())]
    footer = el("p", "This page is complete in one file and loads nothing.")
    write_text(place / REPORT, document(title, header, body, footer))
    return place / REPORT


def _warnings(found: Answered) -> Markup:
    """The worst first: scores that are no better than a rival, and verdicts that surprise."""
    told = [el("li", text, cls="fail") for text in findings(found)]
    return el("ul", told, cls="issues") if told else Markup("")


def findings(found: Answered) -> list[str]:
    """Warnings above the numbers: rivals that win, and claims with an unexpected verdict."""
    lost = [
        f"{score.title or score.name}: no better than {name} ({_number(score.value)} against {_number(value)})."
        for score in found.scores
        for name, value in score.rivals.items()
        if _loses(score, value)
    ]
    other = [f"Claim {v.claim.says!r}: {v.outcome}." for v in found.verdicts if v.surprising]
    return other + lost


def _loses(score: Score, rival: float) -> bool:
    if score.better == "neither" or not math.isfinite(rival):
        return False
    return score.value >= rival if score.better == "lower" else score.value <= rival


def _scores(found: Answered) -> Markup:
    if not found.scores:
        return el("p", "The recipe asks no question, so there are no scores.", cls="absent")
    names = list(dict.fromkeys(name for score in found.scores for name in score.rivals))
    header: list[Child] = ["measure", "value", "floor", *names, "better"]
    rows = [_row(score, names) for score in found.scores]
    return join([el("h2", "Scores"), table("On held-out rows", header, rows, label="Scores")])


def _row(score: Score, names: Sequence[str]) -> list[Child]:
    small = [el("small", f" {score.unit}") if score.unit else None]
    small += [el("br"), el("small", score.note)] if score.note else []
    name = [score.title or score.name.rpartition(".")[2].replace("_", " "), small]
    unknown = "–" if score.floor == UNKNOWN else score.floor
    floor = unknown if isinstance(unknown, str) else _number(unknown, score.floor_error)
    rivals = [_number(score.rivals[name]) if name in score.rivals else "" for name in names]
    return [name, _number(score.value, score.error), floor, *rivals, score.better]


def _number(value: float, error: float = math.nan) -> str:
    return f"{value:.4g}" if math.isnan(error) else f"{value:.4g} ± {error:.2g}"


def _verdicts(verdicts: Sequence[Verdict]) -> Markup:
    if not verdicts:
        return Markup("")
    header = ["claim", "beside", "seeds", "gap", "verdict"]
    lines = [[el("code", row[0].strip("`")), *row[1:]] for row in verdict_lines(verdicts)]
    return join(
        [
            el("h2", "Claims"),
            table("As they came out", header, lines, label="Claims", text=5),
        ]
    )


def _figure(figure: Figure, folder: Path) -> Markup:
    folder.mkdir(parents=True, exist_ok=True)
    image = draw(figure)
    (folder / f"{figure.name}.png").write_bytes(image)
    inner = picture(
        image, None, alt=described(figure), width=round(figure.width), height=round(figure.height)
    )
    return el(
        "figure",
        el("div", inner, cls="single", style=f"--most: {round(figure.width)}px"),
        el("figcaption", figure.caption or _words(figure.name)),
    )


def described(figure: Figure) -> str:
    """A figure in words, for people who do not see it: its panels, what their axes show, and the named series."""
    return f"{figure.caption or _words(figure.name)} Panels: {'; '.join(_panel(p) for p in figure.panels)}."


def _panel(panel: Panel) -> str:
    marks = dict.fromkeys(series.name or series.mark for series in panel.series)
    axes = " against ".join(axis.text for axis in (panel.y, panel.x) if axis.label)
    return ", ".join(part for part in (panel.title, axes, " and ".join(marks)) if part)


def _words(name: str) -> str:
    """A name of a file as words: what the question is, and what the figure shows."""
    return f"{': '.join(part.replace('_', ' ') for part in name.split('-')).capitalize()}."


def _texts(texts: Mapping[str, Sequence[str]]) -> list[Markup]:
    return [join([el("h3", heading), _lines(heading, lines)]) for heading, lines in texts.items()]


def _lines(heading: str, lines: Sequence[str]) -> Markup:
    """Lines as they are; a table in Markdown, with or without lines after it, as a table."""
    size = next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))
    if size < 3:
        return el("pre", "\n".join(lines))
    cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines[:size]]
    text = next((i for i, cell in enumerate(cells[1]) if cell.endswith(":")), len(cells[1]))
    after = "\n".join(lines[size:]).strip()
    made = table(heading, cells[0], cells[2:], label=heading, text=max(1, text))
    return join([made, el("p", after) if after else None])


def _settings(settings: Mapping[str, Any] | None) -> Markup:
    if not settings:
        return Markup("")
    shown = json.dumps(settings, indent=2, ensure_ascii=False)
    return el("details", el("summary", "All settings of the run"), el("pre", el("code", shown)))
