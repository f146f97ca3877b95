"""Heun's method: the explicit trapezoidal rule."""

from dataclasses import dataclass
from typing import ClassVar

from interpolants.solvers.tableau import RungeKutta, Tableau


@dataclass(frozen=True)
class Heun(RungeKutta):
    """Explicit trapezoidal rule, order 2: mean of the slopes at the start and at an Euler guess of the end.

    Two evaluations per step; never evaluates ``f`` between grid points, which suits fields that were learnt
    on the grid.

    Source: Heun (1900); Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, section II.1.
    """

    name: ClassVar[str] = "heun"
    tableau: ClassVar[Tableau] = Tableau(a=((), (1.0,)), b=(0.5, 0.5), c=(0.0, 1.0), order=2)
