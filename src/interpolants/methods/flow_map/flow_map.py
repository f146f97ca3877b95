"""Flow maps: jumps between any two times of a flow, for sampling in one to four steps.

Letters: ``X_{s,t}(x)`` the state at time t of the flow that is at x at time s; ``v`` its average velocity.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor, nn

from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.fields.protocol import Fields, as_time
from interpolants.foundations.checks import whole
from interpolants.foundations.clock import known_number, number_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count, OneOf, Share
from interpolants.foundations.row_access import Rows, each, joined
from interpolants.foundations.tell import AssumptionWarning, FitWarning, tell
from interpolants.foundations.types import Condition
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.frames import Frame, Standard, widened
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.flow_map.densities import log_density
from interpolants.methods.flow_map.rules import RULES, Rule, diagonal
from interpolants.methods.flow_map.trajectories import (
    Trajectories,
    TrajectoryBatches,
    conditions_of,
    one_step_gap,
    pair_of_times,
    rms,
    start_states,
    teacher_fields,
    told_by,
    trajectory_loss,
)
from interpolants.methods.flow_map.two_time_net import OURS, Diagonal, TwoTimeNet
from interpolants.methods.parts.choices import choose_coupling
from interpolants.methods.parts.column_maps import bent_columns, choose_transform
from interpolants.methods.parts.columns import warn_about_columns
from interpolants.methods.parts.conditions import ConditionForm
from interpolants.methods.parts.learning import in_one_precision, parted_draws
from interpolants.methods.parts.start_points import StartPoints
from interpolants.methods.parts.two_ends import TwoEnds
from interpolants.objectives.times import StratifiedTimes
from interpolants.paths.path import Path
from interpolants.training.pairs import PairBatches, finished

TRAJECTORIES = "trajectories"
# Starts whose trajectories are stored, by default: more where the states have many entries.
_STARTS, _MANY_STARTS, _MANY_ENTRIES = 10_000, 20_000, 30
# Gap on held-out starts over that on stored ones, from which more trajectories are advised.
_OVERFIT = 1.2
# Entries of a state up to which Jacobians are formed; steps of the ODE that guesses the start of a jump.
_MOST_DERIVATIVES, _GUESS_STEPS = 50, 16
_SAME_TIME = 1e-6  # grids are float64, times of a solver may be float32
verb("jump", "x", "s", "t")


class FlowMap(TwoEnds):
    """Learn the jumps ``X_{s,t}`` of a flow: that of a fitted model, or of two sample sets.

    ::

        bridge = Bridge(path="one_sided_linear").fit(x1=x)
        flow = FlowMap().fit(model=bridge)               # from the trajectories of the model
        y = flow.sample(1000, n_steps=1)                 # one evaluation of the network
        y = flow.teacher.sample(1000)                    # the model itself, which is no worse

        flow = FlowMap(path="linear").fit(x0, x1)        # without a teacher
        y = flow.transport(x0_new, n_steps=1)

    ``X_{s,t}(x) = x + (t - s) v_{s,t}(x)``. With a model, v is regressed on stored trajectories of its ODE, see
    ``methods.flow_map.trajectories``. Without one, a share of every batch learns the diagonal ``v_{t,t} = b`` by the
    interpolant's velocity loss, and the rest learns ``s != t`` by a rule, see ``methods.flow_map.rules``.

    A map has the errors of its teacher and its own: it is faster than the teacher, never better.

    Raises:
        InvalidInputError: If a name or a setting is unknown or out of range.

    Source: Boffi, Albergo & Vanden-Eijnden (2024), arXiv:2406.07507, and (2025), arXiv:2505.18825; mean velocity:
    Geng et al. (2025), arXiv:2505.13447; trajectories: Hu et al. (2025), arXiv:2509.24526.
    """

    streams: ClassVar[bool] = True
    noun: ClassVar[str] = "flow map"
    former: ClassVar[Mapping[str, str]] = {
        "summary": "Use agreement(x).",
    }

    rule: Annotated[str, OneOf(lambda: ("auto", TRAJECTORIES, *RULES))] = "auto"
    """How the jumps are learnt: ``"trajectories"`` by regression on those of a model, which is trained first, with half
    of the steps, if none is passed to ``fit``; the others without a teacher, see ``methods.flow_map.rules``. ``"auto"``
    is ``"trajectories"`` with a model, and ``"semigroup"`` without one."""
    net: Any = "auto"
    """``"auto"``, a card's id, a table, or an ``nn.Module`` called as ``net(x, s, t)``. With a model, ``"auto"`` is the
    network of the model with a second time, if it has one by name."""
    trajectories: Annotated[int, Ge(128)] | Literal["auto"] = "auto"
    """Trajectories of the model to store; ``"auto"`` is 10,000, and 20,000 from 30 entries per state. At least 64 of
    them, or 2 %, are held out."""
    trajectory_steps: Annotated[int, Ge(2)] = 16
    """Steps of Heun's scheme along each trajectory, two evaluations of the model each."""
    coupling: Annotated[Any, Check(choose_coupling)] = "independent"
    """How x0 and x1 are paired while training."""
    directions: Literal["both", "forward"] = "both"
    """``"both"``, or ``"forward"`` to spend all capacity on ``s < t``; the ODE still runs both ways."""
    diagonal: Annotated[float, Interval(gt=0, lt=1)] = 0.75
    """Share of each batch for the diagonal."""
    robust: Literal["auto"] | Share = "auto"
    """Power p in [0, 1] of the weight ``1 / (1 + r)^p`` on each row of the rule, r its squared residual per entry of
    the state, in the network's units squared; 0 is the plain loss. While training, one row far off would otherwise
    outweigh the diagonal it is to learn from, and may blow up. ``"auto"`` is 1/2, and 0 for ``"mean_velocity"``, whose
    residual is noise at the solution, where a weight would bias it."""
    standardize: bool = True
    """Learn in units where the pooled data have mean 0 and standard deviation 1 (per column for tables, overall for
    images)."""
    transform: Annotated[Any, Check(choose_transform)] = None
    """A map of single columns of a table before that, such as ``"log"`` or ``{"price": "quantile"}``, as ``Bridge``
    takes it."""

    def roles(self) -> tuple[Role, ...]:
        """Samples of both ends with the condition of x1, or a fitted model instead."""
        samples = super().roles()
        if self.rule not in ("auto", TRAJECTORIES):
            return samples
        about = "fitted model that gives the trajectories, instead of samples"
        model = Role(name="model", kind="model", axis="", needs="fields", optional=True, about=about)
        return (*(replace(role, optional=True) for role in samples), model)

    def fit(
        self, x0: Any = None, x1: Any = None, *, model: Any = None, cond: Any = None, **options: Any
    ) -> Self:
        """Learn from a fitted model, or from samples of both ends.

        Args:
            x0: Samples of rho0, ``(N0, *D)``; omitted if the path starts from a Gaussian base.
            x1: Samples of rho1, ``(N1, *D)``.
            model: A fitted method with fields, instead of samples, e.g. ``Bridge`` or ``Imported``. The map is in its
                units, answers in its container, and takes its conditions.
            cond: Condition of each row of ``x1``: labels ``(N1,)``, vectors ``(N1, C)`` or fields ``(N1, C, *D)``.
                For a model without rows of its training, such as ``Imported``, conditions to draw from.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        if model is not None:
            options["model"] = model
        return super().fit(x0, x1, cond=cond, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Distil the model, or learn the flow and its jumps at once."""
        self._check_roles(data)
        if "model" in data:
            return self._distilled(data["model"], data.get("cond"), run, self.steps)
        if self.rule == TRAJECTORIES:
            steps = self.steps - self.steps // 2
            return self._distilled(self._new_teacher(data, run), None, run, steps)
        return self._learnt_alone(data, run)

    def _check_roles(self, data: Mapping[str, Any]) -> None:
        needed = {role.name for role in TwoEnds.roles(self) if not role.optional}
        if "model" not in data and (missing := sorted(needed - data.keys())):
            remedy = "Pass samples of both ends, or a fitted model=."
            raise invalid("FlowMap.fit", f"{missing[0]} is needed without a model", "none", remedy)
        if "model" in data and (extra := sorted({"x0", "x1"} & data.keys())):
            remedy = "Omit it: the model draws the starts of its trajectories."
            raise invalid("FlowMap.fit", f"{extra[0]} must not be passed with a model", "samples", remedy)

    def _new_teacher(self, data: dict[str, Any], run: Run) -> Bridge:
        """A bridge of the same settings, with half of the steps."""
        if isinstance(self.net, nn.Module):
            remedy = "Pass a name or a table, or fit a Bridge of your network and pass it as model=."
            rule = "net must be a name or a table: the teacher has a network of one time"
            raise invalid("FlowMap.fit", rule, type(self.net).__name__, remedy)
        # Without what may differ when a fit is continued, such as the cadence of checkpoints.
        changeable = (*self.free, "steps")
        settings = {name: value for name, value in self.training_params().items() if name not in changeable}
        template = Bridge(
            path=self.path,
            net=self.net,
            coupling=self.coupling,
            standardize=self.standardize,
            transform=self.transform,
            heads="velocity",
            steps=max(1, self.steps // 2),
            **settings,
        )
        teacher: Bridge = run.fit("teacher", template, **data)
        return teacher

    def _distilled(self, model: Any, cond: Tensor | None, run: Run, steps: int) -> dict[str, Any]:
        """The map of a model's flow, from its trajectories."""
        fields, shape = teacher_fields(model, self.path), tuple(model.shapes["x1"])
        n = self.trajectories
        if n == "auto":
            n = _MANY_STARTS if math.prod(shape) >= _MANY_ENTRIES else _STARTS
        cond = conditions_of(model, cond, n, self.seed)
        start = start_states(model, fields, n, self.seed, cond)

        def solved(source: Generator) -> dict[str, Tensor]:
            flow = Trajectories.of(fields, start, cond, self.trajectory_steps)
            return {"times": flow.times, "states": flow.states}

        train, held_out = Trajectories(**run.once("trajectories", solved), cond=cond).split()
        net = self._student(model, start, cond)
        settings = self.training(steps=steps, validate_every=max(1, steps // 10), keep_best="held_out_gap")
        batches = TrajectoryBatches(train, self.batch_size, self.directions == "both")
        validation: dict[str, Any] = {
            "validate": lambda net, step: {"held_out_gap": one_step_gap(net, held_out)}
        }
        net = finished(
            net, run.train("match", net, trajectory_loss, batches, settings, **validation), prefix=""
        )
        errors = {"held_out_gap": one_step_gap(net, held_out), "stored_gap": one_step_gap(net, train)}
        if errors["held_out_gap"] > _OVERFIT * errors["stored_gap"]:
            numbers = (
                f"{errors['held_out_gap']:.3f} on held-out starts, {errors['stored_gap']:.3f} on stored ones"
            )
            remedy = f"Use more trajectories, e.g. trajectories={2 * n}."
            tell(FitWarning, f"FlowMap.fit: relative error of one jump: {numbers}. {remedy}")
        self.given = {**told_by(model), **self.given}
        self.shapes = {**self.shapes, "x1": shape}
        base = None if fields.path is None else fields.path.base
        starts = StartPoints.of(base, None if base else start, seed=self.seed, shape=tuple(start.shape[1:]))
        return {
            "net": net,
            "frame": model.frame,
            "starts": starts,
            "teacher": copy.deepcopy(model),
            "gaps": errors,
        }

    def _student(self, model: Any, start: Tensor, cond: Tensor | None) -> TwoTimeNet:
        """A network of two times, like that of the model by default."""
        table = getattr(model, "net", None)
        if self.net == "auto" and isinstance(table, str | Mapping):
            named = {"kind": table} if isinstance(table, str) else dict(table)
            table = {name: value for name, value in named.items() if name not in OURS}
        else:
            table = self.net
        form = ConditionForm.of(cond, units=True)
        form = replace(form, labels=max(form.labels, getattr(model, "classes", 0))) if form.labels else form
        net = TwoTimeNet(table, tuple(start.shape[1:]), form, seed=self.seed)
        return net if isinstance(self.net, nn.Module) else net.to(start.dtype)

    def _learnt_alone(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Both losses at once, without a teacher."""
        data, endless = parted_draws(data)
        data = in_one_precision("FlowMap.fit", data)
        rows = joined(data["x0"], data["x1"]) if "x0" in data else data["x1"]
        frame = self._units(rows, data["x1"])
        x0, x1 = (each(data[name], frame.encode) if name in data else None for name in ("x0", "x1"))
        dtype, shape = data["x1"].dtype, tuple(data["x1"].shape[1:])
        fresh = {name: rows.in_units(lambda x: frame.encode(x.to(dtype))) for name, rows in endless.items()}
        ends, cond = (fresh.get("x0", x0), fresh.get("x1", x1)), data.get("cond")
        own = isinstance(self.net, nn.Module)
        form = ConditionForm.of(cond, units=self.standardize and not own)
        net = TwoTimeNet(self.net, shape, form, seed=self.seed)
        net = net if own else net.to(dtype)
        times = StratifiedTimes()
        batches = PairBatches(*ends, self.batch_size, self.coupling, times, cond=cond, who="FlowMap.fit")
        rule = "semigroup" if self.rule == "auto" else self.rule
        power = (0.0 if rule == "mean_velocity" else 0.5) if self.robust == "auto" else float(self.robust)
        loss = _MapLoss(self.path, RULES[rule], self.diagonal, power, self.directions == "both")
        result = run.train("match", net, loss, batches, self.training())
        starts = StartPoints.of(self.path.base, x0, seed=self.seed, shape=shape)
        return {"net": finished(net, result, prefix=""), "frame": frame, "starts": starts}

    def _units(self, rows: Rows, x1: Rows) -> Frame:
        """Standard units of both ends, of transformed columns where asked for."""
        columns = self.columns("x1")
        bent = bent_columns("FlowMap.fit", "x1", self.transform, rows, columns)
        change = bent.bend if bent else None
        learnt = x1 if change is None else each(x1, change)
        how: dict[str, Any] = {"density": False, "transforms": True}
        warn_about_columns("FlowMap.fit", "x1", x1, columns, learnt=learnt, **how)
        rows = rows if change is None else each(rows, change)
        inner = Standard().fit(rows) if self.standardize else Standard()
        return inner if bent is None else replace(bent, inner=inner)

    @property
    def fields(self) -> Fields:
        """The flow itself, in the network's units: that of the teacher, or else the diagonal of the map."""
        state = self.fitted_state("fields")
        if "teacher" in state:
            return teacher_fields(state["teacher"], self.path)
        return LearnedFields(self.path, velocity=Diagonal(state["net"]))

    @property
    def teacher(self) -> Any:
        """The fitted method that gave the trajectories.

        Raises:
            InvalidInputError: If the map was learnt without one.
        """
        state = self.fitted_state("teacher")
        if "teacher" not in state:
            remedy = "Use rule='trajectories', or fit(model=...)."
            raise invalid("FlowMap.teacher", "the map must have a teacher", f"rule {self.rule!r}", remedy)
        teacher = copy.copy(state["teacher"])  # trained here, it has seen tensors and codes
        teacher.given = {**teacher.given, **self.given}
        return teacher

    @property
    def frame(self) -> Frame:
        """The units of :attr:`fields`."""
        frame: Frame = self.fitted_state("frame")["frame"]
        return frame

    # --- capabilities

    @capability(like="x1")
    def sample(
        self,
        n: Count,
        *,
        n_steps: int = 4,
        seed: int = 0,
        cond: Tensor | None = None,
        first_index: int = 0,
    ) -> Any:
        """Draw samples of rho1: starts from the base or from stored rows of x0, carried over by a few jumps.

        Args:
            n: Number of samples.
            n_steps: Number of jumps, of equal length.
            seed: Seed of the starts.
            cond: One condition for all samples, or one row per sample.
            first_index: Index of the first sample in a larger job, so that parts agree with the whole.

        Returns:
            ``(n, *D)`` in the kind that ``x1`` had.
        """
        start = self._as_net(self.state["starts"].draw(n, seed, first_index))
        return self._decoded(self._carry(start, n_steps, None, False, cond, first_index))

    @capability(reads={"x": "x1"}, like="x")
    def transport(
        self,
        x: Tensor,
        *,
        reverse: bool = False,
        n_steps: int = 4,
        times: Sequence[float] | None = None,
        cond: Tensor | None = None,
        first_index: int = 0,
    ) -> Tensor:
        """Carry states over by a few jumps; sample i does not depend on its batch, and no noise is drawn.

        Args:
            x: States ``(B, *D)`` at t = 0, or at t = 1 when ``reverse``.
            reverse: Run from t = 1 down to t = 0.
            n_steps: Number of jumps, of equal length.
            times: Increasing times to stop at, from 0 to 1 as a rule, instead.
            cond: As in :meth:`sample`.
            first_index: As in :meth:`sample`.

        Returns:
            ``(B, *D)`` in the kind of ``x``.
        """
        start = self._encoded(x)
        return self._decoded(self._carry(start, n_steps, times, reverse, cond, first_index))

    @capability(reads={"x": "x1"}, like="x")
    def jump(self, x: Tensor, s: float | Tensor, t: float | Tensor, *, cond: Tensor | None = None) -> Tensor:
        """``X_{s,t}(x)`` by one evaluation.

        Args:
            x: States at time s, ``(B, *D)``.
            s: Start times in [0, 1], a number or ``(B,)``.
            t: End times, likewise; smaller than ``s`` to go back.
            cond: As in :meth:`sample`.
        """
        state = self._encoded(x)
        start, end = as_time(s, state), as_time(t, state)
        for name, time in (("s", start), ("t", end)):
            if not bool(((time >= 0) & (time <= 1)).all()):
                raise invalid("FlowMap.jump", f"{name} must lie in [0, 1]", time.tolist())
        if self.directions == "forward" and bool((end < start).any()):
            raise invalid("FlowMap.jump", "t must be >= s", "a smaller t", "It was trained forwards only.")
        step = (end - start).reshape(-1, *(1,) * (x.ndim - 1)).to(state)
        return self._decoded(state + step * self.state["net"](state, start, end, cond))

    def cannot(self, verb: str) -> str:  # prose: keep  # a name of the framework
        """Densities need that of the starts, and one derivative per entry of the state."""
        if verb != "log_prob" or not self.is_fitted:
            return ""
        path, size = self.fields.path, math.prod(self.state["starts"].shape)
        if path is None or path.base is None:
            return "the density of the samples at t = 0 is unknown; use a path from a base, e.g. 'one_sided_linear'"
        if size > _MOST_DERIVATIVES:
            return f"it takes one derivative per entry, and {size} are more than {_MOST_DERIVATIVES}; ask the teacher"
        return ""

    @capability(reads={"x": "x1"}, like="x", blocks=True)
    def log_prob(self, x: Tensor, *, cond: Tensor | None = None, n_steps: int = 2) -> Tensor:
        """Log density of the samples of ``n_steps`` jumps at ``x``, in nats per row (data units).

        Args:
            x: Points ``(n, *D)`` in data units.
            cond: As in :meth:`sample`.
            n_steps: Number of jumps; the density of :meth:`sample` with as many.

        Returns:
            ``(n,)``. NaN where the map has no start that leads to ``x``, or is folded there; -inf where no sample
            can be.

        Warns:
            AssumptionWarning: If the density is unknown in some rows.
        """
        whole("FlowMap.log_prob", "n_steps", n_steps, at_least=1)
        frame, path = self.frame, self.fields.path
        assert path is not None
        assert path.base is not None
        outside = frame.outside(x)
        extra_input = () if cond is None else (cond,)

        def velocity(point: Tensor, s: float, t: float) -> Tensor:
            rows: Tensor = self.state["net"](point, s, t, *extra_input)
            return rows

        def guess(end: Tensor, s: float, t: float) -> Tensor:
            if self.directions == "both":
                return end + (s - t) * velocity(end, t, s)
            back: dict[str, Any] = {"reverse": True, "start": s, "stop": t, "n_steps": _GUESS_STEPS}
            return sample(self.fields, end, method="heun", cond=cond, on_failure="keep", **back).x

        with torch.no_grad():
            inside = torch.where(outside.reshape(-1, *(1,) * (x.ndim - 1)), self._row_like(x), x)
            density = log_density(
                velocity,
                self._encoded(inside),
                np.linspace(0, 1, n_steps + 1).tolist(),
                path.base.log_prob,
                guess,
            )
        density = (density + frame.log_volume(inside.double())).masked_fill(outside, -math.inf)
        if bool(density.isnan().any()):
            text = f"FlowMap.log_prob: the map is not invertible at {int(density.isnan().sum())} rows, which are NaN"
            tell(AssumptionWarning, f"{text}. Use flow.teacher.log_prob, or more training.")
        return density.to(x)

    def _row_like(self, x: Tensor) -> Tensor:
        """A row that the map can make, for rows that it cannot."""
        start = torch.zeros(1, *self.state["starts"].shape, dtype=torch.float64)
        row: Tensor = self.frame.decode(start).to(x)
        return row

    def jumps(self, times: Sequence[float] | np.ndarray, *, reverse: bool = False) -> "JumpFields":
        """Fields whose Euler steps along a grid are jumps, in the units of :attr:`frame`.

        Args:
            times: Increasing times of the jumps in [0, 1].
            reverse: Whether they are run backwards.

        Raises:
            InvalidInputError: If it should run backwards and was trained forwards only.
        """
        if reverse and self.directions == "forward":
            remedy = "Make it with directions='both', or run the ODE: sample(flow.fields, x, reverse=True)."
            raise invalid("FlowMap", "reverse needs a map of both directions", "forward only", remedy)
        net = self.fitted_state("jumps")["net"]
        return JumpFields(self.fields.path, net, np.asarray(times, dtype=np.float64), reverse=reverse)

    def agreement(self, x: Tensor, *, cond: Tensor | None = None, n_steps: int = 64) -> dict[str, float]:
        """How far the map is from its own flow, over the distance that the flow moves.

        Args:
            x: Start points ``(B, *D)`` at t = 0, in data units.
            cond: What is known of each.
            n_steps: Steps of Heun's scheme for the flow.

        Returns:
            ``one_step_gap`` and ``four_step_gap``: root mean square distance between one jump (four jumps) and the ODE;
            ``round_trip``: there and back by one jump each, where both directions were trained.
        """
        start = self._encoded(x)
        end = sample(self.fields, start, method="heun", n_steps=n_steps, cond=cond).x
        one, four = (self._carry(start, n, None, False, cond, 0) for n in (1, 4))
        scale = rms(end - start)
        found = {"one_step_gap": rms(one - end) / scale, "four_step_gap": rms(four - end) / scale}
        if self.directions == "both":
            found["round_trip"] = rms(self._carry(one, 1, None, True, cond, 0) - start) / scale
        return found

    def _encoded(self, x: Tensor) -> Tensor:
        """States in the network's units and precision; a network of the user's own takes them as they are."""
        return self._as_net(self.state["frame"].encode(x))

    def _as_net(self, x: Tensor) -> Tensor:
        own = isinstance(self.net, nn.Module)
        return x if own else x.to(next(self.state["net"].parameters()).dtype)

    def _decoded(self, x: Tensor) -> Tensor:
        decoded: Tensor = self.state["frame"].decode(widened(x, self.given["x1"].torch_dtype))
        return decoded

    def _carry(
        self,
        start: Tensor,
        n_steps: int,
        times: Sequence[float] | None,
        reverse: bool,
        cond: Tensor | None,
        first: int,
    ) -> Tensor:
        whole("FlowMap", "n_steps", n_steps, at_least=1)
        grid = np.linspace(0.0, 1.0, n_steps + 1) if times is None else np.asarray(times, dtype=np.float64)
        jumps = self.jumps(grid, reverse=reverse)
        done = sample(
            jumps,
            start,
            method="euler",
            time_grid=grid,
            n_steps=len(grid) - 1,
            reverse=reverse,
            cond=cond,
            first_index=first,
        )
        return done.x


class JumpFields(Fields):
    """The map as fields: an Euler step along the average velocity from a grid time to the next is the jump itself.

    Args:
        path: The interpolant, which tells the base.
        net: The average velocity, ``net(x, s, t, cond)``.
        grid: Increasing times of the jumps.
        reverse: Whether they are run backwards.
    """

    def __init__(self, path: Path | None, net: nn.Module, grid: np.ndarray, *, reverse: bool) -> None:
        self.path, self.net = path, net
        self.grid = np.ascontiguousarray(grid[::-1] if reverse else grid)

    @property
    def networks(self) -> list[nn.Module]:
        """The average velocity."""
        return [self.net]

    @property
    def rounded_by(self) -> tuple[object, str]:
        """The network: fields are made anew for every call."""
        return self.net, "jumps"

    def evaluate(
        self, x: Tensor, t: Tensor, want: Sequence[str], cond: Condition = None
    ) -> dict[str, Tensor]:
        """The average velocity until the next time of the grid."""
        here = int(np.abs(self.grid - number_of(t)).argmin())
        asked = known_number(t)  # by a solver; what only looks at the rows of a network may ask at any time
        if asked is not None and (here == len(self.grid) - 1 or abs(self.grid[here] - asked) > _SAME_TIME):
            rule, remedy = (
                "jumps are Euler steps along their own grid",
                "Pass method='euler' and the same times.",
            )
            raise invalid("FlowMap.jumps", rule, f"t = {asked:g}", remedy)
        ahead = torch.full_like(t, self.grid[min(here + 1, len(self.grid) - 1)])
        return {"velocity": self.net(x, t, ahead, cond)}

    def provides(self, quantity: str) -> bool:
        """The velocity and nothing else."""
        return quantity == "velocity"


class _MapLoss:
    """Both losses of a batch: the diagonal on its first rows, the rule on the others."""

    def __init__(self, path: Path, rule: Rule, share: float, robust: float, both: bool) -> None:
        self.path, self.rule, self.share, self.robust, self.both = path, rule, share, robust, both

    def __call__(self, net: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
        """Per-sample losses by name: ``"diagonal"`` and ``"rule"``."""
        first, cond = batch["t"], batch["cond"]
        rows = min(max(1, round(self.share * len(first))), len(first) - 1)
        s, t = pair_of_times(first[rows:], generator, self.both)
        start = torch.cat([first[:rows], s])
        drawn = self.path.sample(x0=batch["x0"], x1=batch["x1"], t=start, generator=generator)
        x, rate = drawn.x_t, drawn.x_dot
        head, tail = (_told(net, cond, part) for part in (slice(0, rows), slice(rows, None)))
        rule = self.rule(tail, x[rows:], rate[rows:], s, t)
        if self.robust:
            rule = rule / (1 + rule.detach() / x[0].numel()).pow(self.robust)
        return {"diagonal": diagonal(head, x[:rows], rate[:rows], first[:rows]), "rule": rule}


def _told(net: Any, cond: Tensor | None, rows: slice) -> Any:
    """The average velocity of some rows, told what is known of them."""
    if cond is None:
        return net
    return lambda x, s, t: net(x, s, t, cond[rows])
