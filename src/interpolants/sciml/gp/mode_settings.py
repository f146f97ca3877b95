"""Settings of one mode of a tensor, and how its coordinates are merged."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from interpolants.foundations.checks import number, one_of, positive, whole
from interpolants.foundations.errors import invalid
from interpolants.kernels.matern import SMOOTHNESS

MODES, UNSEEN = ("auto", "continuous", "discrete"), ("refuse", "prior")


@dataclass(frozen=True)
class ModeSettings:
    """One mode.

    Attributes:
        rank: Number of its functions.
        discrete: Whether its coordinates are levels without an order.
        smoothness: Of its processes.
        lengthscale: In units of the coordinate; None to choose it.
        rounding: Coordinates are rounded to multiples of this; 0 for none.
    """

    rank: int
    discrete: bool
    smoothness: float
    lengthscale: float | None
    rounding: float

    @classmethod
    def of(
        cls,
        who: str,
        k: int,
        form: Any,
        rank: int,
        mode: str,
        smoothness: float,
        lengthscale: Any,
        rounding: float,
    ) -> Self:
        """From settings, and from what the column was: a tuple of words is discrete.

        Raises:
            InvalidInputError: If a column of words is to be continuous.
        """
        words = isinstance(form, tuple)
        if words and mode == "continuous":
            raise invalid(who, f"mode number {k + 1} must be discrete, as its column holds words", repr(mode))
        scale = None if lengthscale == "auto" else float(lengthscale)
        return cls(rank, words or mode == "discrete", smoothness, scale, rounding)

    def merged(self, column: Tensor) -> tuple[Tensor, Tensor]:
        """The different coordinates, sorted ``(S,)``, and the place of each row among them ``(N,)``."""
        rounded = (column / self.rounding).round() * self.rounding if self.rounding else column
        places, index = torch.unique(rounded, return_inverse=True)
        return places, index


def per_mode(who: str, name: str, value: Any, count: int) -> list[Any]:
    """One checked value a mode, from one for all or a list.

    Raises:
        InvalidInputError: If the list has another length, or a value does not fit.
    """
    values = list(value) if isinstance(value, list | tuple) else [value] * count
    if len(values) != count or not values:
        raise invalid(who, f"{name} must be one for all modes, or {count}", values)
    return [_checked(who, name, one) for one in values]


def _checked(who: str, name: str, value: Any) -> Any:
    if name == "ranks":
        return whole(who, name, value, at_least=1)
    if name == "modes":
        return one_of(who, name, value, MODES)
    if name == "smoothness":
        return one_of(who, name, value, SMOOTHNESS)
    if name == "rounding":
        return number(who, name, value, at_least=0)
    if isinstance(value, str) and value == "auto":
        return value
    return positive(who, name, value, "Or leave it to the fit: 'auto'.")
