"""The Schroedinger bridge by mixture potentials: no network, no simulation, both directions in closed form.

Forwards the potential ``v`` of x1 is learnt, backwards the potential ``u`` of x0: two plans,

    ``pi(x1 | x0) ~ exp(x0 . x1 / 2 eps) v(x1)``   and   ``pi(x0 | x1) ~ exp(x0 . x1 / 2 eps) u(x0)``.

At the optimum both are one coupling. Short of it, the two drifts that they give are still those of one process: the
exact bridge between the ends of ``u exp(x0 . x1 / 2 eps) v``, which are close to the data. Its score is ``(u_F -
u_B)/(2 eps)``.

What needs no simulation: ``x1`` given x0 and x0 given x1 are drawn from their conditionals, states between from
Brownian bridges. The kinetic energy is ``2 eps`` times the relative entropy of the plan to the reference (Girsanov),
and both densities are known.

Source: Korotin, Gushchin & Burnaev (2024), arXiv:2310.01174. Ours: the drift without division by ``1 - t``, the way
back, and the training (``couplings.light_training``).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.randomness import BlockNoise, generator
from interpolants.framework.capabilities import capability
from interpolants.framework.frames import constant_columns
from interpolants.framework.stages import Run
from interpolants.generative.schrodinger.bridge import (
    SchrodingerBridge,
    check_times,
    energy_and_residual,
    probe_count,
)
from interpolants.generative.schrodinger.couplings.light_coupling import PlanCoupling
from interpolants.generative.schrodinger.couplings.light_plan import LightPlan
from interpolants.generative.schrodinger.couplings.light_settings import LightTraining
from interpolants.generative.schrodinger.couplings.light_training import fit_light_plan
from interpolants.generative.schrodinger.drifts import DriftFields
from interpolants.objectives.times import StratifiedTimes

# Streams of one seed, beside those of ``dynamics``.
_LABEL_STREAM, _END_STREAM, _BETWEEN_STREAM = "light label", "light end", "light between"


class LightDrifts:
    """Both drifts of the process with potentials ``v`` at t = 1 and ``u`` at t = 0, as ``(x, t) -> (B, 2, *D)``.

    Args:
        plan: The plan from x0, with potential ``v``.
        reverse_plan: The plan from x1, with potential ``u``.
    """

    def __init__(self, plan: LightPlan, reverse_plan: LightPlan) -> None:
        self.plan, self.reverse_plan = plan, reverse_plan

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Forward and backward drift, data units per time, finite on all of [0, 1]."""
        flat = x.flatten(1)
        # Seen from x1 time runs the other way, and so does the drift.
        both = self.plan.drift(flat, t), -self.reverse_plan.drift(flat, 1 - t)
        return torch.stack(both, 1).reshape(x.shape[0], 2, *x.shape[1:])


