"""Experts with exponents and a reward: the components of a target distribution."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from interpolants.fields.protocol import Fields, LogDensities
from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import NotIdentifiableError, invalid
from interpolants.foundations.types import Condition
from interpolants.nets.embeddings import null_condition
from interpolants.paths.path import Path, SpatiallyLinearPath

Schedule: TypeAlias = float | Callable[[Tensor], Tensor]
# For the rates of schedules, central differences in float64.
_HAIR = 1e-6


@dataclass(frozen=True)
class Expert:
    """One factor ``q^beta`` of a target.

    Attributes:
        fields: Velocity and score of q.
        beta: Exponent, a number or a function of t; a function needs fields with a ``log_prob(x, t)``.
        cond: Condition of the fields, one row per particle.
    """

    fields: Fields
    beta: Schedule = 1.0
    cond: Condition = None


@dataclass(frozen=True)
class Reward(Checked):
    """A factor ``exp(lambda(t) r(x))`` of a target."""

    function: Callable[[Tensor], Tensor]
    """``r(x)``, ``(B, *D) -> (B,)`` in nats, differentiable."""
    schedule: Callable[[Tensor], Tensor] = field(default=lambda t: t)
    """``lambda(t)``, 0 at the start, where the distribution is to stay as it is; at its end the strength. By default it
    grows as t."""


def annealed(fields: Fields, beta: Schedule, cond: Condition = None) -> list[Expert]:
    """The target ``q^beta``: colder for ``beta > 1``."""
    return [Expert(fields, beta, cond)]


def guided(fields: Fields, cond: Condition, strength: Schedule) -> list[Expert]:
    """The target ``q(x)^(1 - w) q(x | cond)^w`` of classifier-free guidance, from fields that know a null condition."""
    rest: Schedule = (lambda t: 1 - strength(t)) if callable(strength) else 1 - strength
    return [Expert(fields, rest, null_condition(cond)), Expert(fields, strength, cond)]


def product(*fields: Fields, beta: Schedule = 1.0) -> list[Expert]:
    """The target ``(q_1 q_2 ...)^beta``."""
    return [Expert(one, beta) for one in fields]


def value_of(schedule: Schedule, t: float) -> float:
    """Value of a schedule."""
    return float(schedule(torch.tensor(t, dtype=torch.float64))) if callable(schedule) else float(schedule)


def rate_of(schedule: Schedule, t: float) -> float:
    """Rate of a schedule, zero for a number."""
    if not callable(schedule):
        return 0.0
    low, high = max(0.0, t - _HAIR), min(1.0, t + _HAIR)
    return (value_of(schedule, high) - value_of(schedule, low)) / (high - low)


def total_of(experts: Sequence[Expert], t: float) -> float:
    """B, the sum of the exponents."""
    return sum(value_of(expert.beta, t) for expert in experts)


def check_experts(who: str, experts: Any, times: Sequence[float]) -> tuple[list[Expert], Path]:
    """Experts from experts or tuples ``(fields, beta[, cond])``, and their common path.

    Raises:
        InvalidInputError: If there is none, paths differ, or the exponents do not make a distribution at all times.
        NotIdentifiableError: If an expert has no score.
    """
    if isinstance(experts, str) or not isinstance(experts, Sequence) or not experts:
        found = "none" if isinstance(experts, Sequence) and not experts else type(experts).__name__
        raise invalid(who, "experts must be a list of (fields, beta)", found, "E.g. [(fields, 2.0)].")
    made = [_expert(who, one) for one in experts]
    path = made[0].fields.path
    if path is None:
        raise invalid(who, "fields must have a path", "none")
    for number, expert in enumerate(made):
        rule = f"all experts must share one path; expert {number} has another"
        remedy = "Experts are multiplied at each time, so x_t must mean the same to all of them."
        check_path(who, path, expert.fields.path, rule, remedy)
        if not expert.fields.has_score:
            what = f"expert {number} has none"
            raise NotIdentifiableError(f"{who}: every expert needs a score, {what}. Learn the noise too.")
        if callable(expert.beta) and not isinstance(expert.fields, LogDensities):
            remedy = "Its rate adds beta' log q to the weights: take a number, or fields with a density."
            rule = "a beta that is a function of t needs fields with log_prob(x, t)"
            raise invalid(who, rule, type(expert.fields).__name__, remedy)
    for t in times:
        total = total_of(made, t)
        if not (math.isfinite(total) and total > 0):
            remedy = "A power of the start distribution has no integral otherwise."
            raise invalid(who, f"the betas must have a finite sum > 0 at t={t:.4g}", total, remedy)
    return made, path


def _expert(who: str, one: Any) -> Expert:
    if isinstance(one, Expert):
        return one
    if isinstance(one, tuple | list) and 2 <= len(one) <= 3 and isinstance(one[0], Fields):
        return Expert(*one)
    found = f"{len(one)} parts" if isinstance(one, tuple | list) else type(one).__name__
    raise invalid(who, "an expert must be (fields, beta) or (fields, beta, cond)", found)


def check_path(who: str, path: Path, other: Path | None, rule: str, remedy: str) -> None:
    """Paths are one if they are equal, or have the same coefficients and base.

    Raises:
        InvalidInputError: If they are not, by ``rule`` and ``remedy``.
    """
    if other is path or (type(other) is type(path) and other == path):
        return
    if not isinstance(path, SpatiallyLinearPath) or not isinstance(other, SpatiallyLinearPath):
        raise invalid(who, rule, f"{type(path).__name__} and {type(other).__name__}", remedy)
    t = torch.linspace(0, 1, 17, dtype=torch.float64)
    for name in ("alpha", "beta", "gamma"):
        first, second = (getattr(p.envelope if name == "gamma" else p, name)(t) for p in (path, other))
        gap = float((first - second).abs().max())
        if not gap <= 1e-6:
            raise invalid(who, rule, f"a {name} that differs by {gap:.3g}", remedy)
    bases = [None if p.base is None else p.base.describe() for p in (path, other)]
    if bases[0] != bases[1]:
        raise invalid(who, rule, f"base {other.base!r} beside {path.base!r}", remedy)
