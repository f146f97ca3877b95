"""Frames: the units in which a method works, learnt from the training rows and stored with the method.

A frame is an invertible map of the rows of a role, which may depend on what is known of each row: the climatology of
its day, the last value of its window.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields
from interpolants.foundations.records import record


class Frame(Protocol):
    """Invertible units of a role."""

    def fit(self, x: Tensor, cond: Any = None) -> Self:
        """The same frame with its numbers, from training rows."""
        ...

    def encode(self, x: Tensor, cond: Any = None) -> Tensor:
        """Data units to the method's."""
        ...

    def decode(self, x: Tensor, cond: Any = None) -> Tensor:
        """The method's units to those of the data."""
        ...

    def log_volume(self, x: Tensor, cond: Any = None) -> Tensor:
        """``log |d encode / dx|`` per row, ``(B,)``, nats."""
        ...


@runtime_checkable
class FramedFields(Protocol):
    """A method whose learnt fields live in units of its own.

    Attributes:
        fields: The fields.
        frame: From data units to those of the fields.
    """

    @property
    def fields(self) -> Fields: ...  # noqa: D102

    @property
    def frame(self) -> Frame: ...  # noqa: D102


@record("standard_frame")
@dataclass(frozen=True, eq=False)
class Standard:
    """``(x - shift) / scale`` with mean 0 and standard deviation 1: per column for vectors, overall for images.

    A column that does not vary at all keeps its scale.

    Attributes:
        shift: Number or tensor that broadcasts against the event, in data units, float64.
        scale: Likewise, positive.
    """

    shift: Tensor | float = 0.0
    scale: Tensor | float = 1.0

    def fit(self, x: Tensor, cond: Any = None) -> "Standard":
        """Pooled mean and deviation of the rows ``(N, *D)``; NaN entries count as not seen."""
        wide = x.double()
        shift, scale = _moments(wide if wide.ndim <= 2 else wide.reshape(-1))
        # Relative to the rounding of the values themselves: small units are no reason not to scale.
        flat = ~(scale > 8 * torch.finfo(x.dtype).eps * shift.abs())
        return replace(self, shift=shift, scale=torch.where(flat, torch.ones_like(scale), scale))

    def encode(self, x: Tensor, cond: Any = None) -> Tensor:
        """Data units to standard ones; the difference is taken in float64."""
        return ((x.double() - self.shift) / self.scale).to(x)

    def decode(self, x: Tensor, cond: Any = None) -> Tensor:
        """Standard units to those of the data, float64 in, float64 out."""
        return (x.double() * self.scale + self.shift).to(x)

    def log_volume(self, x: Tensor, cond: Any = None) -> Tensor:
        """The same for all rows."""
        scale = torch.as_tensor(self.scale, dtype=torch.float64)
        repeats = math.prod(x.shape[1:]) / max(scale.numel(), 1)
        return (-scale.log().sum() * repeats).expand(len(x)).to(x)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over the first axis of what is seen."""
    seen = torch.isfinite(x)
    n = seen.sum(0).clamp_min(1)
    mean = torch.where(seen, x, 0.0).sum(0) / n
    spread = torch.where(seen, x - mean, 0.0).square().sum(0) / (n - 1).clamp_min(1)
    return mean, spread.sqrt()
