"""Solvers by name; their cards are the list."""

from collections.abc import Callable
from functools import cache

from interpolants.foundations.checks import one_of
from interpolants.foundations.registry import plain_members
from interpolants.solvers.adaptive_heun import AdaptiveHeun
from interpolants.solvers.multistep import Multistep
from interpolants.solvers.sde import SdeSolver
from interpolants.solvers.tableau import RungeKutta

Solver = RungeKutta | SdeSolver | Multistep | AdaptiveHeun


@cache
def _made(entry: Callable[[], Solver]) -> Solver:
    return entry()


def _solvers() -> dict[str, Solver]:
    return {name: _made(entry) for name, entry in plain_members("solver").items()}


def get_solver(name: str) -> Solver:
    """The solver called ``name``, e.g. ``"heun"``; its ``kind`` is one of :func:`available`.

    Raises:
        InvalidInputError: If there is none; the message names the nearest.
    """
    known = _solvers()
    return known[one_of("get_solver", "name", name, known)]


def available(kind: str | None = None) -> list[str]:
    """Names of the solvers, of all kinds or of one.

    Args:
        kind: ``"ode"``, ``"multistep"``, ``"sde"`` with fixed steps, ``"adaptive_sde"``, or ``None`` for all.
    """
    one_of("available", "kind", kind, (None, "ode", "multistep", "sde", "adaptive_sde"))
    return [name for name, solver in _solvers().items() if kind in (None, solver.kind)]
