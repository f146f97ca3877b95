"""A guard against states that outgrow the data: guidance that is too strong diverges through finite numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.fields.protocol import Fields
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Positive


@dataclass(frozen=True)
class SizeGuard(Checked, Modifier):
    """Raise as soon as an entry of a state is larger than ``limit``, or not a number; it changes no state."""

    limit: Positive
    """Largest absolute value, in the units of the states; several times that of data and noise."""

    def begin(self, x: Tensor, index: int, times: Tensor) -> Work:
        """At work on a chunk."""
        return _Watch(self.limit, index)


class _Watch(Work):
    def __init__(self, limit: float, index: int) -> None:
        self.limit, self.index = limit, index

    def after(self, x: Tensor, t: Tensor, fields: Fields) -> Tensor:
        """The states as they are.

        Raises:
            DivergedError: If one is too large.
        """
        size = x.detach().abs().flatten(1).amax(1)
        bad = ~(size <= self.limit)  # NaN is bad too
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            worst = float(torch.nan_to_num(size, nan=torch.inf).max())
            found = f"states reach {worst:.3g} at t={float(t):.3g}, above the limit {self.limit:.3g}"
            raise DivergedError(f"SizeGuard: {found}, first in row {self.index + row}")
        return x
