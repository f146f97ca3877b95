"""Inputs and outputs of an exported program: names, shapes, types, units, and draws to check it with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

Draw = Callable[[int, Generator], Tensor]


@dataclass(frozen=True)
class Port:
    """One input or output of a program.

    Attributes:
        name: Name in the program.
        shape: Sizes of one row; the program takes ``(batch, *shape)``.
        dtype: Type of its entries.
        about: Meaning, units, and for noise its distribution.
        draw: ``(rows, generator) -> (rows, *shape)``, typical values for a check; None for outputs.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    about: str
    draw: Draw | None = None

    def described(self) -> dict[str, Any]:
        """As plain JSON."""
        shape = ["batch", *self.shape]
        return {"name": self.name, "shape": shape, "dtype": _word(self.dtype), "about": self.about}

    def drawn(self, rows: int, generator: Generator) -> Tensor:
        """Values for a check, in this port's type."""
        assert self.draw is not None
        return self.draw(rows, generator).to(self.dtype)


def normal(shape: tuple[int, ...]) -> Draw:
    """Standard normal rows; drawn in float32, so that programs of both precisions are checked at the same values."""
    return lambda rows, generator: torch.randn(rows, *shape, generator=generator)


def uniform(low: float, high: float) -> Draw:
    """One number per row."""
    return lambda rows, generator: low + (high - low) * torch.rand(rows, generator=generator)


def whole(below: int) -> Draw:
    """One whole number per row, from 0 on."""
    return lambda rows, generator: torch.randint(below, (rows,), generator=generator)


def of_rows(known: Tensor) -> Draw:
    """Rows of a tensor that is given."""
    return lambda rows, generator: known[torch.randint(len(known), (rows,), generator=generator)]


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
