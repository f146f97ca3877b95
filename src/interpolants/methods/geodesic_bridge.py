"""Bridges along geodesics, for tables whose columns are angles, places on a globe or rotations."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Interval
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import invalid, part
from interpolants.foundations.extras import require
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Check, Count, Remedy, Whole
from interpolants.foundations.types import take_rows
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.methods.bridge.held_out import Ends, set_aside
from interpolants.methods.parts.conditions import ConditionForm
from interpolants.methods.parts.learning import new_net
from interpolants.methods.parts.space_frame import SpaceFrame, choose_space
from interpolants.methods.parts.start_points import StartPoints
from interpolants.methods.parts.validation import followed
from interpolants.nets.build import library_net
from interpolants.objectives.times import StratifiedTimes
from interpolants.spaces.flow import flow
from interpolants.spaces.geodesic_path import GeodesicPath
from interpolants.spaces.product import Product
from interpolants.spaces.space import Space
from interpolants.training.pairs import finished

# Rows whose trajectories are in memory at a time.
_CHUNK = 4096
# Share of the distance to the cut locus beyond which a geodesic between a given pair is not unique.
_OPPOSITE = 1 - 1e-6


class GeodesicBridge(Trained):
    """Learn a bridge along geodesics, for columns that are angles, places on a globe, unit vectors or rotations.

    ::

        bridge = GeodesicBridge(space={"lat, lon": "sphere", "direction": "circle"}, seed=0).fit(storms)
        new = bridge.sample(1000)          # the same columns and units; no seam at 0 and 360 degrees, no pole
        lp = bridge.log_prob(storms)       # nats, one per row

    Columns that ``space`` does not name are real numbers, and are standardised. A network learns the velocity of
    ``x_t = exp_{x0}(t log_{x0}(x1))``; its ODE gives samples and log densities. There is no SDE: on a geodesic path the
    velocity does not determine the score, and a regressed score misses the edges of the conditional densities.

    Raises:
        InvalidInputError: If a name or a setting is unknown.

    Source: Chen & Lipman (2024), arXiv:2302.03660; rotations: Bose et al. (2024), arXiv:2310.02391.
    """

    noun: ClassVar[str] = "bridge"  # prose: keep  # a name of the framework

    path: Literal["one_sided_geodesic", "geodesic"] = "one_sided_geodesic"
    """``"one_sided_geodesic"``: from the uniform distribution on compact spaces and N(0, I) on the standardised real
    columns to ``x1``. ``"geodesic"``: from samples ``x0`` to samples ``x1``."""
    space: Annotated[Any, Check(choose_space)] = None
    """Spaces of the columns: a mapping of columns, joined by ", ", to a kind or a table with settings. ``"circle"``: an
    angle in degrees, or ``{"kind": "circle", "period": 24}``. ``"sphere"``: latitude and longitude in degrees, or
    ``{"kind": "sphere", "unit": "radians"}``; three columns or more: a unit vector. ``"rotations"``: four columns, a
    unit quaternion. Columns of arrays are named by number, ``{"0, 1": "sphere"}``. A kind by itself is for the whole
    table; ``"circle"`` makes a torus."""
    coupling: Literal["independent", "paired", "minibatch_ot"] = "independent"
    """Pairs of x0 and x1 in training. ``"minibatch_ot"``: the smallest sum of squared geodesic distances in each
    batch, so that samples need fewer steps. ``"paired"``: row i with row i, on the path ``"geodesic"``."""
    net: Annotated[Any, Check(library_net)] = "auto"
    """``"auto"`` (an MLP), a name, or a table with settings. Its input are embedding coordinates: cosine and sine of an
    angle, unit vectors, two columns of a rotation matrix."""

    held_out: Annotated[
        Literal["auto"] | Annotated[float, Interval(ge=0, le=0.5)], Remedy("0.1 is usual.")
    ] = "auto"
    """Fraction of the rows that training does not see; 0 for none. The weights with the smallest loss on these rows are
    kept. ``"auto"``: as for ``Bridge``, a tenth, and none of fewer than 40 rows. ``fit(held=...)`` passes others."""

    def check_settings(self) -> None:
        """Check that the coupling goes with the path."""
        if self.coupling == "paired" and self.path == "one_sided_geodesic":
            rule = "a paired coupling needs samples of both ends"
            raise invalid(rule, "path='one_sided_geodesic'", "Pass path='geodesic'.")

    def roles(self) -> tuple[Role, ...]:
        """Samples of both ends, and conditions of the rows of x1."""
        axis = "x1" if self.coupling == "paired" else "x0"
        x0 = Role(name="x0", axis=axis, like="x1", exact=True, about="samples at t = 0")
        x1 = Role(name="x1", axis="x1", exact=True, about="samples at t = 1")
        cond = Role(
            name="cond", kind="condition", axis="x1", optional=True, about="condition of each row of x1"
        )
        return (x1, cond) if self.path == "one_sided_geodesic" else (x0, x1, cond)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Regression of the velocity on the rates of geodesics."""
        names, rows = self.columns("x1"), _rows(data)
        training, held_out = rows, _rows(run.held) if run.held else None
        if held_out is None:
            paired = self.coupling == "paired"
            training, held_out = set_aside(rows, self.held_out, self.seed, paired=paired)
        x1, x0 = training.x1, training.x0
        frame = SpaceFrame.of(self.space, x1 if x0 is None else torch.cat([x0, x1]), names)
        space = frame.space
        _check(frame, rows, names)
        if run.held:
            _check(frame, _rows(run.held), names)
        if self.coupling == "paired":
            _check_unique(frame, _encoded(frame, rows), names)
        endpoints = _encoded(frame, training)
        validation = None if held_out is None else _encoded(frame, held_out)
        form = ConditionForm.of(endpoints.cond, units=True)
        features = torch.zeros(1, space.features_size)
        net = new_net("GeodesicBridge", self.net, features, form=form, seed=self.seed)
        loss = _GeodesicLoss(space, form)

        def unseen(size: int) -> _GeodesicBatches:
            assert validation is not None
            return _GeodesicBatches(space, validation, size, self.coupling)

        coupled = self.coupling == "minibatch_ot"
        settings, options = followed(
            run, self.training(), loss, None if validation is None else unseen, as_trained=coupled
        )
        batches = _GeodesicBatches(space, endpoints, self.batch_size, self.coupling)
        result = run.train("match", net, loss, batches, settings, **options)
        starts = StartPoints.of(Gaussian(), endpoints.x0, seed=self.seed, shape=(space.size,))
        return {"net": finished(net, result, prefix=""), "frame": frame, "form": form, "starts": starts}

    def cannot(self, verb: str) -> str:  # prose: keep  # a name of the framework
        """Log densities need that of the base."""
        if verb == "log_prob" and self.path == "geodesic":
            return (
                "x0 was given by samples and has no density; fit GeodesicBridge(path='one_sided_geodesic')."
            )
        return ""

    # --- capabilities

    @capability(like="x1")
    def sample(
        self,
        n: Count,
        *,
        eps: float = 0.0,
        reverse: bool = False,
        n_steps: Count = 20,
        seed: Whole | None = None,
        cond: Tensor | None = None,
        first_index: int = 0,
    ) -> Any:
        """Draw ``n`` samples of rho1.

        Args:
            n: Number of samples.
            eps: Noise level, 0: a geodesic path has no SDE.
            reverse: Draw samples of rho0 from stored rows of x1 instead; on the path ``"geodesic"``.
            n_steps: Number of steps of Heun's method, two evaluations of the network each.
            seed: Seed of the starts; drawn afresh when None.
            cond: One condition for all samples, or one row per sample.
            first_index: Index of the first sample in a larger job, so that parts agree with the whole.

        Returns:
            ``(n, D)`` in the columns, units and container of ``x1``; angles and longitudes in the interval of the fit.
        """
        _check_level(eps)
        seed = secrets.randbits(31) if seed is None else seed
        if reverse:
            remedy = "Call transport(x, reverse=True) with your rows."
            raise invalid("samples are drawn of rho1", "reverse=True", remedy)
        start = self.state["starts"].draw(n, seed, first_index).double()
        frame: SpaceFrame = self.state["frame"]
        start = frame.space.base(start) if self.path == "one_sided_geodesic" else start
        return frame.decode(self._carried(start, cond, n_steps, reverse=False)[0])

    @capability(reads={"x": "x1"}, like="x")
    def transport(
        self,
        x: Tensor,
        *,
        eps: float = 0.0,
        reverse: bool = False,
        n_steps: Count = 20,
        cond: Tensor | None = None,
    ) -> Tensor:
        """Move given rows from rho0 to rho1 (from rho1 to rho0 when ``reverse``) along the ODE.

        Args:
            x: Rows ``(n, D)``.
            eps: As in :meth:`sample`.
            reverse: Direction.
            n_steps: Number of steps of Heun's method.
            cond: One condition for all rows, or one per row.

        Returns:
            ``(n, D)`` in the kind of ``x``.
        """
        _check_level(eps)
        frame: SpaceFrame = self.state["frame"]
        frame.check(x, self.columns("x1"))
        return frame.decode(self._carried(frame.encode(x), cond, n_steps, reverse=reverse)[0])

    @capability(reads={"x": "x1"})
    def log_prob(
        self,
        x: Tensor,
        *,
        per: Literal["columns", "space"] = "columns",
        n_steps: Count = 50,
        cond: Tensor | None = None,
    ) -> Tensor:
        """Log density of rho1 in nats, by the change of density along the ODE.

        Args:
            x: Rows ``(n, D)``.
            per: Unit of volume. ``"columns"``: per unit of each column, such as degree of latitude times degree of
                longitude, as densities of other methods of the same table are; minus infinity at a pole.
                ``"space"``: per unit of the space, i.e. radian of an angle and steradian of the globe. Unit vectors
                count by the area of their sphere and rotations by the angle's volume, of ``8 pi^2``, in both.
            n_steps: Number of steps of Heun's method.
            cond: One condition for all rows, or one per row.

        Returns:
            ``(n,)`` float64.
        """
        frame: SpaceFrame = self.state["frame"]
        rows = x.double()
        frame.check(rows, self.columns("x1"))
        start, change = self._carried(frame.encode(rows), cond, n_steps, reverse=True, density=True)
        return frame.space.base_log_prob(start) - change + frame.log_volume(rows, columns=per == "columns")

    def _carried(
        self, start: Tensor, cond: Tensor | None, n_steps: int, *, reverse: bool, density: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Points at the other end of the flow and the change of their log density, in chunks of rows."""
        space, times = self.state["frame"].space, torch.linspace(0, 1, n_steps + 1, dtype=torch.float64)
        times = times.flip(0) if reverse else times
        conditions = _per_row(cond, len(start))
        points, changes = [], []
        for rows in torch.split(torch.arange(len(start)), _CHUNK):
            field = partial(
                _velocity, space, self.state["net"], self.state["form"], take_rows(conditions, rows)
            )
            result = flow(space, field, start[rows], times, density=density)
            points.append(result.x)
            changes.append(start.new_zeros(len(rows)) if result.log_change is None else result.log_change)
        return torch.cat(points), torch.cat(changes)


def _velocity(
    space: Product, net: nn.Module, form: ConditionForm, cond: Tensor | None, x: Tensor, t: Tensor
) -> Tensor:
    """Tangent vectors at points, in the precision of the points; the network computes in its own."""
    dtype = next(net.parameters()).dtype
    output = net(space.features(x).to(dtype), t.to(dtype), form.join(cond) or None)
    return space.velocity(x, output.to(x))


def _per_row(cond: Tensor | None, n: int) -> Tensor | None:
    """One condition for each of ``n`` rows."""
    if cond is None or len(cond) == n:
        return cond
    if len(cond) != 1:
        raise invalid("cond must have one row for all samples, or one per sample", len(cond))
    return cond.expand(n, *cond.shape[1:])


def _check_level(eps: Any) -> None:
    if eps != 0:
        rule = "eps must be 0 on a geodesic path, whose velocity does not determine the score"
        raise invalid(rule, eps, "Use the ODE: its samples have the distribution of the data too.")


def _rows(data: Mapping[str, Any]) -> Ends:
    """Rows of both ends in the units of the columns."""
    return Ends(data.get("x0"), data["x1"], data.get("cond"))


def _check(frame: SpaceFrame, rows: Ends, names: Sequence[str]) -> None:
    """Check that the rows of both ends are points of the space."""
    for name, x in (("x0", rows.x0), ("x1", rows.x1)):
        if x is not None:
            with part(name):
                frame.check(x, names)


def _encoded(frame: SpaceFrame, rows: Ends) -> Ends:
    """Points of the rows."""
    return Ends(None if rows.x0 is None else frame.encode(rows.x0), frame.encode(rows.x1), rows.cond)


def _check_unique(frame: SpaceFrame, endpoints: Ends, names: Sequence[str]) -> None:
    """Check that a single shortest geodesic joins each pair."""
    assert endpoints.x0 is not None
    factors: list[Space] = list(frame.space.factors)
    pairs = zip(factors, frame.space.parts(endpoints.x0), frame.space.parts(endpoints.x1), strict=True)
    for number, (factor, x0, x1) in enumerate(pairs):
        opposite = factor.distance(x0, x1) > _OPPOSITE * factor.injectivity_radius
        if bool(opposite.any()):
            row, columns = int(opposite.nonzero()[0, 0]), frame.columns[number]
            label = ", ".join(repr(names[k] if names else str(k)) for k in columns)
            rule = f"paired rows must have a single shortest geodesic in {label}"
            raise invalid(rule, f"opposite points in row {row}", "Drop the row, or use a different coupling.")


@dataclass(frozen=True)
class _GeodesicBatches:
    """The batch of a step, a function of the step's generator alone."""

    space: Product
    endpoints: Ends
    size: int
    coupling: str

    def __call__(self, step: int, generator: Generator, rank: int, world_size: int) -> dict[str, Any]:
        """The share of this process in the batch of ``step``."""
        n, endpoints = max(1, self.size // world_size), self.endpoints
        pick = torch.randint(len(endpoints.x1), (n,), generator=generator)
        x1, x0 = endpoints.x1[pick], self._starts(pick, generator)
        if self.coupling == "minibatch_ot":
            x0 = x0[_assignment(self.space, x0, x1)]
        t, weight = StratifiedTimes().sample(n, generator=generator)
        return {"x0": x0, "x1": x1, "cond": take_rows(endpoints.cond, pick), "t": t, "weight": weight}

    def _starts(self, pick: Tensor, generator: Generator) -> Tensor:
        """Points at t = 0: draws of the base, or stored rows."""
        endpoints = self.endpoints
        if endpoints.x0 is None:
            shape = (len(pick), self.space.size)
            return self.space.base(torch.randn(shape, generator=generator, dtype=endpoints.x1.dtype))
        if self.coupling != "paired":
            pick = torch.randint(len(endpoints.x0), (len(pick),), generator=generator)
        starts: Tensor = endpoints.x0[pick]
        return starts


def _assignment(space: Product, x0: Tensor, x1: Tensor) -> Tensor:
    """Row of ``x0`` for each row of ``x1``, with the smallest total squared distance."""
    optimize = require("scipy.optimize", by="GeodesicBridge(coupling='minibatch_ot')")
    cost = space.distance(x1[:, None], x0[None]).square()
    return torch.as_tensor(optimize.linear_sum_assignment(cost.numpy())[1])


@dataclass(frozen=True)
class _GeodesicLoss:
    """Squared Riemannian distance of the velocity from the rate of the geodesic."""

    space: Product
    form: ConditionForm

    def __call__(self, net: Any, batch: Mapping[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Per-sample losses ``(B,)``."""
        x, rate = GeodesicPath(self.space).sample(batch["x0"], batch["x1"], batch["t"])
        x, rate = x.float(), rate.float()
        velocity = _velocity(self.space, net, self.form, batch["cond"], x, batch["t"])
        return {"velocity": self.space.norm(velocity - rate).square() * batch["weight"]}
