"""Experiments whose cells are cases and seeds: the runs, their numbers over seeds, and tables of them."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from interpolants.framework.claims import Claim, verdict_lines
from interpolants.framework.figures import Figure, Series
from interpolants.framework.scores import Answered, Score, mean_and_error

MARKERS = ("o", "s", "^", "D", "v", "P")
Array = np.ndarray[Any, Any]
Measure = Callable[[str, int, Mapping[str, Any]], Answered]


class Number(NamedTuple):
    """A number of a case."""

    case: str
    name: str


@dataclass(frozen=True)
class Compared:
    """What claims speak of: a number of one case beside the same of rivals, seed by seed.

    Attributes:
        name: ``question.score``, as claims write it.
        own: The number.
        rivals: Name -> number.
        floor: The number of a perfect model, if it is known.
    """

    name: str
    own: Number
    rivals: Mapping[str, Number]
    floor: Number | None = None


class Results:
    """Answers by case and seed.

    Args:
        settings: Settings that all cells share.
        answers: ``(case, seed)`` -> answers.
    """

    def __init__(self, settings: Mapping[str, Any], answers: Mapping[tuple[str, int], Answered]) -> None:
        self.settings, self._answers = settings, answers

    def values(self, case: str, name: str) -> list[float]:
        """The number or the seconds ``name`` of a case, one for each seed that has it."""
        found = []
        for seed in self.seeds:
            answered = self._answers.get((case, seed), Answered())
            numbers = {score.name: score.value for score in answered.scores} | dict(answered.timings)
            found += [numbers[name]] if name in numbers else []
        return found

    def mean(self, case: str, name: str) -> float:
        """Mean of a number over seeds; NaN if no seed has it."""
        return mean_and_error(self.values(case, name))[0]

    def shown(self, case: str, name: str, digits: int = 3, factor: float = 1.0) -> str:
        """``mean ± standard error`` of a number; see :func:`shown`."""
        return shown([factor * value for value in self.values(case, name)], digits)

    def curve(
        self,
        x: Iterable[float],
        numbers: Iterable[tuple[str, str]],
        name: str = "",
        hue: int = 0,
        *,
        factor: float = 1.0,
        dash: str = "-",
        errors: bool = True,
    ) -> Series:
        """Means over seeds of several ``(case, number)`` against ``x``, with their standard errors."""
        points = [mean_and_error([factor * v for v in self.values(*number)]) for number in numbers]
        y, error = np.array(points, dtype=np.float64).reshape(-1, 2).T
        arrays = {"x": list(x), "y": y, "error": np.nan_to_num(error) if errors else None}
        return Series(mark="line", arrays=arrays, name=name, hue=hue, dash=dash, symbol=MARKERS[hue % 6])

    def names(self, case: str) -> list[str]:
        """The numbers that a case has, without seconds."""
        rows = (answered for (c, _), answered in self._answers.items() if c == case)
        return list(dict.fromkeys(score.name for answered in rows for score in answered.scores))

    def arrays(self, case: str, seed: int) -> dict[str, Array]:
        """The arrays of a case and seed; empty if it kept none, or was not measured."""
        found = self._answers.get((case, seed))
        return {} if found is None else {name: value.numpy() for name, value in found.arrays.items()}

    def only(self, seed: int) -> "Results":
        """The results of one seed."""
        return Results(self.settings, {key: a for key, a in self._answers.items() if key[1] == seed})

    @property
    def seeds(self) -> list[int]:
        """The seeds that were measured."""
        return sorted({seed for _, seed in self._answers})

    @property
    def head(self) -> str:
        """The line above tables: which seeds, and what the numbers are."""
        return f"Seeds {', '.join(map(str, self.seeds))}; mean ± standard error over seeds.\n"

    @property
    def cases(self) -> list[str]:
        """The cases that were measured."""
        return list(dict.fromkeys(case for case, _ in self._answers))


@dataclass(frozen=True)
class SeededCases:
    """An experiment: every case with every seed.

    Attributes:
        name: Its name.
        settings: What all cells share.
        cases: What is measured.
        seeds: Seeds.
        measure: ``measure(case, seed, settings)`` -> answers.
        table: Results -> Markdown.
        figures: Results -> figures.
        claims: Claims, judged on ``compared``.
        compared: Numbers beside their rivals.
        budget: What claims are judged by: ``"ci"`` or ``"study"``.
    """

    name: str
    settings: Mapping[str, Any]
    cases: Sequence[str]
    seeds: Sequence[int]
    measure: Measure
    table: Callable[[Results], str]
    figures: Callable[[Results], Sequence[Figure]]
    claims: Sequence[Claim] = ()
    compared: Sequence[Compared] = ()
    budget: str = "ci"

    def cells(self) -> dict[str, dict[str, Any]]:
        """Case and seed by id, seed by seed."""
        return {cell_id(c, seed): {"case": c, "seed": seed} for seed in self.seeds for c in self.cases}

    def run(self, cell: Mapping[str, Any], folder: Path) -> Answered:
        """Measure one case with one seed."""
        return self.measure(cell["case"], cell["seed"], self.settings)

    def results(self, answers: Mapping[str, Answered]) -> Results:
        """The answers, by case and seed."""
        cells = self.cells()
        return Results(self.settings, {(cells[n]["case"], cells[n]["seed"]): a for n, a in answers.items()})

    def gather(self, answers: Mapping[str, Answered]) -> Answered:
        """Table, figures, numbers beside their rivals, and verdicts."""
        results = self.results(answers)
        by_seed = [_by_question(results, seed, self.compared) for seed in results.seeds]
        verdicts = tuple(claim.judge(by_seed, budget=self.budget) for claim in self.claims)
        text = self.table(results)
        if verdicts:
            head = ["claim", "rival", "seeds", "left minus right", "verdict"]
            text += "\n**Claims**\n\n" + markdown(head, verdict_lines(verdicts))
        scores = tuple(score for c in self.compared if (score := over_seeds(results, c)) is not None)
        figures = tuple(self.figures(results))
        return Answered(scores=scores, figures=figures, texts={"table": (text,)}, verdicts=verdicts)


def cell_id(case: str, seed: int) -> str:
    """Name of the cell of a case and seed."""
    return f"{re.sub(r'[^A-Za-z0-9-]+', '_', case).strip('_-')}_{seed}"


def over_seeds(results: Results, compared: Compared) -> Score | None:
    """Mean over seeds, with the standard errors of paired differences; None if nothing was measured."""
    own = results.values(*compared.own)
    if not own:
        return None
    rivals = {name: results.values(*number) for name, number in compared.rivals.items()}
    rivals = {name: values for name, values in rivals.items() if len(values) == len(own)}
    gaps = {
        name: mean_and_error([a - b for a, b in zip(own, v, strict=True)])[1] for name, v in rivals.items()
    }
    value, error = mean_and_error(own)
    floor = results.mean(*compared.floor) if compared.floor else math.nan
    return Score(
        name=compared.name,
        value=value,
        error=error,
        floor="unknown: it was not measured" if math.isnan(floor) else floor,
        rivals={name: mean_and_error(values)[0] for name, values in rivals.items()},
        gaps=gaps,
        n=len(own),
    )


def _by_question(results: Results, seed: int, compared: Sequence[Compared]) -> dict[str, Answered]:
    one = results.only(seed)
    found: dict[str, list[Score]] = {}
    for entry in compared:
        question, _, name = entry.name.partition(".")
        score = over_seeds(one, entry)
        if score is not None:
            found.setdefault(question, []).append(Score(**{**vars(score), "name": name}))
    return {question: Answered(scores=tuple(scores)) for question, scores in found.items()}


def shown(values: Sequence[float], digits: int = 3) -> str:
    """``mean ± standard error`` over seeds, to some digits after the point; a dash for nothing."""
    if not values:
        return "–"
    mean, error = mean_and_error(values)
    return f"{mean:.{digits}f}" + (f" ± {error:.{digits}f}" if math.isfinite(error) else "")


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, first column to the left and numbers to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
