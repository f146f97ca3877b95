"""Downsampling: means over blocks of pixels."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.operators.measurement import Operator


@dataclass(frozen=True)
class Downsample(Checked, Operator):
    """D: means over blocks of ``factor`` entries along every spatial axis; ``pinv`` is U, which repeats them.

    ``D U = Id``, so that ``U D`` is the orthogonal projection on images that are constant on blocks.
    """

    factor: Annotated[int, Ge(2)] = 2
    """Side of a block, in entries; must divide every spatial size."""
    is_linear = True

    def __call__(self, x: Tensor) -> Tensor:
        """``(B, C, *spatial)`` -> ``(B, C, *spatial / factor)``, or ``(B, D)`` -> ``(B, D / factor)``.

        Raises:
            InvalidInputError: If a size is not a multiple of ``factor``.
        """
        sizes = spatial("Downsample", x)
        if any(size % self.factor for size in sizes):
            raise invalid("Downsample", f"spatial sizes must be multiples of {self.factor}", sizes)
        for axis in range(x.ndim - len(sizes), x.ndim):
            blocks = (*x.shape[:axis], x.shape[axis] // self.factor, self.factor, *x.shape[axis + 1 :])
            x = x.reshape(blocks).mean(axis + 1)
        return x

    def pinv(self, y: Tensor) -> Tensor:
        """Repeat every entry over its block."""
        for axis in range(y.ndim - len(spatial("Downsample", y)), y.ndim):
            y = torch.repeat_interleave(y, self.factor, axis)
        return y


def spatial(who: str, x: Tensor) -> tuple[int, ...]:
    """Sizes that are not rows or channels: all of an image's ``(B, C, *spatial)``, the one of a vector ``(B, D)``.

    Raises:
        InvalidInputError: If there are none.
    """
    if x.ndim < 2:
        raise invalid(who, "samples must have shape (N, *D)", tuple(x.shape))
    return tuple(x.shape[1:] if x.ndim == 2 else x.shape[2:])
