"""Residual of the continuity equation for a log density and a velocity field.

Letters: b velocity, s score, u log density; ``R`` residual in nats per unit of time. The distribution of ``x_t`` moves
with b,

    ``d/dt rho + div(b rho) = 0``,  so that  ``R = du/dt + div b + b . grad u``  vanishes for ``u = log rho``.

On a one-sided path b itself follows from the score, ``b = F + G s`` with ``F = (beta'/beta) x + ...`` and
``2 G = g^2 C`` (C covariance of the base), and R is the residual of the Fokker-Planck equation of the diffusion whose
distributions these are: the forward one has drift ``f = -F`` and noise g in the time ``1 - t``,

    ``R = du/dt + div F + F . grad u + (g^2/2) (lap u + |grad u|^2)``  for ``C = Id``.

The relations of a path turn the score into b, whatever the path; where they need a second field, it is given. Along
the flow of b, ``d/dt (u - log q) = R`` for the distribution q of the flow that starts from any distribution: R
accumulates to the mismatch between the model's own log density and that of its samples.

The gradient of R asks for no potential, only for a score: ``grad R = ds/dt + grad(div b + b . s)`` for ``s = grad u``.

Source: Deveney et al. (2023), arXiv:2311.15996; Lai et al. (2023), arXiv:2210.04296, for the equation of the score;
derived anew for every path.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from interpolants.fields.conversions import derive
from interpolants.foundations.checks import one_of, whole
from interpolants.foundations.derivatives import (
    Velocity,
    exact_divergence,
    gradient,
    probed_divergence,
    random_signs,
    value_and_gradient,
)
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import batch_time, sum_event
from interpolants.foundations.types import Condition, Field
from interpolants.paths.path import Path

DIVERGENCES = ("auto", "exact", "hutchinson")
# Up to this many entries a divergence is taken exactly unless told otherwise.
EXACT_UP_TO = 10


@dataclass(frozen=True)
class Trace:
    """Divergence estimator: exact, or by random probes.

    Args:
        divergence: ``"exact"``, ``"hutchinson"``, or ``"auto"``: exact up to 10 entries.
        probes: Random signs per state of Hutchinson's estimate, >= 1.

    Raises:
        InvalidInputError: If the kind is unknown or there are no probes.
    """

    divergence: str = "auto"
    probes: int = 2

    def __post_init__(self) -> None:
        one_of("divergence", "method", self.divergence, DIVERGENCES)
        whole("divergence", "probes", self.probes, at_least=1)

    def count(self, x: Tensor) -> int:
        """Probes for states ``x (B, *D)``; 0 for an exact divergence."""
        exact = self.divergence == "exact" or (self.divergence == "auto" and x[0].numel() <= EXACT_UP_TO)
        return 0 if exact else self.probes


@dataclass(frozen=True)
class Residual:
    """A residual with what it was made of.

    Attributes:
        value: R, ``(B,)`` for an exact divergence, else ``(B, K)``, one independent estimate per probe.
        velocity: b, ``(B, *D)``.
        score: ``grad u``, ``(B, *D)``.
    """

    value: Tensor
    velocity: Tensor
    score: Tensor

    @property
    def mean(self) -> Tensor:
        """R, the mean over probes if there are any, ``(B,)``."""
        return self.value if self.value.ndim == 1 else self.value.mean(1)

    @property
    def square(self) -> Tensor:
        """``R^2``, ``(B,)``; without bias from two probes on: the mean product of different ones, which may be < 0."""
        if self.value.ndim == 1:
            return self.value.square()
        k = self.value.shape[1]
        if k == 1:
            return self.value[:, 0].square()
        return (self.value.sum(1).square() - self.value.square().sum(1)) / (k * (k - 1))


def continuity_residual(
    path: Path,
    log_density: Field,
    x: Tensor,
    t: Tensor | float,
    cond: Condition = None,
    *,
    beside: Mapping[str, Field] | None = None,
    trace: Trace | None = None,
    generator: Generator | None = None,
) -> Residual:
    """``R = du/dt + div b + b . grad u`` at states ``x (B, *D)`` and times ``t``, 0-d or ``(B,)``.

    Args:
        path: The interpolant.
        log_density: u, called as ``u(x, t, cond) -> (B,)``; smooth.
        x: States.
        t: Times, inside (0, 1) where the path's rates are finite.
        cond: Condition, one row per state.
        beside: Other fields by quantity, from which together with the score the velocity follows (e.g. the mean rate
            of a two-sided path), or the velocity itself; nothing on one-sided and mirror paths.
        trace: How the divergence is taken.
        generator: Source of the probes.

    Returns:
        The residual; differentiable where gradients are on.

    Raises:
        InvalidInputError: If u is not a scalar per row.
        NotIdentifiableError: If the velocity does not follow.
    """
    time, others = batch_time(t, x), beside or {}
    seen: list[tuple[Tensor, Tensor]] = []

    def scalar(point: Tensor, when: Tensor) -> Tensor:
        value = log_density(point, when, cond)
        if value.shape != (x.shape[0],):
            remedy = "A score has no potential to take the rate of: use the residual of the score instead."
            rule = f"the log density must have shape ({x.shape[0]},)"
            raise invalid("continuity_residual", rule, tuple(value.shape), remedy)
        return value

    def velocity(point: Tensor) -> Tensor:
        _, (score, rate) = value_and_gradient(scalar, point, time)
        seen.append((score, rate))
        known = {"score": score, **{name: field(point, time, cond) for name, field in others.items()}}
        return derive(path, known, ("velocity",), point, time)["velocity"]

    b, spread = _traced(velocity, x, trace or Trace(), generator)
    ((score, rate),) = seen
    drift = rate + sum_event(b * score)
    value = spread + (drift if spread.ndim == 1 else drift[:, None])
    if not torch.is_grad_enabled():
        value, b, score = value.detach(), b.detach(), score.detach()
    return Residual(value, b, score)


def score_residual(
    path: Path,
    field: Field,
    x: Tensor,
    t: Tensor | float,
    cond: Condition = None,
    *,
    of: str = "score",
    trace: Trace | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """``ds/dt + grad(div b + b . s)``, ``(B, *D)``: zero for the score of a distribution that moves with b.

    Args:
        path: An interpolant whose velocity follows from the score: one-sided, or a mirror.
        field: A field ``f(x, t, cond)`` that gives the score: the score itself, the noise, a velocity ...
        x: States ``(B, *D)``.
        t: Times, 0-d or ``(B,)``, inside (0, 1).
        cond: Condition, one row per state.
        of: Which quantity the field is.
        trace: How the divergence is taken; without bias for any number of probes.
        generator: Source of the probes.

    Raises:
        NotIdentifiableError: If score or velocity do not follow.
    """
    time, how = batch_time(t, x), trace or Trace()

    def both(point: Tensor, when: Tensor) -> dict[str, Tensor]:
        return derive(path, {of: field(point, when, cond)}, ("score", "velocity"), point, when)

    def energy(point: Tensor) -> Tensor:
        kept: list[Tensor] = []

        def velocity(y: Tensor) -> Tensor:
            values = both(y, time)
            kept.append(values["score"])
            return values["velocity"]

        b, spread = _traced(velocity, point, how, generator)
        return (spread if spread.ndim == 1 else spread.mean(1)) + sum_event(b * kept[0])

    moving: Tensor = torch.func.jvp(
        lambda when: both(x, when)["score"], (time.contiguous(),), (torch.ones_like(time),)
    )[1]
    return moving + gradient(energy, x)


def _traced(field: Velocity, x: Tensor, trace: Trace, generator: Generator | None) -> tuple[Tensor, Tensor]:
    """A field and its divergence, ``(B,)`` or one column per probe; the field is called once."""
    count = trace.count(x)
    if not count:
        return exact_divergence(field, x, mode="reverse")
    return probed_divergence(field, x, random_signs(x, count, generator))
