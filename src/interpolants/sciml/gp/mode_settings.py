"""Settings of one mode of a tensor, and how its coordinates are merged."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid


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
            raise invalid(f"mode number {k + 1} must be discrete, as its column holds words", repr(mode))
        scale = None if lengthscale == "auto" else float(lengthscale)
        return cls(rank, words or mode == "discrete", smoothness, scale, rounding)

    def merged(self, column: Tensor) -> tuple[Tensor, Tensor]:
        """The different coordinates, sorted ``(S,)``, and the place of each row among them ``(N,)``."""
        rounded = (column / self.rounding).round() * self.rounding if self.rounding else column
        places, index = torch.unique(rounded, return_inverse=True)
        return places, index


def per_mode(name: str, value: Any, count: int) -> list[Any]:
    """One value a mode, from one for all or several.

    Raises:
        InvalidInputError: If there are several, and not one for each mode.
    """
    values = list(value) if isinstance(value, tuple) else [value] * count
    if len(values) != count:
        raise invalid(f"{name} must be one for all modes, or {count}", values)
    return values
