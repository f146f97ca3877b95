"""Simulations frame by frame: a network that tells the next frame from the last ones, or none, which stands still.

Letters: M points of a mesh, T times, C channels, F frames, W channels on the nodes, E width.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from interpolants.apps.simulation.data.mesh_fields import MeshField
from interpolants.apps.simulation.nets.kernel_integral import KernelIntegral, Pairs
from interpolants.apps.simulation.nets.point_packs import PointPack
from interpolants.apps.simulation.simulation_roles import Simulations
from interpolants.apps.simulation.simulation_training import SimulationUnits
from interpolants.apps.simulation.simulator_parts import warn_if_sparse
from interpolants.foundations.asked import invalid
from interpolants.foundations.kinds import Count, Positive
from interpolants.foundations.remembered import Remembered
from interpolants.framework.capabilities import capability
from interpolants.framework.role import Role
from interpolants.framework.stages import Run
from interpolants.framework.trained import Trained
from interpolants.nets.net import empty_table, materialise
from interpolants.nets.query_decoder import Layer
from interpolants.training.pairs import finished

_HARDLY = "the network hardly sees the frames"
_CHANNELS, _PATCH = 16, 4
# Changes of a frame that are rounding, in deviations of a channel: the unit of fields that stand still.
_STILL = 1e-6


class FrameStepper(Trained):
    """Learn the change from one frame to the next, and apply it again and again; errors add up over the frames.

    Frames are carried to a regular grid by a kernel integral, changed there by a transformer, and the change is carried
    back to the mesh.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    only_cpu: ClassVar[str] = "simulations stay where they were read"
    noun: ClassVar[str] = "simulator"

    frames: Count = 2
    """F, last frames that the next one is told from."""
    change: Literal["learnt", "none"] = "learnt"
    """``"none"``: the last given frame for ever."""
    box: Any = None
    """As in `TextToSimulation`."""
    nodes: Count = 16
    """Nodes of the grid along each axis; a multiple of 4."""
    radius: Positive = 0.13
    """Distance within which points and nodes see each other, in units of the box."""
    width: Count = 144
    """E, width of the transformer."""
    depth: Count = 4
    """Layers."""
    heads: Count = 4
    """Attention heads."""
    steps = 1500
    batch_size = 32
    lr = 2e-3
    ema = 0.995

    def check_settings(self) -> None:
        """Refuse nodes that cannot be cut into patches."""
        if self.nodes % _PATCH:
            raise invalid(f"nodes must be a multiple of {_PATCH}", self.nodes)

    def roles(self) -> tuple[Role, ...]:
        """Simulations."""
        return (Role(name="fields", kind="simulations", about="Simulations on meshes: a file, or a folder."),)

    def fit(self, fields: Any = None, **options: Any) -> Self:
        """Learn from simulations whose times are evenly spaced.

        Args:
            fields: A list of simulations.
            options: As in :meth:`interpolants.framework.method.Method.fit`.
        """
        return super().fit(fields=fields, **options)

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The network of changes."""
        fields: list[MeshField] = data["fields"]
        units = SimulationUnits.fit(fields, self.box)
        state = {"units": units, "times": fields[0].times, "net": None}
        if self.change == "none":
            return state
        for one in fields:
            warn_if_sparse(one, units, self.nodes, self.radius, _HARDLY)
        first, batches = fields[0], _FrameBatches(fields, units, self.frames, self.batch_size)
        net = _StepNet(
            first.values.shape[-1], space=first.points.shape[1], frames=self.frames, nodes=self.nodes,
            radius=self.radius, width=self.width, depth=self.depth, heads=self.heads, scale=batches.scale,
            seed=self.seed,
        )  # fmt: skip
        result = run.train("steps", net, _step_loss, batches, self.training())
        return {**state, "net": finished(net, result, prefix="")}

    @capability(reads={"context": "fields"}, like="context")
    def forecast(
        self,
        context: Any,
        *,
        members: Count = 1,
        times: Sequence[float] | None = None,
        frames: Count | None = None,
    ) -> Any:
        """The given first frames and what follows them.

        Args:
            context: Simulations whose first frames are used.
            members: Copies of the one answer.
            times: Those of the training alone.
            frames: How many frames are used; as many as the network looks at if not given.
        """
        if times is not None:
            raise invalid("times must be None, since frames have the step of the training data", "times")
        rows = [self._rolled(one, self.frames if frames is None else frames) for one in context]
        return Simulations(
            [replace(one, values=one.values.expand(members, *one.values.shape)) for one in rows]
        )

    def _rolled(self, one: MeshField, frames: int) -> MeshField:
        state, units, net = self.state, self.state["units"], self.state["net"]
        if len(one.times) < frames:
            raise invalid(f"the context must have at least {frames} frames", len(one.times))
        step, gaps = state["times"].diff()[:1], one.times[:frames].diff()
        if net is not None and not torch.allclose(gaps, step, rtol=1e-4, atol=0):
            rule = f"frames must be {float(step):g} apart, as those of the fit"
            raise invalid(rule, [float(f"{gap:g}") for gap in gaps])
        places = units.places(one.first(frames).cloud()[0])[: len(one.points), 1:]
        if net is not None:
            warn_if_sparse(one, units, self.nodes, self.radius, _HARDLY)
        known, pack = list(units.values(one.values[:frames])), PointPack.of([places])
        with torch.no_grad():
            while len(known) < len(state["times"]):
                last = known[-self.frames :]
                last = [last[0]] * (self.frames - len(last)) + last  # the first stands for those before it
                known.append(last[-1] if net is None else last[-1] + net(pack, torch.stack(last, 1)))
        values = torch.stack(known).double() * units.std + units.mean
        return replace(one, times=state["times"], values=values)


class _StepNet(Remembered, id="frame_step_net"):
    """The change of a frame at its points, ``(P, C)``, from the last frames there, ``(P, F, C)``."""

    def __init__(
        self,
        channels: int,
        *,
        space: int,
        frames: int,
        nodes: int,
        radius: float,
        width: int,
        depth: int,
        heads: int,
        scale: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.space, self.nodes, self.radius, self.scale = space, nodes, radius, scale
        self.tokens, part = (nodes // _PATCH) ** space, _PATCH**space
        with torch.device("meta"):
            self.gather = KernelIntegral(space, frames * channels, _CHANNELS)
            self.into = nn.Linear((_CHANNELS + 1) * part, width)
            self.places = empty_table(self.tokens, width)
            self.layers = nn.ModuleList(Layer(width, heads) for _ in range(depth))
            self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, _CHANNELS * part)
            self.spread = KernelIntegral(space, 2 * _CHANNELS + 1, _CHANNELS)
            self.last = nn.Linear(_CHANNELS, channels)
        materialise(self, seed, gains={self.last: 0.1})

    def forward(self, places: PointPack, frames: Tensor) -> Tensor:
        """Frames ``(P, F, C)`` of B items at points ``(P, d)``."""
        lines = [torch.linspace(0, 1, self.nodes, dtype=frames.dtype)] * self.space
        nodes, many = torch.cartesian_prod(*lines).reshape(-1, self.space), len(places)
        asked, items = nodes.repeat(many, 1), torch.arange(many).repeat_interleave(len(nodes))
        pairs = Pairs.near(places.rows, asked, self.radius, point_item=places.item, query_item=items)
        seen = torch.cat([self.gather(frames.flatten(1), pairs), pairs.found[:, None].to(frames)], 1)
        h = self.into(self._patches(seen.reshape(many, len(nodes), -1))) + self.places.weight
        for layer in self.layers:
            h, _ = layer(h)
        changed = self._nodes(self.out(functional.silu(self.norm(h)))).flatten(0, 1)
        back = Pairs.near(asked, places.rows, self.radius, point_item=items, query_item=places.item)
        found: Tensor = self.last(self.spread(torch.cat([changed, seen], 1), back))
        return found * self.scale

    def _patches(self, x: Tensor) -> Tensor:
        """``(B, G, W)`` to ``(B, N, W patch^d)``."""
        axes, count = self.space, self.nodes // _PATCH
        split = x.reshape(len(x), *(count, _PATCH) * axes, -1)
        order = [0, *(1 + 2 * k for k in range(axes)), *(2 + 2 * k for k in range(axes)), 1 + 2 * axes]
        return split.permute(order).reshape(len(x), self.tokens, -1)

    def _nodes(self, x: Tensor) -> Tensor:
        """``(B, N, W patch^d)`` to ``(B, G, W)``."""
        axes, count = self.space, self.nodes // _PATCH
        split = x.reshape(len(x), *(count,) * axes, *(_PATCH,) * axes, -1)
        order = [0, *(place for k in range(axes) for place in (1 + k, 1 + axes + k)), 1 + 2 * axes]
        return split.permute(order).reshape(len(x), self.nodes**axes, -1)


class _FrameBatches:
    """The batch of a step: last frames of some simulations, and the change that follows."""

    def __init__(self, fields: Sequence[MeshField], units: SimulationUnits, frames: int, size: int) -> None:
        first = fields[0].times.diff()
        for row, one in enumerate(fields):
            gaps = one.times.diff()
            if len(one.times) <= frames or not torch.allclose(gaps, gaps[:1], rtol=1e-4, atol=0):
                rule = f"simulations must have more than {frames} times, evenly spaced"
                raise invalid(rule, f"{one.times.tolist()[:6]} in row {row}")
            if not torch.allclose(gaps[:1], first[:1], rtol=1e-4, atol=0):
                rule = "times of every simulation must be as far apart as those of row 0, one step of the network"
                raise invalid(rule, f"{float(gaps[0]):g} and {float(first[0]):g} in row {row}")
        self.places = [units.places(one.first(1).cloud()[0])[:, 1:] for one in fields]
        self.values = [units.values(one.values) for one in fields]
        self.frames, self.size = frames, size
        steps = torch.cat([values.diff(dim=0).flatten() for values in self.values])
        self.scale = max(float(steps.square().mean().sqrt()), _STILL)

    def __call__(self, step: int, generator: Generator, rank: int, world: int) -> dict[str, Any]:
        pick = torch.randint(len(self.values), (max(1, self.size // world),), generator=generator)
        parts = [self._one(int(k), generator) for k in pick]
        places, frames, change = (PointPack.of([part[k] for part in parts]) for k in range(3))
        return {"places": places, "frames": frames.rows, "change": change, "scale": self.scale}

    def _one(self, k: int, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        values = self.values[k]
        first = int(torch.randint(len(values) - self.frames, (), generator=generator))
        seen = values[first : first + self.frames]
        return self.places[k], seen.movedim(0, 1), values[first + self.frames] - seen[-1]


def _step_loss(net: _StepNet, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
    change: PointPack = batch["change"]
    gap = (net(batch["places"], batch["frames"]) - change.rows).square().mean(1) / batch["scale"] ** 2
    return {"change": PointPack(gap, change.sizes).means()}
