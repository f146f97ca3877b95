"""Scores: numbers with the best possible value and the values of rivals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from interpolants.foundations import asked
from interpolants.foundations.checked import Checked
from interpolants.foundations.records import record, settings_of

UNKNOWN = "unknown: nobody said"


def _finding(finding: "Finding") -> dict[str, Any]:
    """Return the entries stored in files: no empty remedy."""
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
class Score(Checked):
    """A number with its standard error, floor and rivals.

    Raises:
        InvalidInputError: If ``better`` or ``floor`` is none of these, or a gap is of no rival.
    """

    name: str
    """Its name for programs."""
    value: float
    """The number."""
    error: float = math.nan
    """Its standard error; NaN if it is not known."""
    better: Literal["lower", "higher", "neither"] = "neither"
    """Which way is better."""
    floor: float | str = UNKNOWN
    """What a perfect model would get, or ``"unknown: why"``."""
    floor_error: float = math.nan
    """Standard error of the floor."""
    floor_of: str = ""
    """Whose number the floor is, such as ``"two sets of real data"``; empty for that of a perfect model."""
    rivals: Mapping[str, float] = field(default_factory=dict)
    """Name -> what it gets on the same task."""
    gaps: Mapping[str, float] = field(default_factory=dict)
    """Name of a rival -> standard error of the paired difference."""
    unit: str = ""
    """Unit."""
    note: str = ""
    """One sentence of explanation."""
    title: str = ""
    """Its name for people; ``name`` if empty."""
    n: int | None = None
    """Samples behind it."""

    def check_settings(self) -> None:
        """Check that the floor is a number or a reason, and that gaps belong to rivals."""
        if isinstance(self.floor, str) and not self.floor.startswith("unknown: "):
            raise asked.invalid("floor must be a number or 'unknown: why'", repr(self.floor))
        if strangers := self.gaps.keys() - self.rivals.keys():
            raise asked.invalid("gaps must be of rivals", repr(sorted(strangers)[0]))


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error; the error of a single value, or with infinite values, is NaN."""
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
