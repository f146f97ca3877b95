"""First pages of a report: a picture, four sentences, the main scores, and the figures that questions put first."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath

from interpolants.framework.figures import Figure
from interpolants.framework.scores import Score
from interpolants.reports import words
from interpolants.reports.cell_sections import heading, score_table, text_section
from interpolants.reports.embedded import Embedded
from interpolants.reports.facts import CellFacts, QuestionFacts, RunFacts
from interpolants.reports.findings import LOST, QUICK, findings_of, grave_findings
from interpolants.reports.page import Child
from interpolants.reports.readings import (
    floor_of,
    headline,
    loss_in_errors,
    room,
    standing,
    title_of,
    unit,
)
from interpolants.reports.seeds import over_seeds, tasks_of

# So much is shown before the appendix, however much there is.
_TASKS, _ROWS, _FIGURES, _PANELS, _TEXTS = 4, 12, 2, 3, 2
_WHOLE = 4  # panels of a figure that is not cut
Shown = tuple[str, int, str, str]  # task, seed, question, and figure or heading of a text


def told(run: RunFacts) -> list[tuple[str, str]]:
    """What a reader wants to know first, each in a sentence: heading and text."""
    tasks = tasks_of(run)
    if not tasks:
        return [("What was learnt", "This run holds no finished fit.")]
    failed = next(iter(grave_findings(run)[0]), None)
    return [
        ("What was learnt", _by_task(tasks, _learnt)),
        ("How good it is", _by_task(tasks, lambda cells: _main_result(over_seeds(cells)))),
        *([("What failed", failed.text)] if failed is not None and run.budget != "quick" else []),
        ("Its worst loss", QUICK if run.budget == "quick" else _worst(run)),
        ("What to do next", _next(run)),
    ]


def _by_task(tasks: Sequence[Sequence[CellFacts]], tell: Callable[[Sequence[CellFacts]], str]) -> str:
    """A sentence of each of the first tasks, under its title where there are several."""
    found = [(cells[0].title, tell(cells)) for cells in tasks[:_TASKS]]
    if len(tasks) == 1:
        return found[0][1]
    more = f" So were {len(tasks) - _TASKS} more." if len(tasks) > _TASKS else ""
    return " ".join(f"{title}: {told[:1].lower()}{told[1:]}" for title, told in found) + more


def _learnt(cells: Sequence[CellFacts]) -> str:
    cell = cells[0]
    seconds = sum(stage.seconds or 0.0 for one in cells for stage in one.stages)
    spent = f" in {words.duration(seconds)} of training" if seconds else ""
    often = f", with {len(cells)} seeds" if len(cells) > 1 else ""
    return f"{cell.model.title}, fitted to {_data(cell)}{often}{spent}."


def _data(cell: CellFacts) -> str:
    names = list(dict.fromkeys(words.named(PurePath(role.name).name) for role in cell.data))
    counts = [role.rows["train"] for role in cell.data if role.rows.get("train")]
    sizes = list(dict.fromkeys(map(words.count, counts)))
    each = " each" if len(sizes) == 1 and len(names) > 1 else ""
    size = f" ({words.listing(sizes, 3)} training row{'' if counts == [1] else 's'}{each})" if sizes else ""
    return f"{words.listing(names, 3)}{size}" if names else "its data"


def _main_result(questions: Sequence[QuestionFacts]) -> str:
    best = main_score(questions)
    if best is None:
        return "Nothing was measured beside a floor or a rival."
    value = f"{title_of(best)} is {words.with_error(best.value, best.error)}{unit(best)}{_beside(best)}"
    read = headline(best)
    return f"{value}: {read[:1].lower()}{read[1:]}" if read else f"{value}."


def main_score(questions: Sequence[QuestionFacts]) -> Score | None:
    """The score that says most: the one with the most room between floor and best rival in standard errors.

    The rule does not read where the method itself lies, so that it cannot choose a flattering score. Without such a
    score it is the first that has a direction, and a floor or rivals.
    """
    scores = [(score, room(score, q.expected)) for q in questions for score in headlines(q)]
    ranked = [pair for pair in scores if math.isfinite(pair[1])]
    return max(ranked, key=lambda pair: pair[1])[0] if ranked else next((score for score, _ in scores), None)


def _beside(score: Score) -> str:
    """Floor and rivals in brackets."""
    floor = floor_of(score)
    beside = [f"{score.floor_of or 'the floor'} {words.number(floor)}"] if floor is not None else []
    beside += [f"{words.spaced(name)} {words.number(value)}" for name, value in score.rivals.items()]
    return f" ({'; '.join(beside)})" if beside else ""


def headlines(question: QuestionFacts) -> Iterator[Score]:
    """Scores with a direction, and with a floor or rivals."""
    for score in question.scores:
        if score.better != "neither" and (floor_of(score) is not None or score.rivals):
            yield score


def _worst(run: RunFacts) -> str:
    """The worst loss, and the first grave finding other than a failed check."""
    finding = next((f" Also found: {finding.text}" for finding in grave_findings(run)[1]), "")
    return _worst_loss(run)[0] + finding


def _worst_loss(run: RunFacts) -> tuple[str, str]:
    """The score that is worse than a rival's by most standard errors, by name, and a remedy."""
    comparisons = [
        (cells[0].title, score, rival)
        for cells in tasks_of(run)
        for question in over_seeds(cells)
        for score in question.scores
        for rival in score.rivals
        if rival not in question.expected and standing(score, rival) != "unknown"
    ]
    if not comparisons:
        return "No rival was measured.", ""
    losses = [pair for pair in comparisons if standing(*pair[1:]) == "worse"]
    if not losses:
        ties = sum(standing(score, rival) == "same" for _, score, rival in comparisons)
        tied = f", and no better in {ties} of {len(comparisons)} comparisons" if ties else ""
        return f"It is worse than no rival{tied}.", ""
    title, score, rival = max(losses, key=lambda pair: loss_in_errors(*pair[1:]))
    value = f"{title_of(score)} is {words.with_error(score.value, score.error)}{unit(score)}"
    reference = f"{words.spaced(rival)} has {words.number(score.rivals[rival])}{unit(score)}"
    further = f" So are {len(losses) - 1} more of the comparisons." if len(losses) > 1 else ""
    prefixed = f"{title}: {value}" if len(tasks_of(run)) > 1 else value
    return f"{prefixed}, and {reference}.{further}", LOST.format(words.spaced(rival))


