"""Several seeds of one task: means over them, as scores."""

import math
from collections.abc import Sequence
from dataclasses import replace

from interpolants.framework.scores import Score, mean_and_error
from interpolants.reports.facts import CellFacts, QuestionFacts, RunFacts


def tasks_of(run: RunFacts) -> list[list[CellFacts]]:
    """Cells by task, each with its seeds."""
    names = dict.fromkeys(cell.task for cell in run.cells)
    return [[cell for cell in run.cells if cell.task == name] for name in names]


def over_seeds(cells: Sequence[CellFacts]) -> list[QuestionFacts]:
    """Questions with the mean of each score over cells, its error that of the mean; no figures and no texts."""
    if len(cells) == 1:
        return list(cells[0].questions)
    asked = {question.name: question for cell in cells for question in cell.questions}
    return [
        replace(question, scores=tuple(_means(name, cells)), figures=(), texts={})
        for name, question in asked.items()
    ]


def spread(cells: Sequence[CellFacts], question: str, score: str) -> float:
    """Standard deviation of a score over cells; NaN for one cell."""
    values = [s.value for s in _scores(question, cells) if s.name == score]
    error = mean_and_error(values)[1]
    return error * math.sqrt(len(values)) if values else math.nan


def _scores(question: str, cells: Sequence[CellFacts]) -> list[Score]:
    return [s for cell in cells for q in cell.questions if q.name == question for s in q.scores]


def _means(question: str, cells: Sequence[CellFacts]) -> list[Score]:
    found: dict[str, list[Score]] = {}
    for score in _scores(question, cells):
        found.setdefault(score.name, []).append(score)
    return [_mean(scores) for scores in found.values()]


def _mean(scores: Sequence[Score]) -> Score:
    first = scores[0]
    value, error = mean_and_error([s.value for s in scores])
    floors = [s.floor for s in scores if not isinstance(s.floor, str)]
    floor, floor_error = mean_and_error(floors) if len(floors) == len(scores) else (first.floor, math.nan)
    names = [name for name in first.rivals if all(name in s.rivals for s in scores)]
    rivals = {name: mean_and_error([s.rivals[name] for s in scores])[0] for name in names}
    gaps = {name: mean_and_error([s.value - s.rivals[name] for s in scores])[1] for name in names}
    return replace(
        first,
        value=value,
        error=error,
        floor=floor,
        floor_error=floor_error,
        rivals=rivals,
        gaps=gaps,
        n=None,
    )
