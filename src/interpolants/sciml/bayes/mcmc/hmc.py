"""Hamiltonian Monte Carlo: exact up to the length of the chains, at the price of gradients of all data."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Interval
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.kinds import Count, Positive

State = dict[str, Any]
Potential = Callable[[Tensor], tuple[Tensor, Tensor]]
_FORGET = 0.75  # exponent with which the adaptation of the step slows down


@dataclass(frozen=True, kw_only=True)
class HMC(Checked):
    """Chains whose proposals follow Hamilton's equations by leapfrog steps, accepted by the error in the energy.

    Each chain learns its own step in the burn-in, so that ``target`` of its proposals are accepted; the number of
    leapfrog steps is drawn anew for each proposal from ``leaps / 2 ... leaps``, against periods.

    Raises:
        InvalidInputError: If a setting is out of range.

    Source: Neal (2011), MCMC using Hamiltonian dynamics, arXiv:1206.1901; step as in Andrieu & Thoms (2008).
    """

    step: Positive = 0.1
    """First leapfrog step."""
    leaps: Count = 20
    """Most leapfrog steps of a proposal."""
    target: Annotated[float, Interval(gt=0, lt=1)] = 0.8
    """Share of proposals to accept."""

    def start(self, w: Tensor, potential: Potential) -> State:
        """State of chains at ``w (chains, P)``; ``potential`` gives U ``(chains,)`` and its gradient."""
        value, slope = potential(w)
        log_step = torch.full_like(value, math.log(self.step))
        return {"w": w, "value": value, "slope": slope, "log_step": log_step, "seen": 0, "accepted": 0.0}

    def advance(
        self, state: Mapping[str, Any], potential: Potential, generator: Generator, *, adapt: bool = False
    ) -> State:
        """One proposal of every chain.

        Args:
            state: What :meth:`start` or this function gave.
            potential: As there.
            generator: Source of all randomness, on the CPU.
            adapt: Whether the step is learnt.
        """
        w = state["w"]
        momentum = torch.randn(w.shape, dtype=w.dtype, generator=generator).to(w.device)
        leaps = int(torch.randint((self.leaps + 1) // 2, self.leaps + 1, (), generator=generator))
        step = state["log_step"].exp()[:, None]
        new, end, value, slope = _leapfrog(state, momentum, step, leaps, potential)
        before = state["value"] + 0.5 * momentum.square().sum(1)
        after = value + 0.5 * end.square().sum(1)
        chance = (before - after).clamp_max(0).exp().nan_to_num(0.0)  # an infinite energy is refused
        taken = torch.rand(chance.shape, dtype=chance.dtype, generator=generator).to(chance.device) < chance
        seen = state["seen"] + 1
        change = (chance - self.target) * 2 * seen**-_FORGET if adapt else torch.zeros_like(chance)
        return {
            "w": torch.where(taken[:, None], new, w),
            "value": torch.where(taken, value, state["value"]),
            "slope": torch.where(taken[:, None], slope, state["slope"]),
            "log_step": state["log_step"] + change,
            "seen": seen,
            "accepted": float(chance.mean()),
        }


def _leapfrog(
    state: Mapping[str, Any], p: Tensor, step: Tensor, leaps: int, potential: Potential
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Place, momentum, energy and gradient after some steps."""
    w, value, slope = state["w"], state["value"], state["slope"]
    for _ in range(leaps):
        p = p - 0.5 * step * slope
        w = w + step * p
        value, slope = potential(w)
        p = p - 0.5 * step * slope
    return w, p, value, slope
