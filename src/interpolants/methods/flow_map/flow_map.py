"""Flow maps: jumps between any two times of a flow, for sampling in one to four steps.

Letters: ``X_{s,t}(x)`` the state at time t of the flow that is at x at time s; ``v`` its average velocity.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Interval
from torch import Generator, Tensor, nn

from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.fields.protocol import Fields, as_time
from interpolants.foundations.checks import whole
from interpolants.foundations.clock import known_number, number_of
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count, OneOf, Share
from interpolants.foundations.row_access import Rows, each, joined
from interpolants.foundations.types import Condition
from interpolants.framework.capabilities import capability, verb
from interpolants.framework.frames import Frame, Standard, widened
from interpolants.framework.stages import Run
from interpolants.methods.flow_map.rules import RULES, Rule, diagonal
from interpolants.methods.flow_map.two_time_net import Diagonal, TwoTimeNet
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

_SAME_TIME = 1e-6  # grids are float64, times of a solver may be float32
verb("jump", "x", "s", "t")


class FlowMap(TwoEnds):
    """Learn the flow and its jumps ``X_{s,t}`` in one network, without a teacher.

    ::

        flow = FlowMap(path="linear", rule="semigroup").fit(x0, x1)
        y = flow.transport(x0_new, n_steps=1)            # one evaluation of the network
        y = flow.sample(1000)                            # from the base, or from stored rows of x0

    ``X_{s,t}(x) = x + (t - s) v_{s,t}(x)``. A share of every batch learns the diagonal ``v_{t,t} = b`` by the
    interpolant's velocity loss; the rest learns ``s != t`` by a rule, see ``methods.flow_map.rules``.

    Raises:
        InvalidInputError: If a name or a setting is unknown or out of range.

    Source: Boffi, Albergo & Vanden-Eijnden (2024), arXiv:2406.07507, and (2025), arXiv:2505.18825; mean velocity:
    Geng et al. (2025), arXiv:2505.13447.
    """

    streams: ClassVar[bool] = True
    noun: ClassVar[str] = "flow map"
    former: ClassVar[Mapping[str, str]] = {
        "summary": "Use agreement(x).",
    }

    rule: Annotated[str, OneOf(lambda: RULES)] = "semigroup"
    """How the jumps are learnt; see ``methods.flow_map.rules``."""
    net: Any = "auto"
    """``"auto"``, a card's id, a table, or an ``nn.Module`` called as ``net(x, s, t)``."""
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

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """Both losses at once."""
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
        power = (
            (0.0 if self.rule == "mean_velocity" else 0.5) if self.robust == "auto" else float(self.robust)
        )
        loss = _MapLoss(self.path, RULES[self.rule], self.diagonal, power, self.directions == "both")
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
    def fields(self) -> LearnedFields:
        """The flow itself, whose velocity is the diagonal, in the network's units."""
        return LearnedFields(self.path, velocity=Diagonal(self.fitted_state("fields")["net"]))

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
        return JumpFields(self.path, net, np.asarray(times, dtype=np.float64), reverse=reverse)

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
        scale = _rms(end - start)
        found = {"one_step_gap": _rms(one - end) / scale, "four_step_gap": _rms(four - end) / scale}
        if self.directions == "both":
            found["round_trip"] = _rms(self._carry(one, 1, None, True, cond, 0) - start) / scale
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

    def __init__(self, path: Path, net: nn.Module, grid: np.ndarray, *, reverse: bool) -> None:
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
        s, t = self._pair(first[rows:], generator)
        start = torch.cat([first[:rows], s])
        drawn = self.path.sample(x0=batch["x0"], x1=batch["x1"], t=start, generator=generator)
        x, rate = drawn.x_t, drawn.x_dot
        head, tail = (_told(net, cond, part) for part in (slice(0, rows), slice(rows, None)))
        rule = self.rule(tail, x[rows:], rate[rows:], s, t)
        if self.robust:
            rule = rule / (1 + rule.detach() / x[0].numel()).pow(self.robust)
        return {"diagonal": diagonal(head, x[:rows], rate[:rows], first[:rows]), "rule": rule}

    def _pair(self, place: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Two times per row, up to the direction: half of the pairs uniform over the square, half in their distance.

        Pairs uniform over the square are rarely far apart, and the longest jump is the one that is used; but a map
        that is taught long jumps only, by itself, has little to learn them from.
        """
        u, which, coin = torch.rand(
            3, len(place), generator=generator, dtype=place.dtype, device=place.device
        )
        step = torch.where(which < 0.5, u, 1 - (1 - u).sqrt())
        low = (1 - step) * place
        high = low + step
        if not self.both:
            return low, high
        ahead = coin < 0.5
        return torch.where(ahead, low, high), torch.where(ahead, high, low)


def _told(net: Any, cond: Tensor | None, rows: slice) -> Any:
    """The average velocity of some rows, told what is known of them."""
    if cond is None:
        return net
    return lambda x, s, t: net(x, s, t, cond[rows])


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
