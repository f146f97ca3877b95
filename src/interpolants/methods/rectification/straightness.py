"""How straight a flow runs, and how far it carries.

Along the flow, ``E int |b|^2 dt = E|X_1 - X_0|^2 + E int |b - (X_1 - X_0)|^2 dt``: energy is transport cost plus
curvature. A flow of zero curvature moves every point along a straight line at constant speed, and one step of Euler's
scheme is exact.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import sum_event
from interpolants.foundations.types import Condition


@dataclass(frozen=True)
class Straightness:
    """What :func:`straightness` measures; all in data units squared, errors are one sigma over the samples.

    Attributes:
        cost: ``E|X_1 - X_0|^2``.
        cost_error: Its standard error.
        energy: ``E int |b|^2 dt``, twice the kinetic energy.
        curvature: ``E int |b - (X_1 - X_0)|^2 dt``, zero for straight lines at constant speed.
        curvature_error: Its standard error.
    """

    cost: float
    cost_error: float
    energy: float
    curvature: float
    curvature_error: float

    @property
    def relative(self) -> float:
        """Curvature over cost, without unit."""
        return self.curvature / self.cost


def straightness(
    fields: Fields,
    x: Tensor,
    *,
    reverse: bool = False,
    n_steps: int = 100,
    method: str = "heun",
    cond: Condition = None,
) -> Straightness:
    """Measure the flow of some fields along its own trajectories.

    Args:
        fields: Their velocity is used.
        x: Start points, ``(B, *D)`` with B >= 2: at t = 0, or at t = 1 when ``reverse``.
        reverse: Run from t = 1 down to t = 0.
        n_steps: Steps of the solver, and panels of the trapezoidal rule in t.
        method: A solver of fixed steps.
        cond: What is known of each row.

    Raises:
        InvalidInputError: If there are fewer than two start points, or an argument is refused by the sampler.

    Source: Liu, Gong & Liu (2022), arXiv:2209.03003, section 2.2.
    """
    if len(x) < 2:
        raise invalid("straightness", "x must have at least two rows", len(x))
    done = sample(
        fields,
        x,
        reverse=reverse,
        n_steps=n_steps,
        method=method,
        cond=cond,
        time_grid="uniform",
        return_path=True,
    )
    assert done.path is not None
    chord = (done.path[0] - done.path[-1]) if reverse else (done.path[-1] - done.path[0])
    times = done.times.to(x)
    energy, curvature = x.new_zeros(len(x)), x.new_zeros(len(x))
    weights = torch.full((len(times),), 1.0 / n_steps)
    weights[[0, -1]] /= 2
    velocity = fields.velocity_of(cond)
    with torch.no_grad():
        for weight, t, state in zip(weights.tolist(), times, done.path, strict=True):
            speed = velocity(state, t)
            energy += weight * sum_event(speed.square())
            curvature += weight * sum_event((speed - chord).square())
    cost = sum_event(chord.square())
    return Straightness(*_mean_and_error(cost), float(energy.mean()), *_mean_and_error(curvature))


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / len(values) ** 0.5)
