"""ODE-SDE gap: distance between samples of the flow and of an SDE with the same fields, with bounds.

Letters: b, s learnt velocity and score; q distribution of the flow, m distribution of the SDE at the noise level eps,
both from one start. As ``dq/dt = -div(b q) = -div((b + eps grad log q) q) + eps lap q``, q is the distribution of an
SDE too, whose drift differs from ``b + eps s`` by ``eps (grad log q - s)``. The two distributions agree if and only if
s is the score of q, and

* ``KL(q_1 || m_1) <= int eps/4 E_q|grad log q - s|^2 dt`` (Girsanov),
* ``W2(q_1, m_1) <= int exp(int_t^1 L) eps (E_q|grad log q - s|^2)^(1/2) dt``, L the largest expansion of ``b + eps s``.

Along a trajectory of the flow ``p = grad log q`` obeys ``dp/dt = -grad(div b + b . p)`` with p held fixed under the
gradient, from the score of the base: no density has to be estimated.

Source: Deveney et al. (2023), arXiv:2311.15996, for a bound in W2; both bounds derived anew, on the side of the flow.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from interpolants.dynamics.grids import time_grid as uniform_grid
from interpolants.dynamics.noise import NoiseTable, as_noise
from interpolants.dynamics.sample import sample
from interpolants.fields.protocol import Fields
from interpolants.foundations.derivatives import divergence, gradient, jacobian
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import sum_event
from interpolants.foundations.types import Condition, take_rows
from interpolants.metrics.estimate import Estimate, Metric
from interpolants.metrics.wasserstein import wasserstein
from interpolants.solvers.fixed import integrate_fixed
from interpolants.solvers.registry import get_solver
from interpolants.solvers.tableau import RungeKutta

# Rows whose Jacobians are taken at once.
_ROWS = 512


@dataclass(frozen=True)
class FlowScore:
    """Comparison of the learnt score with the score of the flow's own distribution, at some times.

    Attributes:
        t: ``(n,)`` times, float64.
        squared: ``(n,)`` ``E_q|grad log q - s|^2``, in 1/data squared.
        error: ``(n,)`` its standard error.
        expansion: ``(n,)`` largest eigenvalue of the symmetric part of the Jacobian of ``b + eps s`` over the samples;
            the bound in W2 needs the largest over the whole space, which this is an estimate of from below.
        eps: ``(n,)`` noise level.
    """

    t: Tensor
    squared: Tensor
    error: Tensor
    expansion: Tensor
    eps: Tensor

    @property
    def kl_bound(self) -> float:
        """Upper bound of ``KL(q_1 || m_1)`` in nats, up to the sampling of the expectations."""
        return float(torch.trapezoid(self.eps / 4 * self.squared, self.t))

    @property
    def w2_bound(self) -> float:
        """Upper bound of ``W2(q_1, m_1)`` in data units, with the expansion seen at the samples."""
        slices = self.t.diff() * (self.expansion[1:] + self.expansion[:-1]) / 2
        rest = torch.cat([slices.flip(0).cumsum(0).flip(0), torch.zeros(1, dtype=torch.float64)])
        return float(torch.trapezoid(rest.exp() * self.eps * self.squared.sqrt(), self.t))


@dataclass(frozen=True)
class OdeSdeGap:
    """The gap between flow and SDE.

    Attributes:
        distance: Distance between their samples from the same starts.
        floor: Distance between two independent sets of the flow's samples of that size.
        score: The mismatch of the score with the flow's own distribution, with the bounds that follow; None if not
            asked for.
        ode: Samples of the flow ``(B, *D)``.
        sde: Samples of the SDE ``(B, *D)``.
    """

    distance: Estimate
    floor: Estimate
    score: FlowScore | None
    ode: Tensor
    sde: Tensor

    @property
    def ratio(self) -> float:
        """The distance over its floor; about 1 where no gap can be seen."""
        return self.distance.value / self.floor.value if self.floor.value > 0 else math.inf


def ode_sde_gap(
    fields: Fields,
    x0: Tensor,
    *,
    eps: Any = 1.0,
    base: Any = None,
    n_steps: int = 200,
    time_grid: Any = "auto",
    stop: float = 1.0,
    metric: Metric = wasserstein,
    bounds: int = 256,
    cond: Condition = None,
    seed: int = 0,
    generator: Generator | None = None,
) -> OdeSdeGap:
    """Run flow and SDE from the same starts with as many steps, compare where they arrive, and bound the gap.

    Take steps until the distance no longer changes: an error of the solver looks like a gap. The starts are used in
    two halves: flow and SDE are compared on the first, and the floor is the distance between the flow's two halves.

    Args:
        fields: Velocity and score.
        x0: Start points ``(2 B, *D)``.
        eps: Noise level of the SDE, as in ``dynamics.sample``; half of ``path.g_squared`` is the reverse diffusion.
        base: Distribution of the starts, with ``score``, for the bounds; the path's own when None.
        n_steps: Steps of both.
        time_grid: As in ``dynamics.sample``, where it is a name; own times go with a ``stop`` of 1.
        stop: Last time of all, as in ``dynamics.sample``: a model learnt up to a little noise is judged there.
        metric: Two-sample metric.
        bounds: Starts from which the bounds are computed; 0 for none. They need ``base``.
        cond: Condition, one row per start.
        seed: Seed of the Brownian motion.
        generator: Source of the metric's draws.

    Raises:
        InvalidInputError: If there are fewer than 4 starts.
    """
    who, half = "ode_sde_gap", len(x0) // 2
    if half < 2:
        raise invalid(who, "x0 must have at least 4 rows", len(x0))
    settings: dict[str, Any] = {"n_steps": n_steps, "time_grid": time_grid, "stop": stop, "cond": cond}
    flow = sample(fields, x0, method="heun", **settings).x
    settings["cond"] = take_rows(cond, slice(half))
    noisy = sample(fields, x0[:half], eps=eps, seed=seed, **settings).x
    distance = metric(flow[:half], noisy, generator=generator)
    apart = metric(flow[:half], flow[half : 2 * half], generator=generator)
    floor = Estimate(apart.value, apart.error, apart.n, f"{apart.name} (floor)")
    distribution = fields.path.base if base is None and fields.path is not None else base
    score = None
    if bounds and distribution is not None:
        rows = slice(min(bounds, len(x0)))
        own = take_rows(cond, rows)
        score = flow_score(fields, x0[rows], distribution, eps=eps, n_steps=n_steps, stop=stop, cond=own)
    return OdeSdeGap(distance, floor, score, flow[:half], noisy)


def flow_score(
    fields: Fields,
    x0: Tensor,
    base: Any,
    *,
    eps: Any = 1.0,
    n_steps: int = 100,
    stop: float = 1.0,
    cond: Condition = None,
) -> FlowScore:
    """Carry the score of the flow's own distribution along its trajectories, and compare the learnt score with it.

    Args:
        fields: Velocity and score.
        x0: Draws of ``base``, ``(B, *D)``.
        base: Distribution at t = 0, with ``score``.
        eps: Noise level of the SDE that the flow is held against.
        n_steps: Steps of Runge's fourth-order method.
        stop: Last time, in (0, 1].
        cond: Condition, one row per start.
    """
    solver, grid = get_solver("rk4"), uniform_grid(n_steps, stop=stop)
    assert isinstance(solver, RungeKutta)
    noise = as_noise(eps)
    if noise is None:
        raise invalid("flow_score", "eps must be > 0", eps)
    level = NoiseTable(noise, fields.path, grid, cap=True).used(torch.from_numpy(grid))
    velocity = fields.velocity_of(cond)
    rows: list[tuple[float, float, float]] = []

    def rate(pair: Tensor, t: Tensor) -> Tensor:
        x, p = pair.unbind(1)

        def along(y: Tensor) -> Tensor:
            b, spread = divergence(lambda z: velocity(z, t), y, mode="reverse")
            return spread + sum_event(b * p)

        with torch.no_grad():
            return torch.stack([velocity(x, t), -gradient(along, x)], 1)

    def note(step: int, t: Tensor, pair: Tensor) -> None:
        x, p = pair.unbind(1)
        with torch.no_grad():
            gap = sum_event((p - fields.evaluate(x, t, ("score",), cond)["score"]).double().square())
            steepest = _expansion(fields, x, t, float(level[step]), cond)
        rows.append((float(gap.mean()), float(gap.std()) / math.sqrt(len(gap)), steepest))

    start = torch.stack([x0, base.score(x0)], 1)
    note(0, torch.zeros((), dtype=torch.float64 if x0.dtype == torch.float64 else torch.float32), start)
    integrate_fixed(rate, start, grid, solver, on_step=note)
    squared, error, expansion = torch.tensor(rows, dtype=torch.float64).unbind(1)
    return FlowScore(torch.from_numpy(grid), squared, error, expansion, level.double())


def _expansion(fields: Fields, x: Tensor, t: Tensor, eps: float, cond: Condition) -> float:
    """Largest eigenvalue of the symmetric part of the Jacobian of ``b + eps s`` over some states."""
    rows = slice(min(len(x), _ROWS))
    own = take_rows(cond, rows)

    def drift(y: Tensor) -> Tensor:
        values = fields.evaluate(y, t, ("velocity", "score"), own)
        return values["velocity"] + eps * values["score"]

    _, found = jacobian(drift, x[rows])
    return float(torch.linalg.eigvalsh((found + found.mT).double() / 2).max())
