"""The explicit Euler method."""

from dataclasses import dataclass
from typing import ClassVar

from interpolants.solvers.tableau import RungeKutta, Tableau


@dataclass(frozen=True)
class Euler(RungeKutta):
    """Explicit Euler, order 1: ``x_new = x + h f(x, t)``; one evaluation per step.

    Source: Euler (1768); Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, section I.7.
    """

    name: ClassVar[str] = "euler"
    tableau: ClassVar[Tableau] = Tableau(a=((),), b=(1.0,), c=(0.0,), order=1)
