"""Exponential decay, the smallest equation with a solution in closed form."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Positive
from interpolants.pde.ordinary import OrdinarySystem


@dataclass(frozen=True, kw_only=True)
class LinearDecay(OrdinarySystem, Checked):
    """``u' = -rate u``, ``u(0) = 1``, with ``u(t) = exp(-rate t)``."""

    names: tuple[str, ...] = field(default=("u",), init=False, repr=False)
    start: tuple[float, ...] = field(default=(1.0,), init=False, repr=False)

    rate: Positive = 1.0
    """Rate of decay, in 1 / time."""
    end: Positive = 2.0
    """Last time."""

    def rates_at(self, t: Tensor, u: Tensor) -> Tensor:
        """``-rate u``."""
        return -self.rate * u

    def truth_at(self, points: Tensor) -> Tensor:
        """``exp(-rate t)``, ``(N, 1)`` float64."""
        return torch.exp(-self.rate * points.double())
