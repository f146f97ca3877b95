"""Search spaces of sweeps: listed values and ranges of numbers by key path."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interpolants.foundations.errors import invalid
from interpolants.runs.overrides import literal
from interpolants.runs.sweep import read_grid

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\.\.({_NUMBER})(:log)?\s*")


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds, both included; integers if both bounds are.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        log: Whether the logarithm is uniform, instead of the number.
    """

    low: float
    high: float
    log: bool = False

    @property
    def is_integer(self) -> bool:
        """Whether the numbers are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


SearchSpace = Mapping[str, Sequence[Any] | Range]


def read_space(texts: Sequence[str]) -> dict[str, Sequence[Any] | Range]:
    """Parse values by key, from ``key.path=value,value,...`` and ``key.path=LOW..HIGH`` or ``LOW..HIGH:log``.

    Raises:
        InvalidInputError: If a key or a value occurs twice, or the bounds of a range are not in order.
    """
    ranges = {text: bounds for text in texts if (bounds := _range_of(text)) is not None}
    listed = [text for text in texts if text not in ranges]
    space: dict[str, Sequence[Any] | Range] = dict(read_grid(listed)) if listed or not ranges else {}
    for text, bounds in ranges.items():
        key = text.partition("=")[0].strip()
        if key in space:
            raise invalid("--over", "keys must be different", repr(text))
        space[key] = bounds
    # In the order of the command line: the sampler draws in it.
    keys = [text.partition("=")[0].strip() for text in texts]
    return {key: space[key] for key in keys}


def has_range(texts: Sequence[str]) -> bool:
    """Return True if one of the texts holds a range."""
    return any(_RANGE.fullmatch(text.partition("=")[2]) for text in texts)


def _range_of(text: str) -> Range | None:
    match = _RANGE.fullmatch(text.partition("=")[2])
    if match is None:
        return None
    low, high, log = literal(match[1]), literal(match[2]), match[3] is not None
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    if not low < high or (log and not low > 0):
        rule = "a range must be LOW..HIGH with LOW < HIGH, and LOW > 0 with :log"
        raise invalid("--over", rule, repr(text), "For example, --over method.lr=1e-4..1e-2:log.")
    return Range(low, high, log)


def corners(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Yield settings that together hold every listed value and both bounds of every range."""
    listed = {key: _checked_values(values) for key, values in space.items()}
    for number in range(max(len(values) for values in listed.values())):
        yield {key: values[min(number, len(values) - 1)] for key, values in listed.items()}


def _checked_values(values: Sequence[Any] | Range) -> list[Any]:
    return [values.low, values.high] if isinstance(values, Range) else list(values)


def suggested(trial: Any, space: SearchSpace) -> dict[str, Any]:
    """Draw a setting for a trial of Optuna.

    Args:
        trial: The trial.
        space: The search space.
    """
    return {key: _suggest(trial, key, values) for key, values in space.items()}


def _suggest(trial: Any, key: str, values: Sequence[Any] | Range) -> Any:
    if isinstance(values, Range):
        suggest = trial.suggest_int if values.is_integer else trial.suggest_float
        return suggest(key, values.low, values.high, log=values.log)
    # Optuna stores plain values: lists and tables are drawn by their text.
    return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in values]))


def described(space: SearchSpace) -> dict[str, Any]:
    """Return the space as JSON takes it."""
    return {
        key: {"low": v.low, "high": v.high, "log": v.log} if isinstance(v, Range) else list(v)
        for key, v in space.items()
    }
