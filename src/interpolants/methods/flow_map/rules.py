"""Training rules of flow maps: what an average velocity must satisfy, as a residual per sample.

A flow map carries a state of the probability flow from time s to time t, forwards or backwards. It is written with its
average velocity v, whose diagonal is the velocity of the flow:

    X_{s,t}(x) = x + (t - s) v_{s,t}(x),    v_{t,t} = b(t).

Each rule is one characterisation of the flow map, with b replaced by the network's own diagonal (self-distillation) or
by the rate of the interpolant:

* lagrangian: ``d/dt X_{s,t}(x) = b(t, X_{s,t}(x))``
* eulerian: ``d/ds X_{s,t}(x) + (b(s, x) . grad) X_{s,t}(x) = 0``, solved for the v that is not differentiated
* mean_velocity: the eulerian rule with the sample's rate in place of b, right on average because b enters linearly
* semigroup: ``X_{u,t}(X_{s,u}(x)) = X_{s,t}(x)`` with u half way, so no derivatives

Letters: ``D = d/ds + (rate . grad)`` the derivative along a moving start; sg(.) a value whose gradient is stopped.

Source: Boffi, Albergo & Vanden-Eijnden (2024), arXiv:2406.07507, and (2025), arXiv:2505.18825; mean velocity: Geng et
al. (2025), arXiv:2505.13447.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from interpolants.foundations.ops import expand_like, sum_event

AverageVelocity = Callable[[Tensor, Tensor, Tensor], Tensor]
Rule = Callable[[AverageVelocity, Tensor, Tensor, Tensor, Tensor], Tensor]


def jump(v: AverageVelocity, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """The flow map ``X_{s,t}(x)``: ``x (B, *D)``, times ``(B,)`` -> ``(B, *D)``."""
    return x + expand_like(t - s, x) * v(x, s, t)


def diagonal(v: AverageVelocity, x: Tensor, rate: Tensor, t: Tensor) -> Tensor:
    """``|v_{t,t}(x) - rate|^2``, ``(B,)``: the interpolant's velocity loss, which every rule needs beside it."""
    return sum_event((v(x, t, t) - rate).square())


def lagrangian(v: AverageVelocity, x: Tensor, rate: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """``|d/dt X_{s,t}(x) - sg(v_{t,t}(X_{s,t}(x)))|^2``, ``(B,)``."""
    moved, speed = _jvp(lambda end: jump(v, x, s, end), (t,), (torch.ones_like(t),))
    return sum_event((speed - _fixed(v, moved.detach(), t, t)).square())


def eulerian(v: AverageVelocity, x: Tensor, rate: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """``|v_{s,t}(x) - sg(b + (t - s) D v_{s,t}(x))|^2`` with ``b = v_{s,s}(x)``, ``(B,)``."""
    return _along(v, x, _fixed(v, x, s, s), s, t)


def mean_velocity(v: AverageVelocity, x: Tensor, rate: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """``|v_{s,t}(x) - sg(rate + (t - s) D v_{s,t}(x))|^2``, ``(B,)``; not zero at its minimum, as the rate varies."""
    return _along(v, x, rate, s, t)


def semigroup(v: AverageVelocity, x: Tensor, rate: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """``|v_{s,t}(x) - sg((v_{s,u}(x) + v_{u,t}(X_{s,u}(x))) / 2)|^2`` with ``u = (s + t) / 2``, ``(B,)``."""
    middle = (s + t) / 2
    first = _fixed(v, x, s, middle)
    second = _fixed(v, x + expand_like(middle - s, x) * first, middle, t)
    return sum_event((v(x, s, t) - (first + second) / 2).square())


def _along(v: AverageVelocity, x: Tensor, rate: Tensor, s: Tensor, t: Tensor) -> Tensor:
    value, slope = _jvp(lambda point, start: v(point, start, t), (x, s), (rate, torch.ones_like(s)))
    return sum_event((value - (rate + expand_like(t - s, x) * slope.detach())).square())


def _jvp(
    function: Callable[..., Tensor], at: tuple[Tensor, ...], along: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """Value and directional derivative."""
    found = torch.func.jvp(function, at, along)
    return found[0], found[1]


def _fixed(v: AverageVelocity, x: Tensor, s: Tensor, t: Tensor) -> Tensor:
    with torch.no_grad():
        return v(x, s, t)


RULES: dict[str, Rule] = {
    "lagrangian": lagrangian,
    "eulerian": eulerian,
    "semigroup": semigroup,
    "mean_velocity": mean_velocity,
}
