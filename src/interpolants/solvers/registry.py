"""Solvers by name; their cards are the list."""

from functools import cache

from interpolants.foundations.errors import invalid, nearest
from interpolants.foundations.registry import build, names
from interpolants.solvers.sde import SdeSolver
from interpolants.solvers.tableau import RungeKutta


@cache
def _solvers() -> dict[str, RungeKutta | SdeSolver]:
    return {name: build("solver", name) for name in names("solver")}


def get_solver(name: str) -> RungeKutta | SdeSolver:
    """The solver called ``name``, e.g. ``"heun"``; its ``kind`` is ``"ode"`` or ``"sde"``.

    Raises:
        InvalidInputError: If there is none; the message names the nearest.
    """
    if name not in _solvers():
        raise invalid("get_solver", "name must be a known solver", name, nearest(str(name), _solvers()))
    return _solvers()[name]


def available(kind: str | None = None) -> list[str]:
    """Names of the solvers, of both kinds or of one.

    Args:
        kind: ``"ode"``, ``"sde"`` or ``None`` for all.
    """
    if kind not in (None, "ode", "sde"):
        raise invalid("available", "kind must be 'ode', 'sde' or None", kind)
    return [name for name, solver in _solvers().items() if kind in (None, solver.kind)]
