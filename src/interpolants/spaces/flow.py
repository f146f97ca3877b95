"""Flows on a space: solutions of ``dx/dt = b(x, t)`` by geodesic steps, and the change of a log density along them."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from interpolants.foundations.derivatives import exact_divergence
from interpolants.foundations.errors import DivergedError
from interpolants.spaces.space import Space

# ``field(x, t)``: tangent vectors ``(B, S)`` at points ``(B, S)`` and times ``(B,)``.
SpaceField = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class FlowResult:
    """Result of a flow.

    Attributes:
        x: Points ``(B, S)``.
        log_change: ``log p(x) - log p(start)`` along each trajectory, ``(B,)``, in nats; None if it was not computed.
    """

    x: Tensor
    log_change: Tensor | None = None


@torch.no_grad()
def flow(
    space: Space,
    field: SpaceField,
    x: Tensor,
    times: Tensor,
    *,
    density: bool = False,
) -> FlowResult:
    """Integrate points along a field by Heun's method with geodesic steps, of order 2.

    ``y = exp_x(h b(x))``, then ``x <- exp_x(h (b(x) + PT_{y -> x} b(y)) / 2)`` with the parallel transport PT. No step
    leaves the space.

    The divergence is the trace of the Jacobian of ``b(project(x), t)`` in embedding coordinates. It is the Riemannian
    one because ``b`` is tangent and, so extended, constant along the normals. Without the projection it would be off by
    the radial part of the field.

    Args:
        space: The space.
        field: The velocity.
        x: Points ``(B, S)`` at the first time.
        times: Monotonic times ``(K + 1,)`` of the steps; falling ones run back.
        density: Also integrate ``d log p / dt = -div b`` by the trapezoidal rule on the same evaluations.

    Raises:
        DivergedError: If a point is not finite.
    """

    def at(points: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        time = t.to(points).expand(len(points))
        if not density:
            return field(points, time), points.new_zeros(len(points))
        return exact_divergence(lambda p: field(space.project(p), time), points)

    change = x.new_zeros(len(x))
    for start, stop in pairwise(times):
        h = (stop - start).to(x)
        v_start, div_start = at(x, start)
        predicted = space.exp(x, h * v_start)
        v_end, div_end = at(predicted, stop)
        x = space.exp(x, h / 2 * (v_start + space.carry(predicted, x, v_end)))
        change = change - h / 2 * (div_start + div_end)
        if not bool(torch.isfinite(x).all()):
            raise DivergedError(f"flow: the points are not finite at t = {float(stop):g}. Use more steps.")
    return FlowResult(x, change if density else None)
