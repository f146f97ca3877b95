"""Distances between two sets of samples, as questions report them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from interpolants.data.arrays import is_table
from interpolants.foundations.asked import invalid, who
from interpolants.foundations.card_file import Card
from interpolants.foundations.checked import Checked
from interpolants.foundations.randomness import generator
from interpolants.framework.questions import About
from interpolants.framework.task import Task
from interpolants.methods.parts.space_frame import SpaceFrame, SpaceSetting
from interpolants.metrics.estimate import Estimate, Metric
from interpolants.metrics.two_sample import real_floor, two_sample

# Most rows that distances are computed for.
MOST = 2000
# Kinds of NumPy's dtypes that are numbers.
_NUMERIC = "biufc"
_ANY_TYPE = "Ask column_quality: it compares columns of any type, with missing cells."


@dataclass(frozen=True)
class Distances(Checked):
    """Two-sample metrics by name.

    Raises:
        InvalidInputError: If a name is unknown, or the units are.
    """

    names: Sequence[str]
    """Names that cards declare as ``two_sample``."""
    seed: int = 1
    """Seed of the metrics' own draws."""
    units: Literal["standard", "data"] = "standard"
    """``"standard"``: rows are divided by :func:`spread_of` the training rows; or ``"data"``."""
    space: SpaceSetting = None
    """Spaces of the columns: rows are then compared by their points, in embedding coordinates over their rms distance,
    and units are those of the spaces. None for real numbers."""

    def check_settings(self) -> None:
        """Refuse names that are no metrics."""
        if not isinstance(self.names, list | tuple) or not self.names:
            rule = "distances must be a list of names of metrics"
            raise invalid(rule, repr(self.names)[:80], "E.g. ['energy_distance'].")
        assert self.found is not None  # refuses unknown names now, not after a fit

    @cached_property
    def found(self) -> Mapping[str, tuple[Card, Metric]]:
        """Card and function of each."""
        return {name: two_sample(who(), name) for name in self.names}

    def about(self, name: str, to: str) -> About:
        """What one of them means."""
        card, _ = self.found[name]
        return About(
            f"{card.title} to {to}",
            "lower",
            f"{self.units} units" if "data units" in card.shapes else "",
            floor_of="two sets of real data",
        )

    def scaled(self, task: Task, role: str) -> Callable[[Tensor], Tensor]:
        """What brings rows of a role into the units."""
        if (frame := self.frame(task, role)) is not None:
            return frame.chords
        if self.units == "data":
            return lambda x: x
        spread = spread_of(real_rows(task, role, "train"))
        return lambda x: x / spread.to(x)

    def frame(self, task: Task, role: str) -> SpaceFrame | None:
        """Units of rows of a role in the spaces of their columns; None for real numbers."""
        if self.space is None:
            return None
        names = getattr(task.values[role], "columns", ())
        return SpaceFrame.of(self.space, real_rows(task, role, "train").double(), [*map(str, names)], role)

    def between(self, x: Tensor, y: Tensor) -> dict[str, Estimate]:
        """Each of them between ``x`` (N, *D) and ``y`` (M, *D), in the units."""
        source = "directions of a metric"
        return {name: self._one(name, x, y, generator(self.seed, source)) for name in self.names}

    def floors(self, pool: Tensor, n: int, m: int) -> dict[str, Estimate]:
        """Mean and spread of each between random sets of real data, of ``n`` and ``m`` rows."""
        n, m = min(n, MOST), min(m, MOST)

        def floor(name: str) -> Estimate:
            return real_floor(lambda x, y, source: self._one(name, x, y, source), pool, n, m, self.seed)

        return {name: floor(name) for name in self.names}

    def _one(self, name: str, x: Tensor, y: Tensor, source: Generator) -> Estimate:
        return self.found[name][1](x[:MOST], y[:MOST], generator=source)


def spread_of(rows: Tensor) -> Tensor:
    """Standard deviation of each column of rows ``(N, D)``; of images and fields ``(N, *D)`` one for all entries.

    1 where nothing varies.
    """
    found = rows.double().std(0, correction=0) if rows.ndim == 2 else rows.double().std(correction=0)
    return torch.where(found > 0, found, 1.0)


def as_tensor(value: Any) -> Tensor:
    """Numbers of any container as a tensor; booleans among numbers are 0 and 1.

    Raises:
        InvalidInputError: If a table has strings, dates or cells of pandas.NA.
    """
    array = value.to_numpy(copy=True) if hasattr(value, "to_numpy") else value
    if isinstance(array, np.ndarray) and array.dtype.kind not in _NUMERIC:
        array = _numbers(value)
    return torch.as_tensor(array)


def is_numeric(table: Any) -> bool:
    """Whether all columns of a table are of numbers, also as a single array."""
    return table.to_numpy().dtype.kind in _NUMERIC


def _numbers(value: Any) -> np.ndarray[Any, Any]:
    """Columns of numbers and booleans as float64."""
    columns = [(str(name), value[name]) for name in value.columns] if is_table(value) else [("", value)]
    for name, cells in columns:
        numeric = cells.dtype.kind in _NUMERIC
        if not numeric or bool(cells.isna().any()):
            reason = "missing cells" if numeric else f"type {cells.dtype}"
            received = f"{reason} in column {name!r}" if name else reason
            raise invalid("rows must be numbers without gaps", received, _ANY_TYPE)
    numbers: np.ndarray[Any, Any] = value.to_numpy(dtype=np.float64)
    return numbers


def as_rows(value: Any) -> Tensor:
    """Rows ``(N, *D)`` of any container; numbers ``(N,)`` are rows of one column."""
    x = as_tensor(value)
    return x[:, None] if x.ndim == 1 else x


def as_codes(*labels: Any) -> list[Tensor]:
    """Labels ``(N,)`` of one kind as tensors: numbers as they are, words by their place among all that are given."""
    plain = [np.asarray(one.to_numpy() if hasattr(one, "to_numpy") else one) for one in labels]
    if all(one.dtype.kind in "biuf" for one in plain):
        return [as_tensor(one) for one in labels]
    place = {word: k for k, word in enumerate(sorted({str(word) for one in plain for word in one}))}
    return [torch.tensor([place[str(word)] for word in one], dtype=torch.int64) for one in plain]


def real_rows(task: Task, role: str, part: str = "test") -> Tensor:
    """Rows ``(N, *D)`` of a role in a part of the task; numbers ``(N,)`` are rows of one column."""
    return as_rows(task.part(part)[role])


def column_names(task: Task, role: str) -> list[str]:
    """Names of a role's columns: those of its table, else ``x1``, ``x2``, ...; of images by entry."""
    names = getattr(task.values[role], "columns", None)
    if names is not None:
        return [str(name) for name in names]
    return [f"x{k + 1}" for k in range(real_rows(task, role)[0].numel())]


def like_rows(task: Task, role: str, x: Tensor) -> Any:
    """Rows ``(N, D)`` in a table where those of the role are in one; else the tensor."""
    value = task.values[role]
    return type(value)(x.numpy(), columns=value.columns) if is_table(value) else x


def pooled_rows(task: Task, role: str) -> Tensor:
    """Training and test rows of a role."""
    if task.in_sample:
        return real_rows(task, role)
    return torch.cat([real_rows(task, role, "train"), real_rows(task, role)])