def nothing_wrong(run: RunFacts) -> str:
    """That nothing went wrong, of what could have."""
    questions = [question for cell in run.cells for question in cell.questions]
    if not questions:
        return "Nothing that is known: no question was asked."
    judged = any(v.outcome != "not asked" for v in run.verdicts)
    good = ["no claim came out otherwise than expected"] if judged else []
    good += ["no rival is better"] if any(score.rivals for q in questions for score in q.scores) else []
    return words.sentence(words.listing(["no check failed", *good]))


def _next(run: RunFacts) -> str:
    """The remedy of a grave finding, else of the worst loss, else of another, else the command that uses the model."""
    if run.budget == "quick":
        return "Run the recipe without --quick."
    grave = [finding.remedy for findings in grave_findings(run) for finding in findings]
    others = [finding.remedy for finding in findings_of(run)]
    remedy = next((text for text in [*grave, _worst_loss(run)[1], *others] if text), "")
    return remedy or (f"Use it: {run.use}" if run.use else "Use it.")


# --- the main numbers ------------------------------------------------------------------------------------------


def results(run: RunFacts) -> QuestionFacts:
    """The main score of every question, as the scores of one."""
    tasks, scores, rivals = tasks_of(run), list[Score](), dict[str, str]()
    for cells in tasks:
        before = f"{cells[0].title}: " if len(tasks) > 1 else ""
        for question in over_seeds(cells):
            first = main_score([question])
            if first is not None:
                name = f"{cells[0].task}.{question.name}"
                scores.append(replace(first, name=name, title=before + title_of(first)))
                rivals |= question.rivals
    return QuestionFacts(name="results", title="Results", scores=scores[:_ROWS], rivals=rivals)


