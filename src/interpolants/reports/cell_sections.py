"""Sections of a page about one task: data, model, training, and question by question its scores, figures and texts."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from interpolants.framework.scores import Score
from interpolants.reports import words
from interpolants.reports.embedded import Embedded
from interpolants.reports.facts import CellFacts, ModelFacts, QuestionFacts, RoleFacts, StageFacts
from interpolants.reports.losses import loss_figure
from interpolants.reports.page import Child, Markup, el, facts, link, table
from interpolants.reports.readings import reading, title_of
from interpolants.reports.seeds import over_seeds, spread

ARROWS = {"lower": "↓", "higher": "↑", "neither": ""}
PILLS = {
    "pass": "pass",
    "holds": "pass",
    "warn": "warn",
    "undecided": "warn",
    "fail": "fail",
    "fails": "fail",
}


def task_section(
    cells: Sequence[CellFacts],
    drawn: Embedded,
    prefix: str,
    shown: Collection[tuple[str, int, str, str]] = (),
) -> list[Child]:
    """All about one task: what its fits share, then what each was asked; several seeds are folded below their means.

    Args:
        cells: The fits of the task.
        drawn: Draws the figures.
        prefix: What the files of its figures begin with.
        shown: Task, seed, question and name of figures and texts that stand elsewhere.
    """
    cells = [_without(cell, shown) for cell in cells]
    first = cells[0]
    shared: list[Child] = [
        heading(3, "Data"),
        data_section(first, drawn),
        heading(3, "Model"),
        model_section(first.model),
    ]
    if len(cells) == 1:
        return [*shared, *_fit(first, drawn, prefix, 3)]
    means = [_means(question, cells, drawn) for question in over_seeds(cells)]
    folded = [
        el(
            "details",
            el("summary", f"Seed {cell.seed}"),
            _fit(cell, drawn, f"{prefix}seed{cell.seed}-", 4),
            open=told,
            cls="seed",
        )
        for cell, told in zip(cells, ["", *[None] * len(cells)], strict=False)
    ]
    return [*shared, heading(3, f"Over {len(cells)} seeds"), *means, heading(3, "Each seed"), *folded]


def _without(cell: CellFacts, shown: Collection[tuple[str, int, str, str]]) -> CellFacts:
    def left(question: QuestionFacts) -> QuestionFacts:
        away = {
            name
            for task, seed, asked, name in shown
            if (task, seed, asked) == (cell.task, cell.seed, question.name)
        }
        figures = [figure for figure in question.figures if figure.name not in away]
        texts = {name: lines for name, lines in question.texts.items() if name not in away}
        return replace(question, figures=figures, texts=texts)

    return replace(cell, questions=[left(question) for question in cell.questions])


def heading(level: int, text: str) -> Markup:
    """A heading."""
    return el(f"h{level}", text)


def absent(sentence: str) -> Markup:
    """Says that something is not there."""
    return el("p", sentence, cls="absent")


def _fit(cell: CellFacts, drawn: Embedded, prefix: str, level: int) -> list[Child]:
    parts: list[Child] = [heading(level, "Training"), training_section(cell.stages, drawn, prefix)]
    if not cell.questions:
        parts.append(absent("The recipe asks no question, so nothing was measured."))
    return [*parts, *(question_section(question, drawn, prefix, level) for question in cell.questions)]


# --- data, model, training -----------------------------------------------------------------------------------


def data_section(cell: CellFacts, drawn: Embedded) -> Child:
    """Each role with its data, their shape, and rows by part."""
    if not cell.data:
        return absent("The run says nothing about its data.")
    parts = {"train": "Training", "held": "Validation", "test": "Held out"}
    kept = [part for part in parts if any(role.rows.get(part) for role in cell.data)]
    rows = [_role(role, kept) for role in cell.data]
    caption = [
        drawn.table_label(),
        "What was learnt from, role by role, in rows. ",
        words.sentence(cell.split),
    ]
    header = ["Role", "Data", "One row", *(parts[part] for part in kept)]
    return table(caption, header, rows, label=f"Data of {cell.title}", text=3, stacked=True)


def _role(role: RoleFacts, parts: Sequence[str]) -> list[Child]:
    notes = [words.sentence(note) for note in role.notes]
    name = [words.named(role.name), el("span", " ".join(notes), cls="note") if notes else None]
    named = [el("code", role.role), el("span", role.about, cls="note") if role.about else None]
    return [
        named,
        name,
        role.shape or "–",
        *(words.count(role.rows[p]) if p in role.rows else "–" for p in parts),
    ]


def model_section(model: ModelFacts) -> Child:
    """What was fitted: what it is, its formulas, and the settings that were chosen."""
    lines = [words.formula(line) for line in model.formulas]
    chosen = [(words.spaced(name), words.setting(value)) for name, value in model.settings.items()]
    works = [el("li", link(address, text) if address else text) for text, address in model.sources]
    return [
        el("p", el("b", f"{model.title}. "), words.sentence(model.opening)),
        el("p", Markup("<br>".join(lines)), cls="formula") if lines else None,
        facts(
            [
                *chosen,
                ("parameters", words.count(model.parameters) if model.parameters else None),
                ("limits", model.limits),
            ]
        ),
        el("p", "Settings that are not named have their defaults.", cls="meta") if chosen else None,
        el("ul", works, cls="works") if works else None,
    ]


def training_section(stages: Sequence[StageFacts], drawn: Embedded, prefix: str) -> Child:
    """Steps and seconds of each stage, and its curves."""
    told = [_stage(stage, named=len(stages) > 1) for stage in stages if stage.history or stage.seconds]
    if not any(told):
        return absent("Nothing was learnt step by step, so there is no curve.")
    figure = loss_figure(stages)
    few = absent("Too few steps were logged for a curve.") if figure is None else None
    return [el("p", " ".join(told)), drawn.show(figure, f"{prefix}training") if figure else few]


def _stage(stage: StageFacts, *, named: bool) -> str:
    steps = max((int(row["step"]) for row in stage.history if "step" in row), default=0)
    who = f"Stage “{words.spaced(stage.name)}”" if named else "Training"
    told = [words.count(steps, "step")] if steps else []
    told += [words.duration(stage.seconds)] if stage.seconds else []
    each = f" ({words.number(1000 * stage.seconds / steps, 2)} ms a step)" if stage.seconds and steps else ""
    return f"{who} took {words.listing(told)}{each}."


# --- questions -----------------------------------------------------------------------------------------------


def question_section(question: QuestionFacts, drawn: Embedded, prefix: str, level: int) -> Child:
    """A question: what it asks, its scores, figures and texts."""
    scores = score_table(
        question, drawn
    )  # tables and figures are numbered in the order in which they are made
    figures = [drawn.show(figure, f"{prefix}{question.name}-{figure.name}") for figure in question.figures]
    texts = [text_section(name, lines, drawn, level + 1) for name, lines in question.texts.items()]
    return [_asked(question, level), scores, figures, texts]


def _asked(question: QuestionFacts, level: int) -> Child:
    how = "; ".join(
        f"{words.spaced(name)}: {words.setting(value)}" for name, value in question.settings.items()
    )
    return [
        heading(level, question.title),
        el("p", words.sentence(question.opening)) if question.opening else None,
        el("p", f"Asked with {how}.", cls="meta") if how else None,
    ]


def score_table(question: QuestionFacts, drawn: Embedded) -> Child:
    """Value, floor and rivals of each score, with its reading."""
    if not question.scores:
        return None
    return _score_table(
        question, drawn, ["This fit"], {score.name: [_value(score)] for score in question.scores}
    )


def _means(question: QuestionFacts, cells: Sequence[CellFacts], drawn: Embedded) -> Child:
    """The mean of each score over seeds, and the spread between them."""
    values = {
        s.name: [_value(s), words.number(spread(cells, question.name, s.name), 2)] for s in question.scores
    }
    return [_asked(question, 4), _score_table(question, drawn, ["Mean", "Spread of the seeds"], values)]


def _value(score: Score) -> Child:
    arrow = ARROWS[score.better]
    hint = el("span", f" {arrow}", title=f"{score.better} is better") if arrow else None
    return [el("b", words.with_error(score.value, score.error)), hint]


def _score_table(
    question: QuestionFacts, drawn: Embedded, header: Sequence[str], values: Mapping[str, Sequence[Child]]
) -> Child:
    scores = question.scores
    rivals = list(dict.fromkeys(name for score in scores for name in score.rivals))
    floors = any(not isinstance(score.floor, str) for score in scores)
    whose = {score.floor_of for score in scores if not isinstance(score.floor, str)}
    one = len(whose) == 1 and "" not in whose
    top = [words.sentence(next(iter(whose)))[:-1] if one else "Floor"] if floors else []
    rows = [
        [
            _measure(score),
            *values[score.name],
            *([_floor(score, named=not one)] if floors else []),
            *(words.number(score.rivals[name]) if name in score.rivals else "" for name in rivals),
        ]
        for score in scores
    ]
    told = [drawn.table_label(), _caption(scores, question)]
    head: list[Child] = ["Measure", *header, *top, *map(words.spaced, rivals)]
    return table(told, head, rows, label=question.title, stacked=True)


def _caption(scores: Sequence[Score], question: QuestionFacts) -> str:
    known = any(math.isfinite(score.error) for score in scores)
    told = ["Scores; ± is one standard error."] if known else ["Scores."]
    told += ["↓ lower is better."] if any(score.better == "lower" for score in scores) else []
    told += ["↑ higher is better."] if any(score.better == "higher" for score in scores) else []
    meant = {words.spaced(name): about for name, about in question.rivals.items() if about}
    told += [
        f"{name.capitalize()}: {about}." for name, about in meant.items() if about.lower() != name.lower()
    ]
    return " ".join(told)


def _measure(score: Score) -> Child:
    unit = el("span", f" ({score.unit})", cls="unit") if score.unit else None
    rows = f"{words.count(score.n)} cases." if score.n else ""
    note = " ".join(part for part in (reading(score), score.note, rows) if part)
    return [title_of(score), unit, el("span", note, cls="note") if note else None]


def _floor(score: Score, *, named: bool) -> Child:
    if isinstance(score.floor, str):
        return ""
    note = el("span", score.floor_of, cls="note") if named and score.floor_of else None
    return [words.with_error(score.floor, score.floor_error), note]


def text_section(name: str, lines: Sequence[str], drawn: Embedded, level: int) -> Child:
    """Lines as they are; a table in Markdown, with or without lines after it, as a table."""
    size = next((i for i, line in enumerate(lines) if not line.startswith("|")), len(lines))
    if size < 3:
        return [heading(level, name), el("pre", "\n".join(lines))]
    cells = [_cells(line) for line in lines[:size]]
    numbers = [cell.endswith(":") for cell in cells[1]]
    after = "\n".join(lines[size:]).strip()
    rows = [[_pill(cell) for cell in row] for row in cells[2:]]
    made = table(
        [drawn.table_label(), words.sentence(name)], cells[0], rows, label=name, text=numbers, stacked=True
    )
    return [made, el("p", after) if after else None]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _pill(text: str) -> Child:
    return el("span", text, cls=f"verdict {PILLS[text]}") if text in PILLS else text
