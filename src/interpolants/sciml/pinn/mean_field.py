"""The mean of the solutions of a family, whatever the parameters."""

from typing import Annotated, Any, ClassVar

from annotated_types import Ge
from torch import Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.pinn.pde.family import FieldSolution, check_family


class MeanField(Method):
    """Mean and spread of numerical solutions at each point: the best that one field can do for all parameters."""

    noun: ClassVar[str] = "mean field"

    draws: Annotated[int, Ge(2)] = 200
    """Problems that are solved."""

    def roles(self) -> tuple[Role, ...]:
        """The family."""
        return (Role(name="problem", kind="problem", axis="", about="A family of boundary-value problems."),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Solve some of the problems.

        Raises:
            InvalidInputError: If the family has no solver.
        """
        family = data["problem"]
        check_family(who(), family)
        found = solver_of(family, *family.draw(self.draws, generator(self.seed, "mean field")))
        # The family is kept first: to read it back imports the module whose record its solutions are.
        return {"problem": family, "fields": found}

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of coordinates, parameters and u, as the family gives them."""
        if not self.is_fitted:
            return ()
        family = self.state["problem"]
        known = {"x": (*family.box, *family.unknown, *family.known), "u": (family.component,)}
        return known.get(name, ())

    @capability(
        reads={"x": Role(name="x", about="File with columns of coordinates and all parameters.")},
        like="u",
        blocks=True,
    )
    def predict(self, x: Tensor) -> Predictive:
        """The same field for all parameters, ``(N, 1)``.

        Args:
            x: Coordinates, unknown and known parameters, ``(N, d + Z + W)``.
        """
        columns = self.columns("x")
        if x.ndim != 2 or x.shape[1] != len(columns):
            rule = f"x must have columns {', '.join(columns)}"
            raise invalid(rule, tuple(x.shape))
        points = x[None, :, : len(self.state["problem"].box)].double().expand(self.draws, -1, -1)
        values = self.state["fields"].at(points)
        mean, std = values.mean(0), values.std(0).clamp_min(1e-12)
        return Predictive(loc=mean[None, :, None], scale=std[None, :, None])


def solver_of(family: Any, z: Tensor, w: Tensor) -> FieldSolution:
    """Numerical solutions of a family.

    Raises:
        InvalidInputError: If it has no solver.
    """
    found: FieldSolution | None = family.solution(z, w)
    if found is None:
        raise invalid("the family must have a solver", type(family).__name__, "Write solution(z, w).")
    return found