def first_picture(run: RunFacts, embedded: Embedded) -> tuple[Child, list[Shown]]:
    """The first figure that a question puts first, for the top of the page, and which one it is."""
    chosen = first_figure(run)
    if chosen is None:
        return None, []
    cell, question, name = chosen
    markup, key = _picture(cell, question, name, embedded, of_several=len(tasks_of(run)) > 1)
    return markup, [key]


def first_figure(run: RunFacts) -> tuple[CellFacts, QuestionFacts, str] | None:
    """The figure at the top of a report: its cell, its question and its name; None if the run has no figure."""
    cells = (cells[0] for cells in tasks_of(run))
    return next(((cell, question, name) for cell in cells for question, name in _figures(cell)), None)


def _picture(
    cell: CellFacts, question: QuestionFacts, name: str, embedded: Embedded, *, of_several: bool
) -> tuple[Child, Shown]:
    """A figure, or the first panels of one of many; which one it is, if it is shown whole."""
    figure = next(figure for figure in question.figures if figure.name == name)
    whole = len(figure.panels) <= _WHOLE
    stem = f"{prefix(cell, several=of_several)}{question.name}-{name}" + ("" if whole else "-first")
    markup = embedded.show(figure if whole else _first_panels(figure), stem)
    return markup, (cell.task, cell.seed, question.name, name if whole else "")


def front_matter(
    run: RunFacts, drawn: Embedded, above: Sequence[Shown] = ()
) -> tuple[list[Child], set[Shown]]:
    """The main numbers, figures and texts, and which of the figures and texts they are.

    Args:
        run: The run.
        drawn: Draws the figures.
        above: The figure that stands above already, if there is one.
    """
    parts: list[Child] = [score_table(results(run), drawn)]
    figures, texts, several = list(above), list[Shown](), len(tasks_of(run)) > 1
    top = first_figure(run) if above else None
    for cell in (cells[0] for cells in tasks_of(run)):
        shown: list[Child] = []
        others = [(question, name) for question, name in _figures(cell) if (cell, question, name) != top]
        for question, name in others[: _FIGURES - len(figures)]:
            figure, key = _picture(cell, question, name, drawn, of_several=several)
            shown.append(figure)
            figures.append(key)
        for question, name in _texts(cell)[: _TEXTS - len(texts)]:
            shown.append(text_section(name, question.texts[name], drawn, 4))
            texts.append((cell.task, cell.seed, question.name, name))
        parts += [heading(3, cell.title) if several and shown else None, *shown]
    return parts, {*figures, *texts}


def _first_panels(figure: Figure) -> Figure:
    """The first panels of a figure of many, which the appendix shows whole."""
    columns = figure.columns or len(figure.panels)
    width, height = figure.width / columns, figure.height / -(-len(figure.panels) // columns)
    told = f"{figure.caption} The appendix shows all {len(figure.panels)}."
    return replace(
        figure, panels=figure.panels[:_PANELS], columns=0, width=_PANELS * width, height=height, caption=told
    )


def prefix(cell: CellFacts, *, several: bool) -> str:
    """What the files of a cell's figures begin with."""
    return f"{words.slug(cell.task)}-" if several else ""


def _figures(cell: CellFacts) -> list[tuple[QuestionFacts, str]]:
    """Figures that questions put first, else the first one of all."""
    every = [(question, figure.name) for question in cell.questions for figure in question.figures]
    return [(question, name) for question, name in every if name in question.front] or every[:1]


def _texts(cell: CellFacts) -> list[tuple[QuestionFacts, str]]:
    return [(q, name) for q in cell.questions for name in q.texts if name in q.front]
