"""Exponential tilts ``p_a ∝ p exp(a r)`` of a distribution p, estimated from rewards of draws of p.

Notation: r rewards ``(n,)`` float64 of independent draws of p; a >= 0 the strength; ``K(a) = log E_0 exp(a r)``.
Rewards have no unit, KL divergences are in nats. Identities of the exponential family: ``E_a r = K'(a)``,
``Var_a r = K''(a)``,
``KL(p_a || p) = a K'(a) - K(a)``, whose slope ``a Var_a r`` is >= 0. The effective fraction of the draws,
``(E_0 w)^2 / E_0 w^2 = exp(2 K(a) - K(2a))``, falls with a because K' grows. Hence both limits are found by bisection.
The identities hold for the empirical distribution of the draws too.

Source: Potaptchik, Lee & Albergo (2025), arXiv:2512.21829, for the tilt; the rest is textbook.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from interpolants.metrics.estimate import Estimate

# Halvings of an interval of strengths.
_HALVINGS = 60


def weights_of(rewards: Tensor, strength: float) -> Tensor:
    """Weights ``exp(a r)`` of the draws with mean 1, ``(n,)``; rewards of any size do not overflow."""
    return len(rewards) * torch.softmax(strength * rewards.double(), 0)


def effective_fraction(rewards: Tensor, strength: float) -> float:
    """Effective number of the weighted draws (Kish), as a fraction of n."""
    return 1 / float(weights_of(rewards, strength).square().mean())


def tilted_mean(rewards: Tensor, strength: float, values: Tensor | None = None) -> Estimate:
    """Mean of values under the tilt, by default of the rewards: ``E_a r``.

    The error is that of a ratio of means (delta method).

    Args:
        rewards: ``(n,)``.
        strength: a.
        values: ``(n,)``; None for the rewards.
    """
    values = rewards.double() if values is None else values.double()
    weights = weights_of(rewards, strength)
    mean = (weights * values).mean()
    error = (weights * (values - mean)).square().mean().sqrt() / math.sqrt(len(values))
    return Estimate(float(mean), float(error), len(values), "mean under the tilt")


def tilt_kl(rewards: Tensor, strength: float) -> Estimate:
    """``KL(p_a || p) = a E_a r - log E_0 exp(a r)`` in nats.

    The error is the standard deviation of the influence of one draw, ``a w (r - E_a r) - (w - 1)``, over ``sqrt(n)``.
    """
    r, weights = rewards.double(), weights_of(rewards, strength)
    mean = (weights * r).mean()
    log_z = torch.logsumexp(strength * r, 0) - math.log(len(r))
    influence = strength * weights * (r - mean) - (weights - 1)
    error = influence.square().mean().sqrt() / math.sqrt(len(r))
    return Estimate(max(0.0, float(strength * mean - log_z)), float(error), len(r), "KL(p_a || p)")


def largest_strength(holds: Callable[[float], bool], strength: float) -> float:
    """The largest strength up to ``strength`` at which a condition holds.

    It is true at 0 and false above a certain strength.

    Args:
        holds: The condition.
        strength: The largest value of interest.
    """
    if holds(strength):
        return strength
    low, high = 0.0, strength
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def frontier(rewards: Tensor, strength: float, points: int = 33) -> tuple[Tensor, Tensor]:
    """KL divergence and mean reward of the tilts from strength 0 to ``strength``, two ``(points,)`` float64.

    No distribution has more reward at the same KL divergence.
    """
    strengths = torch.linspace(0, strength, points, dtype=torch.float64).tolist()
    kl = [tilt_kl(rewards, a).value for a in strengths]
    reward = [tilted_mean(rewards, a).value for a in strengths]
    return torch.tensor(kl, dtype=torch.float64), torch.tensor(reward, dtype=torch.float64)


def least_kl(rewards: Tensor, reward: float) -> float:
    """The smallest ``KL(q || p)`` of any q with a mean reward: ``sup_a a R - K(a)`` over real a, in nats.

    It is infinite outside the range of the rewards of the draws.

    Args:
        rewards: ``(n,)``.
        reward: R.

    Source: Donsker & Varadhan (1975).
    """
    r = rewards.double()
    if not float(r.min()) < reward < float(r.max()):
        return math.inf
    sign = 1.0 if reward >= float(r.mean()) else -1.0
    # E_a r grows with a and passes R: double a until it does.
    end = 1 / float(r.std())
    while float((weights_of(sign * r, end) * r).mean() * sign) < sign * reward and end < 1e12:
        end *= 2
    a = sign * largest_strength(
        lambda s: float((weights_of(sign * r, s) * sign * r).mean()) <= sign * reward, end
    )
    return max(0.0, a * reward - float(torch.logsumexp(a * r, 0)) + math.log(len(r)))
