"""Rewards of rows: functions of a user, or tables that recipes and commands can name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.trees import MissingCode
from interpolants.framework.roles import count, take
from interpolants.methods.parts.choices import member

# Rows whose rewards are computed again in two halves, and the largest difference, in standard deviations of the reward:
# far more than roundings of float32, far less than what a mean over the batch changes.
_REPEATED, _DIFFERENCE = 256, 1e-2


@dataclass(frozen=True)
class ColumnReward:
    """A multiple of one column, ``r(x) = scale x[column]``.

    Attributes:
        column: Name of a column of a table, or its index, from 0, for arrays of rows ``(N, D)``.
        scale: Factor, in 1 over the unit of the column.
    """

    column: str | int
    scale: float = 1.0

    def __call__(self, rows: Any) -> Any:
        """Rewards ``(N,)``."""
        headings = list(getattr(rows, "columns", ()))
        if headings and self.column in headings:
            return self.scale * rows[self.column]
        array = rows.to_numpy() if headings else rows
        width = array.shape[1] if getattr(array, "ndim", 0) == 2 else 0
        if isinstance(self.column, str) or not 0 <= self.column < width:
            remedy = nearest(str(self.column), list(map(str, headings))) if headings else ""
            text = f"{self.column!r}, of rows with shape {tuple(array.shape[1:])}"
            raise invalid("ColumnReward", "column must be one of the rows", text, remedy)
        return self.scale * array[:, self.column]


def choose_reward(caller: str, reward: Any) -> Any:
    """A function of rows, from itself or from a table such as ``{"kind": "column", "column": "x", "scale": 2.0}``.

    Raises:
        InvalidInputError: If it is neither, or a setting of the table is unknown.
    """
    # A fitted model samples without the function, which files do not hold.
    if reward is None or isinstance(reward, MissingCode):
        return reward
    if isinstance(reward, Mapping):
        return member(caller, "reward", reward)
    if not callable(reward):
        remedy = "Pass a function of rows -> (n,), or {'kind': 'column', 'column': 0}."
        raise invalid(caller, "reward must be a function or a table", repr(reward), remedy)
    return reward


def rewards_of(caller: str, reward: Any, rows: Any, *, repeat: bool = True) -> Tensor:
    """Rewards of rows, ``(n,)`` float64, checked.

    Args:
        caller: Name of the caller, used in error messages.
        reward: A function of rows in their container.
        rows: n rows.
        repeat: Also compare with the rewards of the first rows in two halves.

    Raises:
        InvalidInputError: If the reward does not return one finite number for each row, is constant, or depends on the
            other rows of the call or on chance.
    """
    numbers = _numbers(caller, reward, rows)
    if repeat and float(numbers.min()) == float(numbers.max()):
        remedy = "Nothing can be tuned by it; check its units and its range."
        raise invalid(
            caller, "reward must vary among samples of the model", f"{float(numbers[0]):g} everywhere", remedy
        )
    half = min(len(numbers), _REPEATED) // 2
    if repeat and half:
        parts = [_numbers(caller, reward, take(rows, slice(k * half, (k + 1) * half))) for k in range(2)]
        difference = float((torch.cat(parts) - numbers[: 2 * half]).abs().max())
        if difference > _DIFFERENCE * float(numbers.std()):
            remedy = "Compute it without means over the batch, dropout or random numbers."
            text = f"a difference of {difference:.2g} between one call and two"
            raise invalid(caller, "reward must depend on each row alone", text, remedy)
    return numbers


def _numbers(caller: str, reward: Any, rows: Any) -> Tensor:
    """One number per row."""
    with torch.no_grad():
        answer = reward(rows)
    array = answer if isinstance(answer, Tensor) else torch.as_tensor(np.array(answer))
    n = count(rows)
    if tuple(array.shape) != (n,) or array.dtype.is_complex:
        remedy = "Return one number for each row."
        raise invalid(
            caller, f"reward must return numbers of shape ({n},)", f"shape {tuple(array.shape)}", remedy
        )
    numbers = array.double().cpu()
    counts = {"NaN": numbers.isnan(), "+inf": numbers.isposinf(), "-inf": numbers.isneginf()}
    text = ", ".join(f"{int(mask.sum())} {name}" for name, mask in counts.items() if bool(mask.any()))
    if text:
        remedy = "Clip it, for example a log probability at -20."
        raise invalid(caller, "reward must be finite", f"{text} among {n} rows", remedy)
    return numbers
