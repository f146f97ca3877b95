"""What a method says about itself: named numbers beside their floors and baselines, in the form of reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number.

    Attributes:
        id: Its name for programs.
        title: Its name for people.
        value: The number.
        error: Its standard error.
        n: Samples behind it.
        floor: What a perfect model would get.
        floor_error: Spread of the floor.
        baseline: What costs nothing gets.
        baseline_name: What that is.
        better: Which way is better.
        unit: Unit.
        note: One sentence of explanation.
    """

    id: str
    title: str
    value: float
    error: float | None = None
    n: int | None = None
    floor: float | None = None
    floor_error: float | None = None
    baseline: float | None = None
    baseline_name: str = ""
    better: Literal["lower", "higher", "neither"] = "neither"
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Scores:
    """All of them, and what is to be shown.

    Attributes:
        scores: The numbers.
        texts: Lines to show under a heading, for models of text.
        arrays: Arrays to keep.
    """

    scores: tuple[Score, ...]
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
