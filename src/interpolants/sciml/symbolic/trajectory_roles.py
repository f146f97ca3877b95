"""Roles of this folder: trajectories with their times, and equations as text."""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.arrays import as_tensor, restore
from interpolants.data.equation_trees import Ends, Tree, read_system
from interpolants.data.files import read_array
from interpolants.foundations.errors import invalid
from interpolants.foundations.extras import require
from interpolants.foundations.records import record
from interpolants.framework.role import Reading, Role, role_kind

_TIMES = ("t", "time", "times")


class Trajectories:
    """Trajectories: a list of tensors ``(S, 1 + d)`` float64, times first, which increase.

    One table or array ``(S, 1 + d)`` is one trajectory, an array ``(N, S, 1 + d)`` or a list holds several, of any
    lengths. In a table the column ``t`` or ``time`` holds the times, else the first one. Columns ``u1, u2, ...`` are
    the states of these names, others the states in their order.
    """

    has_rows = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[list[Tensor], Given]:
        """From tables, arrays, tensors, or lists of them.

        Raises:
            InvalidInputError: If there are no times and states, a value is not finite, or times do not increase.
        """
        many = isinstance(value, list | tuple) and bool(value) and hasattr(value[0], "shape")
        parts = (
            [self._one(part, role, reading) for part in value] if many else [self._one(value, role, reading)]
        )
        found = [x for rows, _ in parts for x in (rows if rows.ndim == 3 else [rows])]
        given = parts[0][1]
        single = not many and parts[0][0].ndim == 2
        for x in found:
            _check(x, role, reading)
        return found, replace(given, flat=single, index=None)

    def _one(self, value: Any, role: Role, reading: Reading) -> tuple[Tensor, Given]:
        if hasattr(value, "iloc"):
            value = _times_first(value, role, reading)
        x, given = as_tensor(value, reading.who, role.name)
        if x.ndim not in (2, 3) or x.shape[-1] < 2:
            rule = f"{role.name} must contain times and states, (S, 1 + d) or (N, S, 1 + d)"
            raise invalid(reading.who, rule, tuple(x.shape), "The first column is the time.")
        return x.double(), given

    def read_file(self, text: str, role: Role, key: str | None = None) -> Any:
        """From a file: a table keeps the names of its columns."""
        found = read_array(text, f"--{role.name}", key=key, exact=True)
        if not found.columns or importlib.util.find_spec("pandas") is None:
            return found.x
        pandas = require("pandas", by=f"--{role.name}")
        return pandas.DataFrame(found.x.numpy(), columns=list(found.columns))


def _times_first(table: Any, role: Role, reading: Reading) -> Any:
    """A table with its times in the first column, and states in the order of their numbers.

    Raises:
        InvalidInputError: If a column is not of numbers.
    """
    for name, kind in table.dtypes.items():
        if getattr(kind, "kind", "O") not in "fiub":
            remedy = "Count times from the first one, in the unit of the training; drop words."
            got = f"column {str(name)!r} of type {kind}"
            raise invalid(reading.who, f"{role.name} must have numeric columns", got, remedy)
    names = [name for name in table.columns if str(name).lower() in _TIMES]
    first = names[0] if names else table.columns[0]
    states = [name for name in table.columns if name != first]
    numbered = {str(name).lower(): name for name in states}
    known = [f"u{k + 1}" for k in range(len(states))]
    if set(numbered) == set(known):
        states = [numbered[name] for name in known]
    return table[[first, *states]].astype("float64")


def _check(x: Tensor, role: Role, reading: Reading) -> None:
    if len(x) < 2:
        raise invalid(reading.who, f"{role.name} must have at least two times", len(x))
    steps = x[:, 0].diff()
    if not bool((steps > 0).all()):
        k = int((steps <= 0).nonzero()[0]) + 1
        got = f"{float(x[k, 0]):g} after {float(x[k - 1, 0]):g}, row {k + 1}"
        raise invalid(
            reading.who, f"times of {role.name} must be strictly increasing", got, "Sort the rows by time."
        )


def times_by_window(who: str, times: Any, windows: int) -> list[Any]:
    """The query times of each window, ``(Q,)`` float64 each; None for each window if no times are given.

    Args:
        who: Name of the caller, used in error messages.
        times: None, a number, ``(Q,)`` for all windows alike, or ``(N, Q)`` or a list of N arrays for one window each.
        windows: N.

    Raises:
        InvalidInputError: If there is not one row of times per window.
    """
    if times is None:
        return [None] * windows
    is_listed = isinstance(times, list | tuple) and any(np.ndim(row) > 0 for row in times)
    rows = [torch.as_tensor(row, dtype=torch.float64) for row in (times if is_listed else [times])]
    if not is_listed and rows[0].ndim < 2:
        return [rows[0].reshape(-1)] * windows
    rows = rows if is_listed else list(rows[0])
    if len(rows) != windows or any(row.ndim != 1 for row in rows):
        rule = f"times must be (Q,) for all windows, or one row for each of {windows} windows"
        got = [tuple(row.shape) for row in rows[:3]]
        raise invalid(
            who, rule, f"{len(rows)} rows, of shapes {got}", "Pass a list with one array per window."
        )
    return rows


@record("paths")
@dataclass(frozen=True, eq=False)
class Paths:
    """Predicted trajectories, as they came: one table for one, an array for several of one size, or a list.

    Attributes:
        parts: One ``(Q, 1 + d)`` each, times first.
    """

    parts: list[Tensor]

    def in_kind(self, given: Given) -> object:
        """In the container of the trajectories that were given."""
        if given.flat:
            return restore(self.parts[0], replace(given, flat=False))
        sizes = {tuple(part.shape) for part in self.parts}
        if len(sizes) > 1 or given.container == "pandas":
            return [restore(part, given) for part in self.parts]
        return restore(torch.stack(self.parts), given)


class Equations:
    """Systems of equations as trees: one text such as ``"u2 | -u1"`` (for all rows), or a list with one each."""

    has_rows = True

    def read(self, value: Any, role: Role, reading: Reading) -> tuple[list[Ends], Given]:
        """From texts, tuples of texts, sympy expressions or trees.

        Raises:
            InvalidInputError: If one cannot be read.
        """
        rows = [value] * (reading.rows or 1) if isinstance(value, str) or _is_system(value) else list(value)
        return [read_system(one) for one in rows], Given("thing", "")

    def read_file(self, text: str, role: Role, key: str | None = None) -> Any:
        """From the words themselves, or a file of texts, one system a line."""
        if Path(text).suffix.lower() != ".txt":
            return text
        try:
            return [line for line in Path(text).read_text("utf-8").splitlines() if line.strip()]
        except OSError as error:
            raise invalid(f"--{role.name}", "the file must be a text", text, str(error)) from error


def _is_system(value: Any) -> bool:
    """Whether a tuple is one system, and no list of systems."""
    return isinstance(value, tuple) and all(isinstance(one, Tree) or "|" not in str(one) for one in value)


role_kind("trajectories", Trajectories())
role_kind("equations", Equations())
