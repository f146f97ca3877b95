"""Weighted flows to tilted targets: powers, geometric averages, products and rewards.

Letters: experts q_i with velocities b_i and scores s_i, so that ``q_i' = -div(b_i q_i)``; exponents ``beta_i`` with sum
B; the target ``p ∝ prod q_i^beta_i exp(lambda r)`` with a reward r; its score ``S = sum beta_i s_i + lambda grad r``; a
reference flow ``l``; the rate W of the log weights; eps the noise level.

Particles with drift u, noise ``sqrt(2 eps) dW`` and ``d log w = W dt`` have the distribution p if and only if, up to a
constant,

    W = (log p)' + div u + u.S - eps (div S + |S|^2).

With ``u = T + eps S`` every term in eps cancels, whatever eps is. The choice ``T = l + sum beta_i (b_i - l)`` cancels
all divergences but that of l:

    W = sum beta_i (b_i - l).(S - s_i) + lambda' r + lambda l.grad r + (1 - B) div l + sum beta_i' log q_i.

This holds for every interpolant, one-sided or between two distributions, and for every field l, which is free
(``guidance.references``):

* where B = 1 (guidance, geometric averages) l cancels, and there is no divergence at all;
* ``"score"``: l is the linear drift of a one-sided path, ``(beta'/beta) x``. Then ``b_i - l = (g^2/2) s_i`` and W is
  ``(g^2/2) (|S|^2 - sum beta_i |s_i|^2)`` up to a constant;
* ``"pf"``: l is the mean velocity ``sum beta_i b_i / B``. One divergence; W is constant for one Gaussian expert;
* ``GaussianFlow``: l is the flow of a Gaussian with the ends' moments, linear in x.

With just these terms the mean weight is the ratio of the integrals of ``prod q_i^beta_i exp(lambda r)`` at the ends.

Source: Skreta et al. (2025), arXiv:2503.02819, for one-sided paths and the score's transport. The formula for every
interpolant, without the Laplacian of a reward, and the other transports are ours.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from interpolants.dynamics.noise import NoiseTable
from interpolants.fields.protocol import weighted_sum
from interpolants.foundations.clock import number_of
from interpolants.foundations.derivatives import value_and_gradient
from interpolants.foundations.ops import sum_event
from interpolants.guidance.experts import Expert, Reward, Schedule, rate_of, value_of
from interpolants.guidance.references import Reference


@dataclass
class Flow:
    """Drift and weight rate of a target's particles at a point.

    Attributes:
        transport: T, ``(B, *D)``.
        score: S, ``(B, *D)``.
        push: ``eps S``, ``(B, *D)``; None where eps = 0.
        rate: W, ``(B,)``, without what is uniform.
    """

    transport: Tensor
    score: Tensor
    push: Tensor | None
    rate: Tensor


class Target:
    """``p ∝ prod q_i^beta_i exp(lambda r)`` at every time.

    Args:
        experts: Checked experts.
        reference: The free field l.
        reward: The reward, if any.
        table: Noise level; None for eps = 0.
    """

    def __init__(
        self, experts: Sequence[Expert], reference: Reference, reward: Reward | None, table: NoiseTable | None
    ) -> None:
        self.experts, self.reference, self.reward, self.table = experts, reference, reward, table
        self.scheduled = any(callable(expert.beta) for expert in experts)

    def flow(self, x: Tensor, t: Tensor) -> Flow:
        """Transport, score and rate of the weights at states ``(B, *D)`` and a 0-d time."""
        betas = self._at(t, value_of)
        velocities, scores, pushes = self._evaluate(x, t)
        reference, spread = self.reference.at(x, t, velocities, betas)
        apart = [velocity - reference for velocity in velocities]
        score, push = _mixed(scores, betas), _mixed(pushes, betas) if pushes else None
        rate = x.new_zeros(x.shape[0])
        if self.reward is not None:
            value, (slope,) = value_and_gradient(self.reward.function, x)
            strength, growth = (f(self.reward.schedule, number_of(t)) for f in (value_of, rate_of))
            score = score + strength * slope
            if push is not None and self.table is not None:
                push = push + (strength * self.table.weight(t, of_score=True)) * slope
            rate = growth * value + strength * sum_event(reference * slope)
        for beta, gap, own in zip(betas, apart, scores, strict=True):
            rate = rate + beta * sum_event(gap * (score - own))
        if spread is not None:
            rate = rate + (1 - math.fsum(betas)) * spread
        if self.scheduled:
            rate = rate + self._growth(x, t)
        return Flow(reference + _mixed(apart, betas), score, push, rate)

    def _evaluate(self, x: Tensor, t: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Velocity, score and ``eps s`` of each expert, one evaluation each."""
        velocities, scores, pushes = [], [], []
        for expert in self.experts:
            fields = expert.fields
            values = fields.evaluate(x, t, ("velocity", "score", fields.bounded_quantity), expert.cond)
            velocities.append(values["velocity"])
            scores.append(values["score"])
            if self.table is not None:
                pushes.append(self.table.eps_score(fields, values[fields.bounded_quantity], t))
        return velocities, scores, pushes

    def _growth(self, x: Tensor, t: Tensor) -> Tensor:
        """``sum beta_i' log q_i``."""
        densities: list[Any] = [expert.fields for expert in self.experts]
        logs = [fields.log_prob(x, t) for fields in densities]
        return _mixed(logs, self._at(t, rate_of))

    def _at(self, t: Tensor, what: Callable[[Schedule, float], float]) -> list[float]:
        # The time is read back only where something depends on it: elsewhere the read would stall the queue.
        time = number_of(t) if self.scheduled else 0.0
        return [what(expert.beta, time) for expert in self.experts]


def _mixed(values: Sequence[Tensor], betas: Sequence[float]) -> Tensor:
    return weighted_sum(list(zip(values, betas, strict=True)))
