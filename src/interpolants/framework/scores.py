"""Scores: one number beside the best that is possible and what others reach; answers: all that was found."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.records import record, settings_of
from interpolants.framework.figures import Figure, tensor

if TYPE_CHECKING:
    from interpolants.framework.claims import Verdict

UNKNOWN = "unknown: nobody said"
BETTER = ("lower", "higher", "neither")


def _finding(finding: "Finding") -> dict[str, Any]:
    """What files hold: no empty remedy."""
    return settings_of(finding, *([] if finding.remedy else ["remedy"]))


@record("finding", parts=_finding)
@dataclass(frozen=True)
class Finding:
    """Something that went wrong and that no reader may miss, such as a check that failed.

    Attributes:
        text: A sentence that names it.
        grave: Whether it failed; else it is a warning.
        remedy: What to do about it, as a sentence.
    """

    text: str
    grave: bool = True
    remedy: str = ""


@record("score")
@dataclass(frozen=True, kw_only=True)
class Score:
    """One number.

    Attributes:
        name: Its name for programs.
        value: The number.
        error: Its standard error; NaN if it is not known.
        better: Which way is better.
        floor: What a perfect model would get, or ``"unknown: why"``.
        floor_error: Standard error of the floor.
        floor_of: Whose number the floor is, such as ``"two sets of real data"``; empty for that of a perfect model.
        rivals: Name -> what it gets on the same task.
        gaps: Name of a rival -> standard error of the paired difference.
        unit: Unit.
        note: One sentence of explanation.
        title: Its name for people; ``name`` if empty.
        n: Samples behind it.

    Raises:
        InvalidInputError: If ``better`` or ``floor`` is none of these, or a gap is of no rival.
    """

    name: str
    value: float
    error: float = math.nan
    better: Literal["lower", "higher", "neither"] = "neither"
    floor: float | str = UNKNOWN
    floor_error: float = math.nan
    floor_of: str = ""
    rivals: Mapping[str, float] = field(default_factory=dict)
    gaps: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""
    note: str = ""
    title: str = ""
    n: int | None = None

    def __post_init__(self) -> None:
        if self.better not in BETTER:
            raise invalid("Score", f"better must be one of {', '.join(BETTER)}", repr(self.better))
        if isinstance(self.floor, str) and not self.floor.startswith("unknown: "):
            raise invalid("Score", "floor must be a number or 'unknown: why'", repr(self.floor))
        if strangers := self.gaps.keys() - self.rivals.keys():
            raise invalid("Score", "gaps must be of rivals", repr(sorted(strangers)[0]))


def _parts(answered: "Answered") -> dict[str, Any]:
    """What files hold: no timings, nothing that is empty, and a score that is a number alone as that number."""
    kept = settings_of(answered, "timings")
    plain = {s.name: s.value if s == Score(name=s.name, value=s.value) else s for s in answered.scores}
    return {name: part for name, part in {**kept, "scores": plain}.items() if part}


def _answered(parts: Mapping[str, Any]) -> "Answered":
    """Inverse of :func:`_parts`."""
    scores = (
        s if isinstance(s, Score) else Score(name=name, value=s)
        for name, s in parts.get("scores", {}).items()
    )
    return Answered(**{**parts, "scores": tuple(scores)})


@record("answered", parts=_parts, make=_answered)
@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a question, a cell of an experiment, or a whole experiment gave.

    Attributes:
        scores: Numbers; their names differ.
        figures: Pictures as data.
        arrays: Arrays to keep, by name; converted to tensors.
        texts: Lines by heading, such as samples of a model of text, or a table in Markdown.
        verdicts: How claims came out.
        findings: What went wrong, in words.
        timings: Seconds by name. They differ from run to run and are stored apart from everything else.

    Raises:
        InvalidInputError: If two scores have one name.
    """

    scores: tuple[Score, ...] = ()
    figures: tuple[Figure, ...] = ()
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    verdicts: "tuple[Verdict, ...]" = ()
    findings: tuple[Finding, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [score.name for score in self.scores]
        if len(set(names)) < len(names):
            raise invalid("Answered", "names of scores must differ", names)
        object.__setattr__(self, "arrays", {name: tensor(value) for name, value in self.arrays.items()})

    def __getitem__(self, name: str) -> Score:
        found = {score.name: score for score in self.scores}
        if name not in found:
            raise invalid("Answered", "the score must be known", repr(name), nearest(name, found))
        return found[name]


def measured(
    values: Mapping[str, float],
    arrays: Mapping[str, Any] | None = None,
    *,
    timed: Sequence[str] = (),
) -> Answered:
    """Plain numbers, with the arrays that figures need; those named in ``timed`` are seconds."""
    scores = tuple(Score(name=name, value=float(v)) for name, v in values.items() if name not in timed)
    timings = {name: float(values[name]) for name in timed if name in values}
    return Answered(scores=scores, arrays=arrays or {}, timings=timings)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error; the error of a single value, or beside infinite ones, is NaN."""
    n = len(values)
    mean = math.fsum(values) / n if n and all(map(math.isfinite, values)) else sum(values) / max(n, 1)
    if n == 0 or not math.isfinite(mean):
        return (math.nan if n == 0 else mean), math.nan
    if n == 1:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)


def paired_gap(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, int]:
    """Mean of ``first - second`` over seeds, its standard error, and in how many seeds it is positive."""
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    return *mean_and_error(gaps), sum(gap > 0 for gap in gaps)
