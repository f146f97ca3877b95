"""Bridges along geodesics, for tables whose columns are angles, places on a globe or rotations."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Interval
from torch import Generator, Tensor, nn

from interpolants.foundations.asked import invalid, part
from interpolants.foundations.extras import require
from interpolants.foundations.gaussian import Gaussian
from interpolants.foundations.kinds import Check, Count, NonNegative, Remedy, Whole
from interpolants.foundations.randomness import BlockNoise
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
from interpolants.spaces.flow import FlowResult, SpaceField, flow
from interpolants.spaces.geodesic_path import GeodesicPath
from interpolants.spaces.heat_path import HeatPath, heat_flow
from interpolants.spaces.product import Product
from interpolants.spaces.space import Space
from interpolants.training.pairs import finished

# Rows whose trajectories are in memory at a time.
_CHUNK = 4096
# Dimensions of spheres whose heat kernel is accurate to .2 %.
_MOST_DIMENSIONS = 10
# Share of the distance to the cut locus beyond which a geodesic between a given pair is not unique.
_OPPOSITE = 1 - 1e-6


class GeodesicBridge(Trained):
    """Learn a bridge along geodesics, for columns that are angles, places on a globe, unit vectors or rotations.

    ::

        bridge = GeodesicBridge(space={"lat, lon": "sphere", "direction": "circle"}, seed=0).fit(storms)
        new = bridge.sample(1000)          # the same columns and units; no seam at 0 and 360 degrees, no pole
        lp = bridge.log_prob(storms)       # nats, one per row

    Columns that ``space`` does not name are real numbers, and are standardised. A network learns the velocity of
    ``x_t = exp_{x0}(t log_{x0}(x1))``; its ODE gives samples and log densities. On a geodesic path the velocity does
    not determine the score, and a regressed score misses the edges of the conditional densities. ``path="heat"`` has an
    SDE, ``sample(1000, eps=1)``: the data diffuse to the base by Brownian motion, and a network learns the noise.

    Raises:
        InvalidInputError: If a name or a setting is unknown.

    Source: Chen & Lipman (2024), arXiv:2302.03660; rotations: Bose et al. (2024), arXiv:2310.02391;
    heat path: De Bortoli et al. (2022), arXiv:2202.02763.
    """

    noun: ClassVar[str] = "bridge"  # prose: keep  # a name of the framework

    path: Literal["one_sided_geodesic", "geodesic", "heat"] = "one_sided_geodesic"
    """``"one_sided_geodesic"``: from the uniform distribution on compact spaces and N(0, I) on the standardised real
    columns to ``x1``. ``"geodesic"``: from samples ``x0`` to samples ``x1``. ``"heat"``: the reverse of Brownian motion
    from ``x1``, of the Ornstein-Uhlenbeck process on real columns; the base is that of ``"one_sided_geodesic"``."""
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
        if self.coupling != "independent" and self.path == "heat":
            rule = "coupling must be 'independent' on a heat path, whose ends are joined by Brownian motion"
            raise invalid(rule, repr(self.coupling), "Pass path='one_sided_geodesic' or 'geodesic'.")

    def roles(self) -> tuple[Role, ...]:
        """Samples of both ends, and conditions of the rows of x1."""
        axis = "x1" if self.coupling == "paired" else "x0"
        x0 = Role(name="x0", axis=axis, like="x1", exact=True, about="samples at t = 0")
        x1 = Role(name="x1", axis="x1", exact=True, about="samples at t = 1")
        cond = Role(
            name="cond", kind="condition", axis="x1", optional=True, about="condition of each row of x1"
        )
        return (x0, x1, cond) if self.path == "geodesic" else (x1, cond)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Regression of the velocity on the rates of geodesics, or of the noise of the heat path."""
        names, rows = self.columns("x1"), _rows(data)
        training, held_out = rows, _rows(run.held) if run.held else None
        if held_out is None:
            paired = self.coupling == "paired"
            training, held_out = set_aside(rows, self.held_out, self.seed, paired=paired)
        x1, x0 = training.x1, training.x0
        frame = SpaceFrame.of(self.space, x1 if x0 is None else torch.cat([x0, x1]), names)
        space = frame.space
        if self.path == "heat":
            _check_dimensions(frame, names)
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
        loss = (_HeatLoss if self.path == "heat" else _GeodesicLoss)(space, form)

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
        eps: NonNegative = 0.0,
        reverse: bool = False,
        n_steps: Count = 20,
        seed: Whole | None = None,
        cond: Tensor | None = None,
        first_index: int = 0,
    ) -> Any:
        """Draw ``n`` samples of rho1.

        Args:
            n: Number of samples.
            eps: Noise level: 0 for the ODE. On a heat path 1 is the time reversal of Brownian motion, and other levels
                have the same distribution; a geodesic path has no SDE.
            reverse: Draw samples of rho0 from stored rows of x1 instead; on the path ``"geodesic"``.
            n_steps: Number of steps of Heun's method, two evaluations of the network each.
            seed: Seed of the starts and of the noise; drawn afresh when None.
            cond: One condition for all samples, or one row per sample.
            first_index: Index of the first sample in a larger job, so that parts agree with the whole.

        Returns:
            ``(n, D)`` in the columns, units and container of ``x1``; angles and longitudes in the interval of the fit.
        """
        self._check_level(eps)
        seed = secrets.randbits(31) if seed is None else seed
        if reverse:
            remedy = "Call transport(x, reverse=True) with your rows."
            raise invalid("samples are drawn of rho1", "reverse=True", remedy)
        start = self.state["starts"].draw(n, seed, first_index).double()
        frame: SpaceFrame = self.state["frame"]
        start = start if self.path == "geodesic" else frame.space.base(start)
        noise = _Noise(eps, seed, first_index)
        return frame.decode(self._carried(start, cond, n_steps, reverse=False, noise=noise)[0])

    @capability(reads={"x": "x1"}, like="x")
    def transport(
        self,
        x: Tensor,
        *,
        eps: NonNegative = 0.0,
        reverse: bool = False,
        n_steps: Count = 20,
        seed: Whole | None = None,
        cond: Tensor | None = None,
    ) -> Tensor:
        """Move given rows from rho0 to rho1 (from rho1 to rho0 when ``reverse``) along the ODE.

        Args:
            x: Rows ``(n, D)``.
            eps: Noise level, as in :meth:`sample`; 0 for ``reverse``.
            reverse: Direction.
            n_steps: Number of steps of Heun's method.
            seed: Seed of the noise; drawn afresh when None.
            cond: One condition for all rows, or one per row.

        Returns:
            ``(n, D)`` in the kind of ``x``.
        """
        self._check_level(eps)
        if reverse and eps != 0:
            rule = "eps must be 0 for reverse=True: the SDE leads from the base to the data"
            raise invalid(rule, eps, "Use the ODE, eps=0.")
        frame: SpaceFrame = self.state["frame"]
        frame.check(x, self.columns("x1"))
        noise = _Noise(eps, secrets.randbits(31) if seed is None else seed)
        return frame.decode(self._carried(frame.encode(x), cond, n_steps, reverse=reverse, noise=noise)[0])

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

    def _check_level(self, eps: float) -> None:
        if self.path != "heat" and eps != 0:
            rule = "eps must be 0 on a geodesic path, whose velocity does not determine the score"
            remedy = (
                "Use the ODE: its samples have the distribution of the data too. Or fit with path='heat'."
            )
            raise invalid(rule, eps, remedy)

    def _carried(
        self,
        start: Tensor,
        cond: Tensor | None,
        n_steps: int,
        *,
        reverse: bool,
        noise: "_Noise | None" = None,
        density: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Points at the other end of the flow and the change of their log density, in chunks of rows."""
        times = torch.linspace(0, 1, n_steps + 1, dtype=torch.float64)
        times = times.flip(0) if reverse else times
        conditions = _per_row(cond, len(start))
        points, changes = [], []
        for rows in torch.split(torch.arange(len(start)), _CHUNK):
            field = self._field(take_rows(conditions, rows))
            result = self._flow(field, start[rows], times, noise, int(rows[0]), density=density)
            points.append(result.x)
            changes.append(start.new_zeros(len(rows)) if result.log_change is None else result.log_change)
        return torch.cat(points), torch.cat(changes)

    def _field(self, cond: Tensor | None) -> SpaceField:
        """Output of the network at points and times t."""
        return partial(_velocity, self.state["frame"].space, self.state["net"], self.state["form"], cond)

    def _flow(
        self,
        field: SpaceField,
        start: Tensor,
        times: Tensor,
        noise: "_Noise | None",
        first: int,
        *,
        density: bool,
    ) -> FlowResult:
        """Flow of one chunk of rows, the first of which has the number ``first`` in this call."""
        space = self.state["frame"].space
        if self.path != "heat":
            return flow(space, field, start, times, density=density)
        path = HeatPath(space)

        def expected_noise(x: Tensor, sigma: Tensor) -> Tensor:
            return field(x, path.time(sigma))

        if noise is None or noise.eps == 0:
            return heat_flow(path, expected_noise, start, times, density=density)
        normal = noise.source(start, first)
        return heat_flow(path, expected_noise, start, times, eps=noise.eps, normal=normal)


@dataclass(frozen=True)
class _Noise:
    """Noise of the SDE: its level, its seed and the number of the first sample."""

    eps: float
    seed: int
    first: int = 0

    def source(self, x: Tensor, skip: int) -> Callable[[], Tensor]:
        """Source of standard normal rows of the shape of ``x``, for the samples after the first ``skip``."""
        return BlockNoise.like(x, self.seed, "heat", first=self.first + skip).normal


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


def _rows(data: Mapping[str, Any]) -> Ends:
    """Rows of both ends in the units of the columns."""
    return Ends(data.get("x0"), data["x1"], data.get("cond"))


def _check(frame: SpaceFrame, rows: Ends, names: Sequence[str]) -> None:
    """Check that the rows of both ends are points of the space."""
    for name, x in (("x0", rows.x0), ("x1", rows.x1)):
        if x is not None:
            with part(name):
                frame.check(x, names)


def _check_dimensions(frame: SpaceFrame, names: Sequence[str]) -> None:
    """Check that the heat kernel of each sphere is accurate."""
    for code, columns in zip(frame.codes, frame.columns, strict=True):
        if code.space.dim > _MOST_DIMENSIONS:
            label = ", ".join(repr(names[k] if names else str(k)) for k in columns)
            rule = f"a heat path takes spheres of at most {_MOST_DIMENSIONS} dimensions, where its kernel is accurate"
            raise invalid(rule, f"{code.space.dim} in {label}", "Pass path='one_sided_geodesic'.")


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


@dataclass(frozen=True)
class _HeatLoss:
    """Squared Riemannian distance of the predicted noise from that of the heat path."""

    space: Product
    form: ConditionForm

    def __call__(self, net: Any, batch: Mapping[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Per-sample losses ``(B,)``."""
        x1 = batch["x1"]
        z = torch.randn(x1.shape, generator=generator, dtype=x1.dtype)
        x, target = HeatPath(self.space).sample(x1, z, batch["t"])
        x, target = x.float(), target.float()
        noise = _velocity(self.space, net, self.form, batch["cond"], x, batch["t"])
        return {"noise": self.space.norm(noise - target).square() * batch["weight"]}
