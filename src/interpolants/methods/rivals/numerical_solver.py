"""Numerical solution of an evolution equation in few steps, as a rival of methods that learn."""

from typing import Any, ClassVar

from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Count
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.pde.evolution import check_evolution


class NumericalSolver(Method):
    """The problem's own integrator: Runge-Kutta for ordinary systems, Fourier modes with ETDRK4 for semilinear ones."""

    noun: ClassVar[str] = "solver"

    steps: Count = 200
    """Steps of time."""

    def roles(self) -> tuple[Role, ...]:
        """The problem."""
        return (Role(name="problem", kind="problem", axis="", about="An evolution equation."),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Integrate once.

        Raises:
            InvalidInputError: If the problem has no integrator.
            DivergedError: If the solution is not finite.
        """
        problem = data["problem"]
        check_evolution("NumericalSolver.fit", problem)
        found = problem.solution(self.steps)
        if found is None:
            remedy = "Ordinary systems and semilinear periodic equations have one."
            raise invalid(
                "NumericalSolver.fit", "the problem must have an integrator", type(problem).__name__, remedy
            )
        names = tuple(problem.names)
        return {"solution": found, "axes": problem.axes, "names": names, "end": float(problem.end)}

    def columns(self, name: str) -> tuple[str, ...]:
        """Axes of points and components of u, as the problem names them."""
        if not self.is_fitted:
            return ()
        known: dict[str, tuple[str, ...]] = {"points": self.state["axes"], "u": self.state["names"]}
        return known.get(name, ())

    @capability(
        reads={"points": Role(name="points", about="File with columns t, or t and x.")}, like="u", blocks=True
    )
    def solve(self, points: Tensor) -> Tensor:
        """The solution at points, ``(N, C)``, between steps by cubic polynomials.

        Args:
            points: Times ``(N, 1)``, or times and places ``(N, 2)``.
        """
        if points.shape[1:] != (len(self.state["axes"]),):
            rule = f"points must have shape (N, {len(self.state['axes'])})"
            raise invalid("NumericalSolver.solve", rule, tuple(points.shape))
        end = self.state.get("end", float("inf"))
        outside = points[(points[:, 0] < -1e-6 * end) | (points[:, 0] > (1 + 1e-6) * end), 0]
        if len(outside):
            rule = f"times must lie in [0, {end:g}], which were solved"
            raise invalid("NumericalSolver.solve", rule, f"{float(outside[0]):g}")
        found: Tensor = self.state["solution"].at(points)
        return found
