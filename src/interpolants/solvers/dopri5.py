"""The Dormand-Prince pair of orders 5 and 4."""

from dataclasses import dataclass
from typing import ClassVar

from interpolants.solvers.tableau import RungeKutta, Tableau

_B = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)


@dataclass(frozen=True)
class Dopri5(RungeKutta):
    """Dormand & Prince's 5(4) pair: order 5, error estimate by an embedded method of order 4.

    Six evaluations per step, with fixed steps and with adaptive ones (the seventh stage is the first of the
    next step).

    Source: Dormand & Prince (1980), J. Comput. Appl. Math. 6, 19-26; Hairer, Norsett & Wanner, section II.5.
    """

    name: ClassVar[str] = "dopri5"
    tableau: ClassVar[Tableau] = Tableau(
        a=(
            (),
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
            _B,
        ),
        b=(*_B, 0.0),
        c=(0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
        order=5,
        e=(71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
        fsal=True,
    )
