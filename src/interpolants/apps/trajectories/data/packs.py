"""Packs: items of different size as one padded tensor, with a mask of what is there.

A pack of point sets ``(n_i, D)`` is ``(B, n, D)`` with n the largest n_i; one of moving points ``(T_i, n_i, D)`` is
padded along two axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record


@record("pack")
@dataclass(frozen=True, eq=False)
class Pack:
    """Items of different size, padded.

    Attributes:
        values: ``(B, *n, *D)``, zero where nothing is.
        present: What is there, ``(B, *n)`` bool.
    """

    values: Tensor
    present: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def unpacked(self) -> list[Tensor]:
        """The items, ``(*n_i, *D)`` each, without padding at the ends of axes; holes within stay as zeros."""
        return [values[_box(there)] for values, there in zip(self.values, self.present, strict=True)]

    def mean(self) -> Tensor:
        """Mean over what is there of each item, ``(B, *D)``; zero for an item of which nothing is."""
        present, values = self.present, self.values
        mask = present.reshape(*present.shape, *(1,) * (values.ndim - present.ndim)).to(values)
        axes = tuple(range(1, present.ndim))
        return (values * mask).sum(axes) / mask.sum(axes).clamp_min(1)


def packed(parts: Sequence[Tensor], *, axes: int = 1, fill: float = 0.0) -> Pack:
    """Items padded to the largest along their first axes.

    Args:
        parts: Items, ``(*n_i, *D)`` with ``axes`` axes that differ, and one D.
        axes: How many of their first axes may differ.
        fill: What the padding holds.

    Raises:
        InvalidInputError: If there is no item, or the other axes differ.
    """
    whole("packed", "axes", axes, at_least=1)
    if not len(parts):
        raise invalid("packed", "at least one item is required", "none")
    shapes = sorted({tuple(part.shape[axes:]) for part in parts})
    if len(shapes) > 1 or any(part.ndim < axes for part in parts):
        rule = f"items must differ in their first {'axis' if axes == 1 else f'{axes} axes'} alone"
        raise invalid("packed", rule, [tuple(part.shape) for part in parts[:4]])
    largest = [max(part.shape[axis] for part in parts) for axis in range(axes)]
    values = parts[0].new_full((len(parts), *largest, *shapes[0]), fill)
    present = torch.zeros(len(parts), *largest, dtype=torch.bool, device=values.device)
    for number, part in enumerate(parts):
        box = tuple(slice(size) for size in part.shape[:axes])
        values[number][box], present[number][box] = part, True
    return Pack(values, present)


def _box(there: Tensor) -> tuple[slice, ...]:
    """The smallest box at the origin that holds all that is there."""
    places = there.nonzero()
    ends = places.amax(0) + 1 if len(places) else torch.zeros(there.ndim, dtype=torch.long)
    return tuple(slice(int(end)) for end in ends)
