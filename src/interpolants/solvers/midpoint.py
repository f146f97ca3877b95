"""The explicit midpoint rule."""

from dataclasses import dataclass
from typing import ClassVar

from interpolants.solvers.tableau import RungeKutta, Tableau


@dataclass(frozen=True)
class Midpoint(RungeKutta):
    """Explicit midpoint rule, order 2: ``x_new = x + h f(x + h/2 f(x, t), t + h/2)``.

    Two evaluations per step, of which one carries weight: a scalar integrated along the path, such as a
    divergence, is evaluated once per step.

    Source: Runge (1895); Hairer, Norsett & Wanner, Solving Ordinary Differential Equations I, section II.1.
    """

    name: ClassVar[str] = "midpoint"
    tableau: ClassVar[Tableau] = Tableau(a=((), (0.5,)), b=(0.0, 1.0), c=(0.0, 0.5), order=2)
