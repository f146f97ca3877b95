"""Random-grid neural processes: one model of a family of differential equations, forwards and backwards."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from interpolants.foundations.asked import invalid, who
from interpolants.foundations.kinds import Count, Positive, Whole
from interpolants.foundations.randomness import generator
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.stored import misses_code
from interpolants.framework.trained import Trained
from interpolants.sciml.pinn.family_checks import (
    check_ranges,
    check_width,
    unit_points,
    warn_of_counts,
    warn_of_misfit,
)
from interpolants.sciml.pinn.family_nets import FieldNet, ParameterNet
from interpolants.sciml.pinn.family_training import (
    FamilyBatches,
    FamilyField,
    FieldLoss,
    PosteriorLoss,
    fixed_grid,
)
from interpolants.sciml.pinn.pde.family import PDEFamily, check_family
from interpolants.sciml.pinn.taylor import Orders
from interpolants.training.pairs import finished

X = Role(name="x", about="File with columns of coordinates and all parameters.")
POINTS = Role(name="points", about="File with columns of coordinates and all parameters.")
OBSERVED = Role(
    name="observed", about="File with columns of coordinates, the measured value and known parameters."
)
CASE = Role(name="case", kind="labels", about="Which rows are of one field.")
# Draws of parameters by which sensors are compared with fields, and problems that tell the size of u.
_DRAWS, _SCALE_CASES = 32, 256


class RandomGridProcess(Trained):
    """Learn the solutions of all problems of a family from their equation, with nothing solved, and infer parameters.

    Forwards, ``q(u | z, w)`` is a Gaussian field whose mean, standard deviation and factors are a network; it is
    trained to have no residual at points that are drawn anew in each step, at a tolerance eps, and to be as wide as
    this tolerance allows. Backwards, ``p(z | u, w)`` is a Gaussian whose moments follow from values at any number of
    scattered points; it is trained on draws of the field with noise.

    ::

        process = RandomGridProcess().fit(pde.NonlinearPoisson())
        u = process.predict(table)           # columns x, z0 ... z4, w -> mean, std
        z = process.infer(sensors)           # columns x, u, w -> mean, std of z0 ... z4

    The standard deviation of u says how much residual was tolerated, not how far the mean is from the solution. The one
    of z is that of a posterior given values with the noise of the training, as far as the field is right.

    Args:
        batch_size: Cases of a step.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Vadeboncoeur et al. (2023), arXiv:2301.11040. Ours: the tolerance falls during the training, the field is
    trained before the posterior, numbers of sensors and clusters of them vary, noise in their values.
    """

    noun: ClassVar[str] = "process"

    eps: tuple[Positive, Positive] = (0.3, 0.03)
    """Tolerance of the residual at the first and at the last step, in units of the residual."""
    points: Count = 24
    """Points of a case in a step; more than there are unknown parameters."""
    grid: Literal["random", "fixed"] = "random"
    """``"fixed"`` for the same regular points in all steps, to compare with."""
    waves: Whole = 4
    """Sines and cosines of each coordinate that the field is made of."""
    width: Count = 96
    """Units of a hidden layer."""
    depth: Count = 3
    """Hidden layers of the field."""
    rank: Count = 2
    """Columns of the factor of the field's covariance."""
    joint: bool = False
    """Train the posterior with the field too, as the bound of the paper has it."""
    inverse_steps: Count = 3000
    """Training steps of the posterior."""
    inverse_batch: Count = 64
    """Cases in each of these."""
    sensors: tuple[Count, Count] = (8, 64)
    """Fewest and most sensors of a case."""
    noise: Positive = 0.02
    """Standard deviation of the noise in measured values, in units of u."""
    encoder: Mapping[str, Any] | None = None
    """Settings of :class:`interpolants.sciml.pinn.nets.grid_encoder.GridEncoder`."""
    steps = 3500
    batch_size = 16
    lr = 2e-3
    ema = None

    def check_settings(self) -> None:
        """Refuse numbers of sensors the wrong way round."""
        if self.sensors[0] > self.sensors[1]:
            raise invalid("sensors must be (fewest, most)", self.sensors)

    def identity(self) -> dict[str, Any]:
        """The steps decide how eps falls, whatever the schedule."""
        return {**super().identity(), "steps": self.steps}

    def roles(self) -> tuple[Role, ...]:
        """The family; there are no data."""
        return (Role(name="problem", kind="problem", axis="", about="A family of boundary-value problems."),)

    def fit(self, problem: Any, **options: Any) -> Self:
        """Learn a family.

        Args:
            problem: A :class:`interpolants.sciml.pinn.pde.family.PDEFamily`, such as ``pde.NonlinearPoisson()``.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(problem, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The field, then the posterior."""
        family: PDEFamily = data["problem"]
        highest = check_family(who(), family, slopes=True)
        if self.points <= len(family.unknown):  # a joint bound would grow without end
            rule = f"points must be more than the {len(family.unknown)} unknown parameters"
            raise invalid(rule, self.points)
        # Forwards: the field that leaves least of the equation.
        field = FamilyField(family, Orders(highest))
        sizes = {name: getattr(self, name) for name in ("waves", "width", "depth", "rank")}
        count = len(family.unknown) + len(family.known)
        net = FieldNet(dict(family.box), count, **sizes, seed=self._seed("field net"))
        nets = nn.ModuleDict({"field": net})
        if self.joint:
            nets["posterior"] = self._parameter_net(family, 1.0)
        grid = fixed_grid(family, self.points) if self.grid == "fixed" else None
        batches = FamilyBatches(family, self.batch_size, self.points, self.points, grid)
        loss = FieldLoss(field, self.eps, self.steps, self.joint)
        finished(nets, run.train("field", nets, loss, batches, self.training()), prefix="")
        # Backwards: the parameters, given values of the field with noise.
        scale = self._scale(field, nets["field"])
        posterior = nets["posterior"] if self.joint else self._parameter_net(family, scale)
        posterior.train().requires_grad_(True)
        seen = FamilyBatches(family, self.inverse_batch, *self.sensors, clustered=True)
        settings = self.training(steps=self.inverse_steps, batch_size=self.inverse_batch)
        inverse = PosteriorLoss(field, nets["field"], self.noise)
        finished(posterior, run.train("posterior", posterior, inverse, seen, settings), prefix="")
        return {"problem": family, "highest": highest, "field": nets["field"], "posterior": posterior,
                "columns": _columns(family)}  # fmt: skip

    def _parameter_net(self, family: PDEFamily, scale: float) -> ParameterNet:
        sizes = (len(family.box), len(family.unknown), len(family.known))
        seed = self._seed("parameter net")
        return ParameterNet(
            *sizes, scale=scale, width=self.width, encoder=dict(self.encoder or {}), seed=seed
        )

    def _seed(self, what: str) -> int:
        return int(torch.randint(2**31, (), generator=generator(self.seed, what)))

    @torch.no_grad()
    def _scale(self, field: FamilyField, net: nn.Module) -> float:
        """Root mean square of u over the family."""
        source = generator(self.seed, "scale of u")
        z, w = field.family.draw(_SCALE_CASES, source)
        points = field.family.points(_SCALE_CASES, source)
        mean, _ = field.moments(net, points.float(), z.float(), w.float())
        return max(float(mean.square().mean().sqrt()), 1e-12)

    # --- answers

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of coordinates, u and parameters, as the family gives them."""
        return tuple(self.state["columns"].get(name, ())) if self.is_fitted else ()

    def probe(self) -> Tensor | None:
        """The residual of the mean at a few points; None without the family's code."""
        if misses_code(self.state["problem"]):
            return None
        family, source = self.state["problem"], generator(0, "probe points")
        points, (z, w) = family.points(7, source), family.draw(7, source)
        return self._field().residual_of_mean(self.state["field"], points.float(), z.float(), w.float())

    def caveat(self, verb: str) -> str:
        """What the spread of u is not."""
        if verb != "predict":
            return ""
        return (
            "the standard deviation of u follows from the tolerance eps of the residual, not from errors of u"
        )

    def _field(self) -> FamilyField:
        return FamilyField(self.state["problem"], Orders(self.state["highest"]))

    @capability(reads={"x": X}, like="u", blocks=True)
    def predict(self, x: Tensor) -> Predictive:
        """The solution at points, for parameters.

        Args:
            x: Coordinates, unknown and known parameters, ``(N, d + Z + W)``; parameters within the family's ranges.

        Returns:
            Mean and standard deviation of u, ``(N, 1)``.
        """
        mean, std = self._field().moments(self.state["field"], *self._parts(x))
        return Predictive(
            loc=mean[None, :, None].double(), scale=std[None, :, None].double().clamp_min(1e-12)
        )

    @capability(reads={"points": POINTS}, like="u", blocks=True)
    def residual(self, points: Tensor) -> Tensor:
        """What is left of the equation by the mean of u, ``(N, 1)``.

        Args:
            points: As x of :meth:`predict`.
        """
        return self._field().residual_of_mean(self.state["field"], *self._parts(points))

    @capability(reads={"observed": OBSERVED, "case": CASE}, like="z")
    def infer(self, observed: Tensor, case: Tensor | None = None) -> Predictive:
        """The unknown parameters of fields that were measured at some points, anywhere in the box.

        Args:
            observed: Coordinates, the value measured there, and known parameters, ``(N, d + 1 + W)``; at least one row.
            case: Which rows are of one field, where there are several; known parameters are the same in all its rows.

        Returns:
            Mean and standard deviation of each parameter, ``(C, Z)``: one row per field, by first rows.

        Raises:
            InvalidInputError: If a point is outside of the box, or known parameters differ within a case.
        """
        family: PDEFamily = self.state["problem"]
        d = len(family.box)
        check_width("observed", observed, self.columns("observed"))
        check_ranges(observed[:, :d], family.box)
        check_ranges(observed[:, d + 1 :], family.known)
        codes = torch.zeros(len(observed), dtype=torch.long) if case is None else case
        rows = [observed[codes == code].float() for code in dict.fromkeys(codes.tolist())]
        warn_of_counts([len(part) for part in rows], self.sensors)
        found = [self._infer_one(part, d) for part in rows]
        mean, std, off = (torch.stack([one[i] for one in found]).double() for i in range(3))
        warn_of_misfit(off)
        return Predictive(loc=mean[None], scale=std[None])

    def _infer_one(self, rows: Tensor, d: int) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and std of the parameters of one field, in their own units, and how far its values are from fields."""
        field = self._field()
        family = field.family
        points, values, w = rows[:, :d], rows[:, d], rows[:1, d + 1 :]
        if not torch.allclose(rows[:, d + 1 :], w.expand(len(rows), -1), rtol=1e-5, atol=1e-8):
            rule = "known parameters must be the same in all rows of a field"
            raise invalid(rule, "several values", "Pass case=... to tell fields apart.")
        where = unit_points(points, family)
        unit = self.state["posterior"](where[None], values[None], field.unit_known(w))
        mean, std = unit[0][0], (unit[1].square() + unit[2].square().sum(-1)).sqrt()[0]
        low, high = (mean.new_tensor([side[i] for side in family.unknown.values()]) for i in (0, 1))
        mean, std = (low + high) / 2 + (high - low) / 2 * mean, (high - low) / 2 * std
        return mean, std, self._misfit(field, (points, values, w), mean, std)

    def _misfit(self, field: FamilyField, seen: tuple[Tensor, ...], mean: Tensor, std: Tensor) -> Tensor:
        """Distance of the values from fields of the posterior, in units of what noise and posterior allow."""
        points, values, w = seen
        source = generator(self.seed, "fields of the posterior")
        drawn = mean + std * torch.randn(_DRAWS, len(mean), generator=source, dtype=mean.dtype)
        low, high = (mean.new_tensor([side[i] for side in field.family.unknown.values()]) for i in (0, 1))
        drawn = torch.minimum(torch.maximum(drawn, low), high).repeat_interleave(len(points), 0)
        each = (points.repeat(_DRAWS, 1), drawn, w.expand(len(drawn), -1))
        fields = field.moments(self.state["field"], *each)[0].reshape(_DRAWS, -1)
        spread = fields.var(0) + self.noise**2
        return ((values - fields.mean(0)).square() / spread).mean().sqrt()

    def _parts(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points, unknown and known parameters of rows, checked."""
        family: PDEFamily = self.state["problem"]
        check_width("rows", rows, self.columns("x"))
        parts = torch.split(rows, [len(family.box), len(family.unknown), len(family.known)], 1)
        for part, ranges in zip(parts, (family.box, family.unknown, family.known), strict=True):
            check_ranges(part, ranges)
        points, z, w = (part.float() for part in parts)
        return points, z, w


def _columns(family: PDEFamily) -> dict[str, tuple[str, ...]]:
    """Names of the columns of what is asked and answered."""
    axes, unknown, known = tuple(family.box), tuple(family.unknown), tuple(family.known)
    rows = (*axes, *unknown, *known)
    observed = (*axes, family.component, *known)
    return {"x": rows, "points": rows, "observed": observed, "u": (family.component,), "z": unknown}
