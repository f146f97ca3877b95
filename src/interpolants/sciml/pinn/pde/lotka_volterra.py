"""Lotka-Volterra equations of prey and predators: sharp peaks, on which physics-informed networks fail."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Positive
from interpolants.pde.ordinary import OrdinarySystem


@dataclass(frozen=True, kw_only=True)
class LotkaVolterra(OrdinarySystem, Checked):
    """``u1' = u1 (growth - u2)``, ``u2' = u2 (u1 - death)``.

    ``u1 - death ln u1 + u2 - growth ln u2`` is constant along a solution.

    Source: Lotka (1925), Volterra (1926).
    """

    names: tuple[str, ...] = field(default=("prey", "predators"), init=False, repr=False)

    growth: Positive = 1.5
    """Growth rate of the prey u1, in 1 / time."""
    death: Positive = 3.0
    """Death rate of the predators u2, in 1 / time."""
    start: tuple[Positive, Positive] = (1.0, 1.0)
    """Both at time 0."""
    end: Positive = 5.0
    """Last time; a period is about ``2 pi / sqrt(growth death)``, and longer far from rest."""

    def rates_at(self, t: Tensor, u: Tensor) -> Tensor:
        """Both rates, ``(N, 2)``."""
        prey, predators = u.unbind(1)
        return torch.stack([prey * (self.growth - predators), predators * (prey - self.death)], 1)

    def conserved(self, u: Tensor) -> Tensor:
        """What is constant along a solution, ``(N, 2)`` -> ``(N,)``."""
        prey, predators = u.unbind(1)
        return prey - self.death * prey.log() + predators - self.growth * predators.log()
