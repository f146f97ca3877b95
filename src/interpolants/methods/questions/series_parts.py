"""What questions about series share: the series of a task, fan charts, and lines by name."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.framework.figures import Series as Mark
from interpolants.framework.role import Role
from interpolants.framework.roles import read
from interpolants.framework.series import Series, listed
from interpolants.framework.task import Task
from interpolants.methods.parts.series import one_series

# Levels of the quantiles in fan charts: two bands and the median.
BANDS = (0.05, 0.25, 0.5, 0.75, 0.95)


def _check_there(who: str, task: Task, role: str) -> None:
    if role not in task.values or role not in task.axes:
        raise invalid(who, f"the task must have a series {role!r}", ", ".join(task.values) or "nothing")


def part_series_of(who: str, task: Task, role: str, part: str = "test") -> list[Series]:
    """The series of a part of a task, as they lie in it.

    Raises:
        InvalidInputError: If the task has no such role.
    """
    _check_there(who, task, role)
    asked = Role(name=role, kind="series", axis="time", gaps=True)
    return listed(read((asked,), {role: task.part(part)[role]}, who)[0][role])


def all_series_of(who: str, task: Task, role: str) -> list[Series]:
    """The whole series of a role where it may have several, which must be of the same length.

    Raises:
        InvalidInputError: If they are not, or the task has no such role.
    """
    _check_there(who, task, role)
    asked = Role(name=role, kind="series", axis="time", gaps=True)
    found = read((asked,), {role: task.values[role]}, who)[0][role]
    if not isinstance(found, list):
        return [one_series(who, found)]
    lengths = {len(one) for one in found}
    if len(lengths) > 1:
        remedy = "Ask about each of them alone, or cut them to one length."
        raise invalid(who, "series that are judged together must have one length", sorted(lengths), remedy)
    return [one_series(who, one) for one in found]


def beside(parts: Sequence[Tensor]) -> Tensor:
    """Values of several series ``(..., S, C)`` as further columns of one."""
    return torch.cat(list(parts), -1)


def named(series: Series) -> str:
    """Name of its first column, for axes."""
    return series.columns[0] if series.columns else "value"


def fan(bands: Tensor, around: Tensor, *, first: int | None = None) -> tuple[Mark, ...]:
    """Quantiles ``(5, S)`` as bands and a line, and what was seen around them, ``(B + S,)`` with B steps before.

    Args:
        bands: At the levels of ``BANDS``.
        around: What was seen, NaN in gaps.
        first: Place of the first quantile; that after the last but S when None.
    """
    steps = bands.shape[1]
    start = len(around) - steps if first is None else first
    ahead = torch.arange(steps, dtype=torch.float64) + 1
    place = torch.arange(len(around), dtype=torch.float64) - start + 1
    return (
        Mark(mark="band", arrays={"x": ahead, "low": bands[0], "high": bands[4]}, name="90 %"),
        Mark(mark="band", arrays={"x": ahead, "low": bands[1], "high": bands[3]}, name="50 %", alpha=2.0),
        Mark(mark="line", arrays={"x": ahead, "y": bands[2]}, name="median"),
        Mark(mark="line", arrays={"x": place, "y": around}, name="seen", hue="muted"),
    )


def lines(values: Mapping[str, Tensor]) -> tuple[Mark, ...]:
    """One line a name over the steps 1, 2, ..."""
    return tuple(
        Mark(
            mark="line",
            arrays={"x": torch.arange(len(y), dtype=torch.float64) + 1, "y": y},
            name=name,
            hue=k,
        )
        for k, (name, y) in enumerate(values.items())
    )
