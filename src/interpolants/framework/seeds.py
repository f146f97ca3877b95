"""Experiments whose cells are cases and seeds: the runs, their numbers over seeds, and tables of them."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from interpolants.framework.answered import Answered
from interpolants.framework.claims import Budget, Claim, Expected, RivalRole, Verdict, verdict_lines
from interpolants.framework.figures import Figure, Series
from interpolants.framework.scores import Score, mean_and_error, paired_gap

MARKERS = ("o", "s", "^", "D", "v", "P")
Array = np.ndarray[Any, Any]
Number = tuple[str, str]  # a case, and the name of one of its numbers
Measure = Callable[[str, int, Mapping[str, Any]], Answered]


@dataclass(frozen=True)
class Stated:
    """A claim about a number of a case.

    Attributes:
        says: What is claimed, in the words of `Claim`.
        own: Case and name of the number on the left.
        rival: Those of the rival or the floor on the right; None where a plain number is there.
        role: Role of the rival.
        seeds: How many seeds it speaks of.
        expected: ``"holds"``, ``"fails"`` for a known loss, or ``"undecided"`` for a tie.
        budget: What it is judged with.
    """

    says: str
    own: Number
    rival: Number | None = None
    role: RivalRole = "twin"
    seeds: int = 3
    expected: Expected = "holds"
    budget: Budget = "study"

    @property
    def claim(self) -> Claim:
        """The claim, which knows no cases."""
        role: RivalRole = self.role if self.rival is not None else "number"
        return Claim(says=self.says, role=role, seeds=self.seeds, budget=self.budget, expected=self.expected)


class Results:
    """Answers by case and seed.

    Args:
        settings: Settings that all cells share.
        answers: ``(case, seed)`` -> answers.
    """

    def __init__(self, settings: Mapping[str, Any], answers: Mapping[tuple[str, int], Answered]) -> None:
        self.settings, self._answers = settings, answers

    def values(self, case: str, name: str) -> list[float]:
        """The number or the seconds ``name`` of a case, one per seed that has it."""
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

    def rows(
        self, cases: Mapping[str, str] | Iterable[str], numbers: Mapping[str, int] | Iterable[str]
    ) -> list[list[str]]:
        """Rows of a table: a case, or its label, then `shown` of each number, with the given number of digits."""
        named = cases if isinstance(cases, Mapping) else {case: case for case in cases}
        digits = numbers if isinstance(numbers, Mapping) else dict.fromkeys(numbers, 3)
        return [
            [label, *(self.shown(case, name, n) for name, n in digits.items())]
            for label, case in named.items()
        ]

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
        """Seeds that have results."""
        return sorted({seed for _, seed in self._answers})

    @property
    def head(self) -> str:
        """The line above tables: which seeds, and what the numbers are."""
        return f"Seeds {', '.join(map(str, self.seeds))}; mean ± standard error over seeds.\n"

    @property
    def cases(self) -> list[str]:
        """Cases that have results."""
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
        claims: Claims about its numbers.
        budget: What it was measured with: ``"ci"`` or ``"study"``.
    """

    name: str
    settings: Mapping[str, Any]
    cases: Sequence[str]
    seeds: Sequence[int]
    measure: Measure
    table: Callable[[Results], str]
    figures: Callable[[Results], Sequence[Figure]]
    claims: Sequence[Stated] = ()
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
        """Table, figures, numbers with their rivals, and verdicts."""
        results = self.results(answers)
        verdicts = tuple(self._judge(results, stated) for stated in self.claims)
        text = self.table(results)
        if verdicts:
            head = ["claim", "rival", "seeds", "left minus right", "verdict"]
            text += "\n**Claims**\n\n" + markdown(head, verdict_lines(verdicts))
        figures, scores = tuple(self.figures(results)), over_seeds(results, self.claims)
        return Answered(scores=scores, figures=figures, texts={"table": (text,)}, verdicts=verdicts)

    def _judge(self, results: Results, stated: Stated) -> Verdict:
        """The verdict on the seeds in which both sides were measured."""
        numbers = [stated.own, *([stated.rival] if stated.rival is not None else [])]
        seeds = [one for one in map(results.only, results.seeds) if all(one.values(*n) for n in numbers)]
        return stated.claim.judge([_by_question(seed, [stated]) for seed in seeds], budget=self.budget)


def cell_id(case: str, seed: int) -> str:
    """Name of the cell of a case and seed."""
    return f"{re.sub(r'[^A-Za-z0-9-]+', '_', case).strip('_-')}_{seed}"


def over_seeds(results: Results, claims: Sequence[Stated]) -> tuple[Score, ...]:
    """The numbers that claims are about, as means over seeds with their rivals; unmeasured ones are omitted."""
    by_name: dict[str, list[Stated]] = {}
    for stated in claims:
        by_name.setdefault(".".join(stated.claim.parts[:2]), []).append(stated)
    return tuple(
        _score(results, name, same) for name, same in by_name.items() if results.values(*same[0].own)
    )


def _score(results: Results, name: str, same: Sequence[Stated]) -> Score:
    """One number with the rivals of all claims about it, and standard errors of the paired differences."""
    own = results.values(*same[0].own)
    found = {s.claim.parts.rival: results.values(*s.rival) for s in same if s.rival is not None}
    found = {rival: values for rival, values in found.items() if len(values) == len(own)}
    floor = found.pop("floor", [])
    gaps = {rival: [a - b for a, b in zip(own, v, strict=True)] for rival, v in found.items()}
    value, error = mean_and_error(own)
    return Score(
        name=name,
        value=value,
        error=error,
        floor=mean_and_error(floor)[0] if floor else "unknown: it was not measured",
        rivals={rival: mean_and_error(values)[0] for rival, values in found.items()},
        gaps={rival: mean_and_error(values)[1] for rival, values in gaps.items()},
        n=len(own),
    )


def _by_question(results: Results, claims: Sequence[Stated]) -> dict[str, Answered]:
    found: dict[str, list[Score]] = {}
    for score in over_seeds(results, claims):
        question, _, name = score.name.partition(".")
        found.setdefault(question, []).append(replace(score, name=name))
    return {question: Answered(scores=tuple(scores)) for question, scores in found.items()}


def shown(values: Sequence[float], digits: int = 3) -> str:
    """``mean ± standard error`` over seeds, to some digits after the point; a dash for nothing."""
    if not values:
        return "–"
    mean, error = mean_and_error(values)
    return f"{mean:.{digits}f}" + (f" ± {error:.{digits}f}" if math.isfinite(error) else "")


def compared(text: str, worse: Sequence[float], better: Sequence[float]) -> list[str]:
    """A row of a table: a statement, by how much it is so over the seeds of both, and in how many."""
    n = min(len(worse), len(better))
    gap, error, wins = paired_gap(worse[:n], better[:n])
    return [text, f"{gap:.4f} ± {error:.4f}", f"{wins} of {n}"]


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, first column to the left and numbers to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
