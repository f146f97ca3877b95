"""Solvers by name."""

from interpolants.foundations.errors import invalid, nearest
from interpolants.solvers.dopri5 import Dopri5
from interpolants.solvers.euler import Euler
from interpolants.solvers.euler_maruyama import EulerMaruyama
from interpolants.solvers.heun import Heun
from interpolants.solvers.midpoint import Midpoint
from interpolants.solvers.rk4 import RK4
from interpolants.solvers.sde import SdeSolver
from interpolants.solvers.sra1 import SRA1
from interpolants.solvers.stochastic_heun import StochasticHeun
from interpolants.solvers.tableau import RungeKutta
from interpolants.solvers.tsit5 import Tsit5

_ODE: tuple[RungeKutta, ...] = (Euler(), Midpoint(), Heun(), RK4(), Dopri5(), Tsit5())
_SDE: tuple[SdeSolver, ...] = (EulerMaruyama(), StochasticHeun(), SRA1())
_ALL: tuple[RungeKutta | SdeSolver, ...] = (*_ODE, *_SDE)
_SOLVERS = {solver.name: solver for solver in _ALL}


def get_solver(name: str) -> RungeKutta | SdeSolver:
    """The solver called ``name``, e.g. ``"heun"``; its ``kind`` is ``"ode"`` or ``"sde"``.

    Raises:
        InvalidInputError: If there is none; the message names the nearest.
    """
    if name not in _SOLVERS:
        raise invalid("get_solver", "name must be a known solver", name, nearest(str(name), _SOLVERS))
    return _SOLVERS[name]


def available(kind: str | None = None) -> list[str]:
    """Names of the solvers, of both kinds or of one.

    Args:
        kind: ``"ode"``, ``"sde"`` or ``None`` for all.
    """
    if kind not in (None, "ode", "sde"):
        raise invalid("available", "kind must be 'ode', 'sde' or None", kind)
    return [name for name, solver in _SOLVERS.items() if kind in (None, solver.kind)]
