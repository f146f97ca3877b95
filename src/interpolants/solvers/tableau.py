"""Explicit Runge-Kutta methods as data: a Butcher tableau, and the solver that carries it.

Letters: ``a`` weights of earlier slopes in a stage, ``b`` weights of the slopes in the step, ``c`` stage
times in units of the step, ``e = b - b_hat`` weights of the error estimate (embedded methods only).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

Terms = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Tableau:
    """Coefficients of an explicit Runge-Kutta method.

    ``k_i = f(x + h sum_j a_ij k_j, t + c_i h)``, ``x_new = x + h sum_i b_i k_i``, and the error of an
    embedded pair is estimated by ``h sum_i e_i k_i``.

    Args:
        a: Row i holds the ``i`` weights of stage i; row 0 is empty.
        b: One weight per stage.
        c: One time per stage, in units of the step.
        order: Order of the method.
        e: Error weights, or empty without an embedded method.
        fsal: The last stage is the first of the next step: its row of ``a`` equals ``b`` and ``c = 1``.
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]
    order: int
    e: tuple[float, ...] = ()
    fsal: bool = False

    @property
    def stages(self) -> int:
        """Number of stages, the one kept for the next step included."""
        return len(self.b)

    @cached_property
    def stage_terms(self) -> tuple[Terms, ...]:
        """The non-zero ``(j, a_ij)`` of each stage."""
        return tuple(_nonzero(row) for row in self.a)

    @cached_property
    def step_terms(self) -> Terms:
        """The non-zero ``(i, b_i)``."""
        return _nonzero(self.b)

    @cached_property
    def error_terms(self) -> Terms:
        """The non-zero ``(i, e_i)``."""
        return _nonzero(self.e)

    @cached_property
    def needed(self) -> int:
        """Stages that a step without error estimate evaluates: those up to the last with a weight."""
        return self.step_terms[-1][0] + 1


def _nonzero(weights: tuple[float, ...]) -> Terms:
    return tuple((i, weight) for i, weight in enumerate(weights) if weight != 0.0)


@dataclass(frozen=True)
class RungeKutta:
    """Base of the explicit Runge-Kutta solvers; the drivers read the tableau and do the stepping."""

    name: ClassVar[str]
    tableau: ClassVar[Tableau]
    kind: ClassVar[str] = "ode"

    @property
    def order(self) -> int:
        """Order of convergence: the error falls as the step to this power."""
        return self.tableau.order

    @property
    def stages(self) -> int:
        """Number of rows of the tableau."""
        return self.tableau.stages

    @property
    def nfe_per_step(self) -> int:
        """Evaluations of ``f`` in one fixed step."""
        return self.tableau.needed

    @property
    def adaptive(self) -> bool:
        """Whether the tableau holds an error estimate."""
        return bool(self.tableau.e)
