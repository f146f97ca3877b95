"""Rectification: train again on the pairs that a flow makes, which keeps its map and straightens its way."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from interpolants.couplings.independent import Independent
from interpolants.couplings.paired import Paired
from interpolants.dynamics.sample import sample
from interpolants.fields.learned import LearnedFields
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Check, Count
from interpolants.foundations.randomness import generator
from interpolants.foundations.types import take_rows
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import Standard
from interpolants.framework.stages import Run
from interpolants.methods.parts.choices import choose_coupling
from interpolants.methods.parts.columns import warn_about_columns, warn_about_units
from interpolants.methods.parts.conditions import ConditionForm
from interpolants.methods.parts.learning import in_one_precision, learn_net, new_net
from interpolants.methods.parts.start_points import StartPoints
from interpolants.methods.parts.two_ends import TwoEnds
from interpolants.methods.rectification.rounds import one_step, plain_path, rectified_pairs, weights_add_up
from interpolants.methods.rectification.straightness import straightness
from interpolants.nets.potential import Potential
from interpolants.nets.scaled_condition import ScaledCondition
from interpolants.nets.scaled_velocity import ScaledVelocity


def _named_net(who: str, net: Any) -> Any:
    """A name or a table: every flow has a network of its own."""
    if isinstance(net, nn.Module):
        raise invalid(who, "net must be a name or a table", type(net).__name__)
    return net


@dataclass(frozen=True)
class FlowNumbers:
    """What one flow of a rectification does to given starts.

    Attributes:
        cost: ``E|X_1 - X_0|^2``, data units squared.
        curvature: ``E int |b - (X_1 - X_0)|^2 dt`` over the cost; zero for straight lines at constant speed.
        one_step_gap: Root mean square distance of the one-step map from the flow, over that from start to end.
        moved: Likewise of the end of this flow from that of the flow before; NaN for the first.
    """

    cost: float
    curvature: float
    one_step_gap: float
    moved: float


class Rectification(TwoEnds):
    """Learn a flow between two sample sets, then rectify it some times.

    ::

        bridge = Rectification(path="linear", rounds=1).fit(x0, x1)
        y = bridge.transport(x0_new, one_step=True)      # one evaluation of the network
        bridge.compare_flows(x0_new)                     # cost and curvature of every round

    Round k trains on pairs made by the flow of round k - 1 and starts from its weights. The map stays the same up to
    errors of training; cost never grows, and curvature falls. With ``gradient`` velocities are gradients of a
    potential, and iterating tends to the optimal transport map of squared distance. A one-sided path is used for the
    first flow only.

    Raises:
        InvalidInputError: If a name or a setting is unknown or out of range.

    Source: Liu, Gong & Liu (2022), arXiv:2209.03003; gradients: Liu (2022), arXiv:2209.14577; with interpolants:
    Albergo, Boffi & Vanden-Eijnden (2023), arXiv:2303.08797, section 5.4.
    """

    noun: ClassVar[str] = "bridge"
    former: ClassVar[Mapping[str, str]] = {
        "summary": "Use compare_flows(x).",
        "straightness": "Use compare_flows(x), or straightness(fields, x) of each of flows.",
        "pairs": "Use methods.rectified_pairs(bridge.flows[-2], x0).",
    }

    rounds: Count = 1
    """Rectifications."""
    start: Literal["forward", "backward", "both"] = "forward"
    """Which ends the pairs start from: ``"forward"`` keeps x0 and makes x1, ``"backward"`` keeps the data x1 and makes
    x0, ``"both"`` does both."""
    gradient: bool = False
    """Restrict velocities to gradients."""
    first: Any = None
    """A flow to begin with (``Fields``), instead of learning one."""
    net: Annotated[Any, Check(_named_net)] = "auto"
    """``"auto"``, a card's id or a table."""
    coupling: Annotated[Any, Check(choose_coupling)] = "independent"
    """How x0 and x1 are paired for the first flow."""
    n_steps: Count = 100
    """Steps of Heun's scheme that make the pairs."""
    standardize: bool = True
    """Learn in units where the pooled data have mean 0 and standard deviation 1: per column for tables, overall for
    images and with ``gradient``, since only one unit for all keeps gradients. Flows and costs stay in data units. Where
    a unit is part of the problem it is that of the data: with a one-sided path, latent noise, a ``first`` flow, or a
    coupling by distances."""

    def check_settings(self) -> None:
        """Refuse paths that cannot be rectified."""
        plain_path(self.path)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The first flow, and a flow on the pairs of the one before for each round."""
        data = in_one_precision("Rectification.fit", data)
        cond, frame = data.get("cond"), self._units(data)
        points = StartPoints.of(
            self.path.base, data.get("x0"), seed=self.seed, shape=tuple(data["x1"].shape[1:])
        )
        x0, x1 = (frame.encode(data[name]) if name in data else None for name in ("x0", "x1"))
        assert x1 is not None
        form = ConditionForm.of(cond, units=True)
        learn = partial(learn_net, run, heads=("velocity",), settings=self.training())
        nets: list[nn.Module] = []
        if self.first is None:
            net = self._new(x1, form)
            nets.append(learn("first flow", self.path, x0, x1, net=net, coupling=self.coupling, cond=cond))
        starts = self._starts(x0, x1) if self.start != "backward" else None
        ends = x1 if self.start != "forward" else None

        def made(flow: Fields, source: Generator) -> dict[str, Any]:
            # A start has no condition of its own: it gets that of a row of the data.
            asked = None
            if starts is not None and cond is not None:
                asked = take_rows(cond, torch.randint(len(cond), (len(starts),), generator=source))
            pairs = rectified_pairs(flow, starts, ends, cond0=asked, cond1=cond, n_steps=self.n_steps)
            return {"x0": pairs.x0, "x1": pairs.x1, "cond": pairs.cond1}

        for k in range(1, self.rounds + 1):
            pairs = run.once(f"pairs {k}", partial(made, self._flows(nets)[-1]))
            net = copy.deepcopy(nets[-1]).requires_grad_(True).train() if nets else self._new(x1, form)
            path, known = plain_path(self.path), pairs["cond"]
            rows = pairs["x0"], pairs["x1"]
            nets.append(learn(f"round {k}", path, *rows, net=net, coupling=Paired(), cond=known))
        return {"nets": nets, "starts": points, "frame": frame}

    def _units(self, data: Mapping[str, Any]) -> Standard:
        """Units of the networks: standard ones where rectification commutes with the change of units."""
        rows = torch.cat([data[name] for name in ("x0", "x1") if name in data])
        warn_about_columns("Rectification.fit", "the samples", rows, self.columns("x1"), density=False)
        alike = "x0" in data and self.first is None and self.path.envelope.is_zero
        frame = Standard()
        if self.standardize and alike and isinstance(self.coupling, Independent | Paired):
            found = Standard().fit(rows)
            scale = torch.as_tensor(found.scale)
            one = scale.square().mean().sqrt() if self.gradient else scale
            frame = Standard(found.shift if weights_add_up(self.path) else torch.zeros_like(scale), one)
        warn_about_units("Rectification.fit", "the samples", frame.encode(rows))
        return frame

    def _new(self, like: Tensor, form: ConditionForm) -> nn.Module:
        if not self.gradient:
            net = new_net("Rectification", self.net, like, form=form, seed=self.seed)
        else:
            shape, sizes = tuple(like.shape[1:]), form.settings()
            net = Potential(shape, net=self.net, seed=self.seed, **sizes).to(like.dtype)
        return ScaledCondition(net, form.shift, form.scale) if form.scale else net

    def _starts(self, x0: Tensor | None, x1: Tensor) -> Tensor:
        if x0 is not None:
            return x0
        base, source = self.path.base, generator(self.seed, "rectified pairs")
        assert base is not None
        drawn: Tensor = base.color(base.noise(x1.shape, generator=source, dtype=x1.dtype))
        return drawn

    def _flows(self, nets: list[nn.Module]) -> list[Fields]:
        paths = [plain_path(self.path)] * len(nets)
        if self.first is None and nets:
            paths[0] = self.path
        learnt: list[Fields] = [LearnedFields(p, velocity=net) for p, net in zip(paths, nets, strict=True)]
        return learnt if self.first is None else [self.first, *learnt]

    @property
    def flows(self) -> list[Fields]:
        """The first flow and one per round, in data units.

        Paths after the first have no latent noise, so there is no score.
        """
        nets, frame = self.fitted_state("flows")["nets"], self._frame
        if not isinstance(frame.scale, Tensor):
            return self._flows(nets)
        shift, scale = (torch.as_tensor(part).reshape(-1) for part in (frame.shift, frame.scale))
        units = {"shift": shift.tolist(), "scale": scale.expand_as(shift).tolist()}
        return self._flows([ScaledVelocity(net, **units) for net in nets])

    @property
    def _frame(self) -> Standard:
        """The units of the networks."""
        frame: Standard = self.fitted_state("frame").get("frame", Standard())
        return frame

    @property
    def fields(self) -> Fields:
        """The last flow."""
        return self.flows[-1]

    @property
    def frame(self) -> Standard:
        """The units of :attr:`fields`: those of the data."""
        return Standard()

    # --- capabilities

    @capability(like="x1")
    def sample(
        self,
        n: Count,
        *,
        n_steps: int = 100,
        one_step: bool = False,
        method: str | None = None,
        seed: int = 0,
        cond: Tensor | None = None,
        first_index: int = 0,
    ) -> Any:
        """Draw samples of rho1: starts from the base or from stored rows of x0, carried over by the last flow.

        Args:
            n: Number of samples.
            n_steps: Steps of the solver.
            one_step: Use the map read off the velocity at the start instead, see :func:`~.rounds.one_step`.
            method: The solver; see :func:`interpolants.dynamics.sample.sample`.
            seed: Seed of the starts.
            cond: One condition for all samples, or one row per sample.
            first_index: Index of the first sample in a larger job, so that parts agree with the whole.
        """
        start = self.state["starts"].draw(n, seed, first_index)
        return self._carry(start, False, n_steps, one_step, method, cond)

    @capability(reads={"x": "x1"}, like="x")
    def transport(
        self,
        x: Tensor,
        *,
        reverse: bool = False,
        n_steps: int = 100,
        one_step: bool = False,
        method: str | None = None,
        cond: Tensor | None = None,
    ) -> Tensor:
        """Carry states over by the last flow, ``(B, *D)``; no noise is drawn.

        Args:
            x: States ``(B, *D)`` at t = 0, or at t = 1 when ``reverse``.
            reverse: Run from t = 1 down to t = 0.
            n_steps: Steps of the solver.
            one_step: As in :meth:`sample`; at t = 1 when ``reverse``.
            method: As in :meth:`sample`.
            cond: As in :meth:`sample`.
        """
        return self._carry(x, reverse, n_steps, one_step, method, cond)

    def compare_flows(self, x: Tensor, *, cond: Tensor | None = None) -> list[FlowNumbers]:
        """Numbers of the first flow and of each round.

        Args:
            x: Start points ``(B, *D)`` at t = 0, B >= 2.
            cond: What is known of each.
        """
        found: list[FlowNumbers] = []
        before: Tensor | None = None
        for flow in self.flows:
            way = straightness(flow, x, n_steps=self.n_steps, cond=cond)
            end = sample(flow, x, n_steps=self.n_steps, cond=cond).x
            scale, moved = _rms(end - x), math.nan if before is None else _rms(end - before)
            gap = _rms(_one_step(flow, x, cond=cond) - end) / scale
            found.append(FlowNumbers(way.cost, way.relative, gap, moved / scale))
            before = end
        return found

    def _carry(
        self, x: Tensor, reverse: bool, n_steps: int, direct: bool, method: str | None, cond: Tensor | None
    ) -> Tensor:
        start, flow = self._frame.encode(x.to(self.dtype)), self._flows(self.state["nets"])[-1]
        if direct:
            return self._frame.decode(_one_step(flow, start, reverse=reverse, cond=cond))
        done = sample(flow, start, reverse=reverse, n_steps=n_steps, method=method, cond=cond)
        return self._frame.decode(done.x)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the networks."""
        weight: Tensor = next(self.fitted_state("dtype")["nets"][-1].parameters())
        return weight.dtype


_one_step = one_step  # the capabilities' argument has the same name


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())