class LightSB(SchrodingerBridge, LightTraining):
    """The Schroedinger bridge with noise ``sqrt(2 eps) dW`` by Gaussian-mixture potentials, in seconds on one core.

    The source's epsilon is ``2 eps``.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Korotin, Gushchin & Burnaev (2024), arXiv:2310.01174.
    """

    former: ClassVar[Mapping[str, str]] = {
        "training": "Its settings are those of the method, e.g. steps=.",
    }

    eps = 0.05

    def learn(self, data: dict[str, Any], run: Run) -> dict[str, Any]:
        """The potentials forwards and backwards."""
        _check_columns_vary(x0=data["x0"], x1=data["x1"])
        x0, x1 = self.ends(data)
        there = self._potential(run, "forwards", x0.flatten(1), x1.flatten(1))
        back = self._potential(run, "backwards", x1.flatten(1), x0.flatten(1))
        parts = {"plan": there["plan"], "reverse_plan": back["plan"]}
        heldout = [there["heldout"], back["heldout"]]
        numbers = self._judge(self._plan(parts["plan"]), self._plan(parts["reverse_plan"]), x0, x1)
        return self.solved(x0, numbers, **parts, heldout=heldout)

    def _potential(self, run: Run, stage: str, x0: Tensor, x1: Tensor) -> dict[str, Any]:
        own = LightTraining(**{f.name: getattr(self, f.name) for f in dataclasses.fields(LightTraining)})

        def solve(source: Generator) -> dict[str, Any]:
            found = fit_light_plan(x0, x1, eps=self.eps, settings=own)
            rows = [{name: float(value) for name, value in row.items()} for row in found.history]
            return {"plan": found.plan.parts(), "heldout": found.heldout, "rows": rows}

        made: dict[str, Any] = run.once(stage, solve)
        run.history[stage] = made["rows"]
        return made

    def _plan(self, parts: Mapping[str, Tensor]) -> LightPlan:
        return LightPlan(self.eps, **parts)

    @property
    def plan(self) -> LightPlan:
        """``pi(x1 | x0)`` on flattened states: density, moments, draws, potential at all times."""
        return self._plan(self.fitted_state("plan")["plan"])

    @property
    def reverse_plan(self) -> LightPlan:
        """``pi(x0 | x1)`` likewise."""
        return self._plan(self.fitted_state("reverse_plan")["reverse_plan"])

    @property
    def heldout_losses(self) -> tuple[float, float]:
        """Held-out losses of both plans, in nats; comparable on the same data with the same eps only."""
        there, back = self.fitted_state("heldout_losses")["heldout"]
        return there, back

    @property
    def fields(self) -> DriftFields:
        """Velocity, score and the rest, in data units."""
        return DriftFields(LightDrifts(self.plan, self.reverse_plan), self.eps)

    def carry(
        self, x: Tensor, *, reverse: bool = False, seed: int = 0, first: int = 0, **solver: Any
    ) -> Tensor:
        """Draws of x1 given x0 = x, or of x0 given x1 = x: exact, without steps.

        With ``eps`` (0 is the flow), ``n_steps`` or ``method`` the fields are integrated instead.
        """
        if any(option is not None for option in solver.values()):
            return super().carry(x, reverse=reverse, seed=seed, first=first, **solver)
        flat, plan = x.flatten(1), self.reverse_plan if reverse else self.plan
        label = _noise(seed, _LABEL_STREAM, (), flat, first).uniform()
        normal = _noise(seed, _END_STREAM, flat.shape[1:], flat, first).normal()
        return plan.place(flat, label, normal).reshape(x.shape)

    @capability(reads={"x": "x1", "start": "x0"})
    def log_prob(self, x: Tensor, *, start: Tensor) -> Tensor:
        """Log density of the end ``x`` given the start, ``log pi(x1 | x0)`` in nats, exact.

        Args:
            x: Ends ``(B, *D)``.
            start: Starts ``(B, *D)``, row by row.

        Returns:
            ``(B,)``.
        """
        return self.plan.log_prob(x.flatten(1), start.flatten(1))

    def reverse_log_prob(self, x0: Tensor, x1: Tensor) -> Tensor:
        """``log pi(x0 | x1)`` in nats, exact; ``(B, *D)`` twice -> ``(B,)``."""
        return self.reverse_plan.log_prob(x0.flatten(1), x1.flatten(1))

    def log_potentials(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Logs of both potentials, ``(B, 2)``: their gradients times ``2 eps`` are u_F and -u_B, their sum is the log
        density of x_t up to a constant.
        """
        flat = x.flatten(1)
        parts = self.plan.log_potential(flat, t), self.reverse_plan.log_potential(flat, 1 - t)
        return torch.stack(parts, 1)

    def coupling(self, *, reverse: bool = False) -> PlanCoupling:
        """The plan as a coupling: for any path, objective and trainer."""
        return PlanCoupling(self.reverse_plan if reverse else self.plan, reverse)

    def sample_marginals(
        self, x0: Tensor, times: Sequence[float], *, seed: int = 0, n_steps: int | None = None
    ) -> Tensor:
        """States of one path each at the given times, exact: ``(len(times), B, *D)``.

        Args:
            x0: Start points ``(B, *D)``.
            times: Times in [0, 1], in any order.
            seed: Seed of the noise.
            n_steps: Steps of the SDE, if it is to be simulated all the same.
        """
        if n_steps is not None:
            return super().sample_marginals(x0, times, seed=seed, n_steps=n_steps)
        check_times(times)
        state, end = x0, self.carry(x0, seed=seed)
        noise = _noise(seed, _BETWEEN_STREAM, tuple(x0.shape[1:]), x0)
        found, now = torch.empty(len(times), *x0.shape, dtype=x0.dtype, device=x0.device), 0.0
        for k in np.argsort(times, kind="stable").tolist():
            time = times[k]
            # A Brownian bridge from where the path is to its end; on arrival nothing is left to draw.
            left, step = 1 - now, time - now
            share = step / left if left > 0 else 0.0
            spread = (2 * self.eps * step * (1 - share)) ** 0.5
            state = torch.lerp(state, end, share).add(noise.normal(), alpha=spread)
            found[k], now = state, time
        return found

    def _judge(self, plan: LightPlan, reverse_plan: LightPlan, x0: Tensor, x1: Tensor) -> tuple[float, float]:
        """Energy of the plan from the start points, and the residual of its drift on pairs of the plan from the
        ends.
        """
        count, source = probe_count(x0.shape[1:]), generator(self.seed, "light judgement")
        start = x0[:count].flatten(1)
        energy = kinetic_energy(plan, start, plan.sample(start, generator=source))
        ends = x1[:count]
        starts = reverse_plan.sample(ends.flatten(1), generator=source).reshape(ends.shape)
        t = StratifiedTimes(margin=1e-4).sample(len(ends), generator=source).t
        straight = ends - starts
        i = starts + expand_like(t, ends).to(ends) * straight
        fields = DriftFields(LightDrifts(plan, reverse_plan), self.eps)
        return energy, energy_and_residual(fields, i, straight, t, source)[1]


def _check_columns_vary(**ends: Tensor) -> None:
    """Refuse columns of one value: the mixture's variance along them would fall to 0, and the loss without bound."""
    for name, x in ends.items():
        if len(x) > 1 and bool((flat := constant_columns(x.flatten(1))).any()):
            rule, found = f"every column of {name} must vary", f"{int(flat.sum())} of one value"
            remedy = "Omit them, or use EntropicSB, which has samples for ends."
            raise invalid("LightSB.fit", rule, found, remedy)


def kinetic_energy(plan: LightPlan, x0: Tensor, x1: Tensor) -> float:
    """``2 eps E[log pi(x1|x0) - log N(x1; x0, 2 eps Id)]`` over pairs of the plan, data units squared."""
    squares = (x1 - x0).double().square().sum(1) / (2 * plan.strength)
    reference = -squares - 0.5 * plan.dim * np.log(2 * np.pi * plan.strength)
    return plan.strength * float((plan.log_prob(x1, x0).double() - reference).mean())


def _noise(seed: int, stream: str, shape: Sequence[int], like: Tensor, first: int = 0) -> BlockNoise:
    return BlockNoise(
        seed, (stream,), first=first, count=len(like), shape=shape, dtype=like.dtype, device=like.device
    )
