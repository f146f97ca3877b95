"""Parameters of a differential equation by least squares through its numerical solver, with a Gaussian about them."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Count, Positive
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.sciml.pinn.mean_field import solver_of
from interpolants.sciml.pinn.pde.family import PDEFamily, check_family

# Step of the differences, in shares of a range; halvings of a step that makes things worse.
_STEP, _HALVINGS = 1e-4, 6
# A step that is smaller, in standard deviations of the posterior, is the last.
_SETTLED = 0.02


class LaplaceInversion(Method):
    """``N(z*, H^-1)``: z* maximises the posterior given noisy values, H is Gauss and Newton's curvature there.

    Each step solves the equation once for every parameter; nothing is learnt. The prior is a Gaussian with the variance
    of the uniform one. Close to the exact posterior where the solution is nearly linear in the parameters over the
    posterior's width.
    """

    noun: ClassVar[str] = "solver"

    noise: Positive = 0.02
    """Standard deviation of the noise in the values, in units of u."""
    steps: Count = 8
    """Most steps of Gauss and Newton."""

    def roles(self) -> tuple[Role, ...]:
        """The family."""
        return (Role(name="problem", kind="problem", axis="", about="A family of boundary-value problems."),)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Nothing but a look at the family.

        Raises:
            InvalidInputError: If it has no solver.
        """
        family = data["problem"]
        check_family(who(), family)
        solver_of(family, *family.draw(1, generator(self.seed, "look")))
        return {"problem": family}

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of coordinates, u and parameters, as the family gives them."""
        if not self.is_fitted:
            return ()
        family: PDEFamily = self.state["problem"]
        observed = (*family.box, family.component, *family.known)
        return {"observed": observed, "z": tuple(family.unknown)}.get(name, ())

    @capability(
        reads={
            "observed": Role(
                name="observed", exact=True, about="File with columns of coordinates, u and known parameters."
            ),
            "case": Role(name="case", kind="labels", about="Which rows are of one field."),
        },
        like="z",
    )
    def infer(self, observed: Tensor, case: Tensor | None = None) -> Predictive:
        """The unknown parameters of fields that were measured at some points.

        Args:
            observed: Coordinates, the value measured there, and known parameters, ``(N, d + 1 + W)``.
            case: Which rows are of one field, where there are several.

        Returns:
            Mean and standard deviation of each parameter, ``(C, Z)``.
        """
        width = len(self.columns("observed"))
        if observed.ndim != 2 or observed.shape[1] != width:
            rule = (
                f"observed must have shape (N, {width}), with columns {', '.join(self.columns('observed'))}"
            )
            raise invalid(rule, tuple(observed.shape))
        codes = torch.zeros(len(observed), dtype=torch.long) if case is None else case
        found = [self._one(observed[codes == code].double()) for code in dict.fromkeys(codes.tolist())]
        mean, std = (torch.stack([one[i] for one in found])[None] for i in (0, 1))
        return Predictive(loc=mean, scale=std)

    def _one(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of one field's parameters."""
        family: PDEFamily = self.state["problem"]
        d = len(family.box)
        points, values, w = rows[:, :d], rows[:, d], rows[:1, d + 1 :]
        low, high = (torch.tensor([side[i] for side in family.unknown.values()]).double() for i in (0, 1))
        prior = 12 / (high - low) ** 2
        z, step = (low + high) / 2, _STEP * (high - low)

        def fields(every: Tensor) -> Tensor:
            n = len(every)
            found = solver_of(family, every, w.expand(n, -1))
            return found.at(points.expand(n, -1, -1))

        def loss(u: Tensor, at: Tensor) -> float:
            return float(
                ((values - u) / self.noise).square().sum() + (prior * (at - (low + high) / 2) ** 2).sum()
            )

        for _ in range(self.steps + 1):
            every = fields(torch.cat([z[None], z + torch.diag(step)]))
            slopes = (every[1:] - every[0]).T / step
            curvature = slopes.T @ slopes / self.noise**2 + torch.diag(prior)
            pull = slopes.T @ (values - every[0]) / self.noise**2 - prior * (z - (low + high) / 2)
            z = self._moved(
                z, torch.linalg.solve(curvature, pull), (low, high), fields, loss, loss(every[0], z)
            )
        return z, torch.linalg.inv(curvature).diagonal().sqrt()

    def _moved(
        self, z: Tensor, step: Tensor, box: tuple[Tensor, Tensor], fields: Any, loss: Any, before: float
    ) -> Tensor:
        """A step that stays in the box, halved until it is no worse."""
        for k in range(_HALVINGS):
            there = torch.minimum(torch.maximum(z + step / 2**k, box[0]), box[1])
            if loss(fields(there[None])[0], there) <= before:
                return there
        return z
