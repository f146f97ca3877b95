"""What methods of series share: their role, and ensembles on a clock."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.framework.answers import Ensemble
from interpolants.framework.role import Role
from interpolants.framework.series import STEPS, Series


def series_role() -> Role:
    """A series with gaps."""
    about = "a series with its times; gaps are NaN or empty cells"
    return Role(name="series", kind="series", axis="time", gaps=True, about=about)


def one_series(who: str, value: Any) -> Series:
    """The one series that a method was given.

    Raises:
        InvalidInputError: If there are several, or none of its values was seen.
    """
    if isinstance(value, list):
        remedy = "Pass the series in separate calls, or as columns of one table."
        raise invalid(who, "exactly one series must be passed", f"{len(value)} series", remedy)
    assert isinstance(value, Series)
    if not bool(value.seen.any()):
        raise invalid(who, "some values must be seen", "gaps only")
    return value


def up_to_last_value(who: str, value: Series, name: str = "the series") -> Series:
    """A series up to the last time at which something was seen: arrays have NaN behind the ends of shorter series.

    Raises:
        InvalidInputError: If nothing was.
    """
    known = value.seen.any(1).nonzero()
    if not len(known):
        raise invalid(who, f"some values of {name} must be seen", "gaps only")
    return value[: int(known[-1]) + 1]


def over_time(x: Tensor, like: Series, times: Tensor) -> Ensemble:
    """Members ``(B, M, T, C)`` at times of the clock of a series."""
    return Ensemble(x=x, dims=("time", "column"), times=times, clock=like.clock, columns=like.columns)


def on_one_clock(x: Tensor, many: Sequence[Series], ahead: int) -> Ensemble:
    """Members at the times that follow; at steps ahead, for series that end at different times.

    Series with names, such as the columns of a wide table, are cases with these names.
    """
    found, names = _ahead(x, many, ahead), tuple(one.name for one in many)
    return replace(found, labels={"case": names}) if len(set(names) - {""}) == len(many) else found


def _ahead(x: Tensor, many: Sequence[Series], ahead: int) -> Ensemble:
    first = many[0]
    if any(one.columns != first.columns for one in many):  # the names of one series are not those of all
        first = replace(first, columns=())
    if all(torch.equal(one.times[-1], first.times[-1]) for one in many):
        return over_time(x, first, first.after(ahead))
    steps = torch.arange(1, ahead + 1, dtype=torch.float64)
    return replace(over_time(x, first, steps), clock=STEPS)
