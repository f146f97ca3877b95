"""Density gap: the learnt log density against the density of the flow's own samples.

Letters: u learnt log density, b its velocity, q the distribution of the flow started from the base, ``R`` the residual
of :mod:`interpolants.fields.continuity`. Along a trajectory ``d/dt u = R - div b`` and ``d/dt log q = -div b``, hence

``u(x_1, 1) - log q_1(x_1) = u(x_0, 0) - log base(x_0) + int_0^1 R(x_t, t) dt``.

The left side is the mismatch, the first terms on the right that at the start: zero where u is normalised there. The
same holds at any earlier time instead of t = 1; a diffusion that is learnt up to a little noise is judged there.

Source: Deveney et al. (2023), arXiv:2311.15996, for the residual; the identity derived anew, for any path.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.grids import time_grid
from interpolants.fields.continuity import Trace, continuity_residual
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import number
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import batch_time
from interpolants.foundations.types import Condition, Field, take_rows
from interpolants.likelihood.log_prob import log_prob
from interpolants.solvers.adaptive import integrate_adaptive
from interpolants.solvers.registry import get_solver
from interpolants.solvers.tableau import RungeKutta

# The rate of u is asked for at times clipped to this distance from the ends, where it may be infinite.
MARGIN = 1e-7


@dataclass(frozen=True)
class Mismatch:
    """``u - log q`` at some points, and where it comes from; nats, one entry per point.

    Attributes:
        value: ``u(x, t) - log q_t(x)``, ``(B,)``.
        start: ``u(x_0, 0) - log base(x_0)`` where the flow started, ``(B,)``.
        log_prob: ``log q_t(x)``, ``(B,)``.
    """

    value: Tensor
    start: Tensor
    log_prob: Tensor

    @property
    def accumulated(self) -> Tensor:
        """The residual accumulated on the way, by the identity, ``(B,)``."""
        return self.value - self.start

    @property
    def spread(self) -> float:
        """Standard deviation of the mismatch over the points: what no constant in u explains."""
        return float(self.value.std())


def log_density_mismatch(
    fields: Fields,
    x: Tensor,
    base: Any = None,
    *,
    stop: float = 1.0,
    cond: Condition = None,
    **options: Any,
) -> Mismatch:
    """Compare a model's own log density with that of the samples of its flow.

    Args:
        fields: Fields that know their log density: ``LearnedFields(path, log_density=...)``.
        x: Points ``(B, *D)`` at the time ``stop``; draws of ``path.sample`` for a figure over the data.
        base: Distribution of rho0 with ``log_prob``; the path's own when None.
        stop: Time of the comparison, in (0, 1].
        cond: Condition, one row per point.
        options: Anything else that ``likelihood.log_prob`` takes, but the times.

    Raises:
        InvalidInputError: If the fields do not know a log density, there is no base, or the time is out of range.
    """
    number("log_density_mismatch", "stop", stop, above=0, at_most=1)
    u = _density(fields, cond, "log_density_mismatch")
    distribution = fields.path.base if base is None and fields.path is not None else base
    if distribution is None:
        raise invalid("log_density_mismatch", "base must be passed for a two-sided path", "None")
    if stop < 1:
        options["time_grid"] = time_grid(options.get("n_steps", 100), stop=stop)
    found = log_prob(fields, x, distribution, cond=cond, **options)
    with torch.no_grad():
        value = u(x, batch_time(stop, x)) - found.log_prob
        start = u(found.x, batch_time(0.0, x)) - distribution.log_prob(found.x)
    return Mismatch(value, start, found.log_prob)


def accumulated_residual(
    fields: Fields,
    x: Tensor,
    *,
    stop: float = 1.0,
    cond: Condition = None,
    rtol: float = 1e-6,
    atol: float = 1e-6,
    trace: Trace | None = None,
) -> Tensor:
    """``int R(x_t, t) dt`` from 0 to ``stop`` along the flow that is at ``x (B, *D)`` there; ``(B,)``, in nats.

    Args:
        fields: Fields that know their log density.
        x: Points at the time ``stop``.
        stop: Last time, in (0, 1].
        cond: Condition, one row per point.
        rtol: Relative tolerance per sample.
        atol: Absolute tolerance per sample, in data units and nats.
        trace: How the divergence is taken.

    Raises:
        InvalidInputError: If the fields do not know a log density, or the time is out of range.
    """
    number("accumulated_residual", "stop", stop, above=0, at_most=1)
    _density(fields, cond, "accumulated_residual")
    path, lanes = fields.path, [torch.arange(len(x), device=x.device)]
    assert path is not None

    def rate(y: Tensor, when: Tensor, want: bool) -> tuple[Tensor, Tensor | None]:
        own = take_rows(cond, lanes[0])
        velocity = fields.velocity_of(own)
        if not want:
            return velocity(y, when), None
        inside, u = when.clamp(MARGIN, 1 - MARGIN), _density(fields, own, "accumulated_residual")

        def density(x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
            return u(x, t)

        def moving(x: Tensor, t: Tensor, cond: Condition = None) -> Tensor:
            return velocity(x, when)

        beside: dict[str, Field] = {"velocity": moving}
        found = continuity_residual(path, density, y, inside, beside=beside, trace=trace)
        return found.velocity, found.mean

    solver = get_solver("dopri5")
    assert isinstance(solver, RungeKutta)
    with torch.no_grad():
        done = integrate_adaptive(
            rate, x, stop, 0.0, solver, rtol=rtol, atol=atol, quadrature=True,
            on_lanes=lambda rows: lanes.__setitem__(0, rows),
        )  # fmt: skip
    assert done.q is not None
    return -done.q  # integrated downwards


def _density(fields: Fields, cond: Condition, who: str) -> Callable[[Tensor, Tensor], Tensor]:
    u = fields.log_density_of(cond)
    if u is None:
        remedy = "Learn one: LearnedFields(path, log_density=LogDensity(...))."
        raise invalid(who, "the fields must have a log density", type(fields).__name__, remedy)
    return u
