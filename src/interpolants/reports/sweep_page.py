"""Report of a sweep: what was chosen, by what, how sure that is, and all settings as a table and a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interpolants.foundations.extras import require
from interpolants.foundations.storage import write_text
from interpolants.framework.figures import Figure
from interpolants.reports.answers_page import FIGURES, REPORT
from interpolants.reports.embedded import Embedded
from interpolants.reports.page import document, el, facts, table

_MOST = 6  # settings that are named in a sentence


@dataclass(frozen=True, kw_only=True)
class SweepFacts:
    """What the page of a sweep shows.

    Attributes:
        title: Title of the recipe.
        chosen: The setting that was chosen, in words.
        value: Its validation, in words.
        by: What settings were chosen by.
        as_good: Settings that cannot be told from it.
        seeds: Fits of each setting.
        notes: What a reader must know, as sentences.
        header: Heads of the table's columns.
        rows: Its cells.
        settings: Leading columns that are settings.
        figure: The picture.
        following: The command that judges the chosen setting on the test part.
    """

    title: str
    chosen: str
    value: str
    by: str
    as_good: Sequence[str]
    seeds: int
    notes: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    settings: int
    figure: Figure
    following: str


def write_sweep(folder: Path, sweep: SweepFacts) -> Path:
    """Write ``report.html`` into the folder of a sweep, and its figure as PNG into ``figures``.

    Args:
        folder: The folder.
        sweep: What is shown.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require("matplotlib", by="report")
    drawn = Embedded(folder / FIGURES)
    told = [("Chosen", sweep.chosen), ("Validation", sweep.value), ("Chosen by", sweep.by)]
    told += [("Seeds", str(sweep.seeds))]
    header = [
        el("p", "Report of a sweep", cls="kicker"),
        el("h1", sweep.title),
        el("dl", [[el("dt", name), el("dd", text)] for name, text in told], cls="told"),
    ]
    notes = el("ul", [el("li", note) for note in sweep.notes])
    alike = f"Not told apart from it by these seeds: {_listed(sweep.as_good)}."
    close = el("p", alike) if sweep.as_good else None
    figure = drawn.show(sweep.figure)
    caption = [drawn.table_label(), "All settings, the best first."]
    listed = table(caption, sweep.header, sweep.rows, label="Settings", text=sweep.settings)
    body = [
        el("section", el("h2", "Result"), notes, close, figure, listed),
        el("section", el("h2", "Next"), facts([("Judge it on the test part", el("code", sweep.following))])),
    ]
    footer = el("p", "This page is complete in one file and loads nothing.")
    write_text(folder / REPORT, document(f"Sweep: {sweep.title}", header, body, footer))
    return folder / REPORT


def _listed(settings: Sequence[str]) -> str:
    left = len(settings) - _MOST
    return "; ".join(settings[:_MOST]) + (f"; and {left} more" if left > 0 else "")
