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
from interpolants.framework.figures import Figure
from interpolants.framework.scores import Answered, Score
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
    name = [score.title or score.name, el("small", f" {score.unit}") if score.unit else None]
    floor = score.floor if isinstance(score.floor, str) else _number(score.floor, score.floor_error)
    rivals = [_number(score.rivals[name]) if name in score.rivals else "" for name in names]
    return [name, _number(score.value, score.error), floor, *rivals, score.better]


def _number(value: float, error: float = math.nan) -> str:
    return f"{value:.4g}" if math.isnan(error) else f"{value:.4g} ± {error:.2g}"


def _verdicts(verdicts: Sequence[Verdict]) -> Markup:
    if not verdicts:
        return Markup("")
    header = ["claim", "beside", "seeds", "gap", "verdict"]
    return join(
        [
            el("h2", "Claims"),
            table("As they came out", header, verdict_lines(verdicts), label="Claims", text=5),
        ]
    )


def _figure(figure: Figure, folder: Path) -> Markup:
    folder.mkdir(parents=True, exist_ok=True)
    image = draw(figure)
    (folder / f"{figure.name}.png").write_bytes(image)
    inner = picture(image, None, alt=figure.name, width=round(figure.width), height=round(figure.height))
    return el(
        "figure",
        el("div", inner, cls="single", style=f"--most: {round(figure.width)}px"),
        el("figcaption", figure.name),
    )


def _texts(texts: Mapping[str, Sequence[str]]) -> list[Markup]:
    return [join([el("h3", heading), el("pre", "\n".join(lines))]) for heading, lines in texts.items()]


def _settings(settings: Mapping[str, Any] | None) -> Markup:
    if not settings:
        return Markup("")
    shown = json.dumps(settings, indent=2, ensure_ascii=False)
    return el("details", el("summary", "All settings of the run"), el("pre", el("code", shown)))
