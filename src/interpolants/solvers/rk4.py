"""The classical Runge-Kutta method."""

from dataclasses import dataclass
from typing import ClassVar

from interpolants.solvers.tableau import RungeKutta, Tableau


@dataclass(frozen=True)
class RK4(RungeKutta):
    """The classical Runge-Kutta method, order 4; four evaluations per step.

    On smooth fields the best fixed-step buy from about 16 evaluations on.

    Source: Kutta (1901); Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, section II.1.
    """

    name: ClassVar[str] = "rk4"
    tableau: ClassVar[Tableau] = Tableau(
        a=((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)),
        b=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
        c=(0.0, 0.5, 0.5, 1.0),
        order=4,
    )
