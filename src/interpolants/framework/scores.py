"""Scores: one number beside the best that is possible and what others reach."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record, settings_of

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
