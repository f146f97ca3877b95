"""Flow maps from the stored trajectories of a teacher: regression, whose targets have no noise.

The states of the teacher's ODE at a grid of times are stored, and the average velocity of the map is regressed on

    v(x_i, t_i, t_j) = (x_j - x_i) / (t_j - t_i)

for pairs of times in either direction. Targets are functions of the input: nothing is bootstrapped or differentiated,
and the states are those that the map meets in use.

Source: Hu et al. (2025), arXiv:2509.24526 (mid-training on trajectories); targets and pairs of times are ours.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.dynamics.sample import sample
from interpolants.fields.learned import on_path
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like, sum_event
from interpolants.foundations.randomness import generator as new_generator
from interpolants.foundations.types import take_rows
from interpolants.framework.frames import FramedFields
from interpolants.methods.parts.start_points import KEPT_ROWS, draw_base
from interpolants.paths.linear import Linear
from interpolants.paths.path import Path

# Trajectories that are held out: a share of them, but no fewer than this number.
HELD_OUT, _FEWEST = 0.02, 64
_WHO = "FlowMap.fit"


@dataclass(frozen=True)
class Trajectories:
    """States of a flow at a grid of times.

    Attributes:
        times: Increasing, ``(K + 1,)``.
        states: ``(K + 1, N, *D)``, in the units of the fields.
        cond: Condition of each trajectory, ``(N, *C)``, or None.
    """

    times: Tensor
    states: Tensor
    cond: Tensor | None = None

    @classmethod
    def of(cls, fields: Fields, start: Tensor, cond: Tensor | None, n_steps: int) -> "Trajectories":
        """Solve the ODE by Heun's scheme.

        Args:
            fields: The teacher.
            start: States ``(N, *D)`` at t = 0.
            cond: Condition of each trajectory.
            n_steps: Steps K.

        Raises:
            InvalidInputError: If a state is not finite; start and time are named.
        """
        solution = sample(
            fields, start, method="heun", n_steps=n_steps, cond=cond, return_path=True, on_failure="keep"
        )
        assert solution.path is not None
        finite = solution.path.flatten(2).isfinite().all(2)
        if not bool(finite.all()):
            at, row = (int(k) for k in (~finite).nonzero()[0])
            rule = "trajectories of the model must be finite"
            state = f"start {row} at t = {float(solution.times[at]):.3g}"
            raise invalid(_WHO, rule, state, "Check the model: sample(model.fields, ...) diverges there.")
        return cls(solution.times.to(start), solution.path, cond)

    def rows(self, pick: Any) -> "Trajectories":
        """Trajectories at the given indices."""
        return Trajectories(self.times, self.states[:, pick], take_rows(self.cond, pick))

    def split(self) -> tuple["Trajectories", "Trajectories"]:
        """Training trajectories and held-out ones; starts are independent, so the first ones may be held out.

        Raises:
            InvalidInputError: If there are too few.
        """
        n = self.states.shape[1]
        away = max(_FEWEST, round(HELD_OUT * n))
        if n < 2 * away:
            raise invalid(_WHO, f"trajectories must be at least {2 * _FEWEST}", n)
        return self.rows(slice(away, None)), self.rows(slice(0, away))


class TrajectoryBatches:
    """Batches of pairs of states on the same trajectory.

    Args:
        data: The trajectories.
        size: Rows per step, over all processes.
        two_way: Whether half of the pairs go back in time.
    """

    def __init__(self, data: Trajectories, size: int, two_way: bool) -> None:
        self.data, self.size, self.two_way = data, size, two_way

    def __call__(self, step: int, source: Generator, rank: int, world_size: int) -> dict[str, Any]:
        """States ``x`` at times ``s``, and ``end`` at times ``t``, with their condition."""
        size = max(1, self.size // world_size)
        pick = torch.randint(self.data.states.shape[1], (size,), generator=source)
        uniform = torch.rand(size, generator=source, dtype=self.data.times.dtype)
        first, last = (self._nearest(time) for time in pair_of_times(uniform, source, self.two_way))
        # Times that fall together are taken one step apart, later or earlier.
        end = len(self.data.times) - 1
        earlier = torch.rand(size, generator=source) < 0.5
        neighbour = torch.where((earlier & (first > 0)) | (first == end), first - 1, first + 1)
        last = torch.where(first == last, neighbour, last)
        if not self.two_way:
            first, last = torch.minimum(first, last), torch.maximum(first, last)
        states, times = self.data.states, self.data.times
        pair = {"x": states[first, pick], "end": states[last, pick], "s": times[first], "t": times[last]}
        return {**pair, "cond": take_rows(self.data.cond, pick)}

    def _nearest(self, time: Tensor) -> Tensor:
        return (time[:, None] - self.data.times).abs().argmin(1)


def pair_of_times(uniform: Tensor, generator: Generator, two_way: bool) -> tuple[Tensor, Tensor]:
    """Two times per row: half of the pairs uniform over the triangle, half uniform in their distance.

    Pairs uniform over the triangle are rarely far apart, and sampling needs the longest jump; but a map that
    is taught long jumps only, by itself, has little to learn them from.

    Args:
        uniform: Uniforms ``(B,)``, where each pair lies.
        generator: Source of the distances.
        two_way: Whether half of the pairs go back in time.
    """
    u, choice, coin = torch.rand(
        3, len(uniform), generator=generator, dtype=uniform.dtype, device=uniform.device
    )
    step = torch.where(choice < 0.5, u, 1 - (1 - u).sqrt())
    low = (1 - step) * uniform
    high = low + step
    if not two_way:
        return low, high
    forward = coin < 0.5
    return torch.where(forward, low, high), torch.where(forward, high, low)


def trajectory_loss(net: Any, batch: dict[str, Any], generator: Generator) -> dict[str, Tensor]:
    """``|v(x_s, s, t) - (x_t - x_s) / (t - s)|^2`` per row, ``(B,)``."""
    x, s, t = batch["x"], batch["s"], batch["t"]
    rate = (batch["end"] - x) / expand_like(t - s, x)
    extra_input = () if batch["cond"] is None else (batch["cond"],)
    return {"trajectories": sum_event((net(x, s, t, *extra_input) - rate).square())}


def one_step_gap(net: Any, data: Trajectories) -> float:
    """Root mean square error of the jump from the first time to the last, over that of the way."""
    start, end = data.states[0], data.states[-1]
    s, t = (time.expand(len(start)) for time in (data.times[0], data.times[-1]))
    extra_input = () if data.cond is None else (data.cond,)
    with torch.no_grad():
        jumped = start + expand_like(t - s, start) * net(start, s, t, *extra_input)
    return rms(jumped - end) / rms(end - start)


def rms(x: Tensor) -> float:
    """Root mean square of all entries."""
    return float(x.square().mean().sqrt())


def teacher_fields(model: Any, path: Path) -> Fields:
    """The fields of a fitted model, on the requested path.

    Args:
        model: A fitted method with fields in a frame.
        path: The path of the map. ``Linear`` without a latent term, the default, keeps that of the model.

    Raises:
        InvalidInputError: If the model has no such fields or no velocity, or the path cannot be reached.
    """
    if not isinstance(model, FramedFields):
        remedy = "For example, pass a fitted Bridge, or Imported(fields, shape=...)."
        raise invalid(_WHO, "model must have fields and a frame, as Bridge has", type(model).__name__, remedy)
    fields = model.fields
    if fields.path is None or fields.path.is_static:
        remedy = "For example, use Bridge(path='one_sided_linear')."
        raise invalid(_WHO, "the path of model must move", type(fields.path).__name__, remedy)
    if not fields.provides("velocity"):
        remedy = "Its flow is not determined: a two-sided path needs the velocity, or mean rate and noise."
        raise invalid(_WHO, "model must have a velocity", type(model).__name__, remedy)
    return fields if _is_default(path) else on_path(fields, path)


def _is_default(path: Path) -> bool:
    return isinstance(path, Linear) and path.envelope.is_zero


def conditions_of(model: Any, cond: Tensor | None, n: int, seed: int) -> Tensor | None:
    """A condition for each of ``n`` trajectories, drawn from those that the model was trained on, or from ``cond``.

    Raises:
        InvalidInputError: If the model stores its conditions, or its path is two-sided: starts may then depend on them.
    """
    stored = callable(getattr(model, "training_rows", None))
    if cond is not None and stored:
        remedy = "Omit it: conditions of the training are drawn."
        raise invalid(
            _WHO, "cond must not be passed with a model that has rows of its training", "some", remedy
        )
    values: Tensor | None = model.training_rows(KEPT_ROWS)[1] if stored else cond
    if values is None:
        return None
    if model.fields.path.base is None:
        remedy = "Use a model on a one-sided path, e.g. Bridge(path='one_sided_linear')."
        raise invalid(_WHO, "a model with conditions must start from a base", "a two-sided path", remedy)
    values = values.float() if values.is_floating_point() else values
    return values[
        torch.randint(len(values), (n,), generator=new_generator(seed, "conditions of trajectories"))
    ]


def start_states(model: Any, fields: Fields, n: int, seed: int, cond: Tensor | None) -> Tensor:
    """Starts ``(n, *D)`` of trajectories in the units of the fields, in the precision of their networks.

    Raises:
        InvalidInputError: If the model has neither a base nor start points.
    """
    base = None if fields.path is None else fields.path.base
    if base is not None:
        encoded = model.frame.encode(torch.zeros(1, *model.shapes["x1"]))
        start = draw_base(base, tuple(encoded.shape[1:]), n, seed, 0)
    elif callable(getattr(model, "start_points", None)):
        start = model.frame.encode(model.start_points(n, seed=seed))
    else:
        remedy = "Use a model on a one-sided path, or a Bridge between two sets."
        raise invalid(
            _WHO, "model must start from a base, or have start_points", type(model).__name__, remedy
        )
    weights = [p for net in fields.networks for p in net.parameters() if p.is_floating_point()]
    return start.to(weights[0].dtype if weights else torch.float32)


def told_by(model: Any) -> dict[str, Any]:
    """Containers of the samples and conditions of a model."""
    return {name: model.given[name] for name in ("x0", "x1", "cond") if name in model.given}
