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

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.couplings.light_coupling import PlanCoupling
from interpolants.couplings.light_plan import LightPlan
from interpolants.couplings.light_settings import LightTraining
from interpolants.couplings.light_training import fit_light_plan
from interpolants.foundations.errors import invalid
from interpolants.foundations.ops import expand_like
from interpolants.foundations.randomness import BlockNoise, generator
from interpolants.methods.schrodinger import (
    SchrodingerResult,
    SchrodingerSolver,
    energy_and_residual,
    probe_count,
)
from interpolants.methods.schrodinger_drifts import DriftFields
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
        return torch.stack(both, 1).reshape(len(x), 2, *x.shape[1:])


@dataclass(frozen=True)
class LightResult(SchrodingerResult):
    """A bridge in closed form; see :class:`SchrodingerResult` for what it shares with the others.

    Attributes:
        plan: ``pi(x1 | x0)`` on flattened states: density, moments, draws, potential at all times.
        reverse_plan: ``pi(x0 | x1)`` likewise.
        heldout: Held-out losses of both, in nats.
    """

    plan: LightPlan = field(kw_only=True)
    reverse_plan: LightPlan = field(kw_only=True)
    heldout: tuple[float, float] = field(kw_only=True)

    def transport(
        self, x: Tensor, *, reverse: bool = False, seed: int = 0, eps: Any = None, **options: Any
    ) -> Tensor:
        """Draws of x1 given x0 = x, or of x0 given x1 = x: exact, without steps.

        Sample i sees the same noise whatever the batch. With ``eps`` (0 is the flow) or options of
        :func:`interpolants.dynamics.sample.sample` the fields are integrated instead.
        """
        if eps is not None or options:
            return super().transport(x, reverse=reverse, seed=seed, eps=eps, **options)
        flat, plan = x.flatten(1), self.reverse_plan if reverse else self.plan
        label = _noise(seed, _LABEL_STREAM, (), flat).uniform()
        normal = _noise(seed, _END_STREAM, flat.shape[1:], flat).normal()
        return plan.place(flat, label, normal).reshape(x.shape)

    def log_prob(self, x1: Tensor, x0: Tensor) -> Tensor:
        """``log pi(x1 | x0)`` in nats, exact; ``(B, *D)`` twice -> ``(B,)``."""
        return self.plan.log_prob(x1.flatten(1), x0.flatten(1))

    def reverse_log_prob(self, x0: Tensor, x1: Tensor) -> Tensor:
        """``log pi(x0 | x1)`` in nats, exact."""
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
        if not all(0 <= time <= 1 for time in times):
            raise invalid("sample_marginals", "times must lie in [0, 1]", list(times))
        state, end = x0, self.transport(x0, seed=seed)
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


class LightSB(SchrodingerSolver):
    """The Schroedinger bridge with noise ``sqrt(2 eps) dW`` by Gaussian-mixture potentials, in seconds on one core.

    Args:
        eps: Diffusivity of the reference, data units squared; > 0. The source's epsilon is ``2 eps``.
        n_components: Components of each potential.
        covariance: ``"diagonal"`` or ``"full"`` components.
        method: ``"lbfgs"``, ``"em"`` or ``"adam"``; see :class:`LightTraining`.
        seed: Seed of the learning.
        train: Further settings of :class:`LightTraining`, by name: ``init``, ``steps``, ``batch_size``, ``lr``,
            ``heldout``, ``patience``, ``floor``.

    Raises:
        InvalidInputError: For a setting outside its range.

    Source: Korotin, Gushchin & Burnaev (2024), arXiv:2310.01174.
    """

    result: LightResult | None = None

    def __init__(
        self,
        *,
        eps: float = 0.05,
        n_components: int = 20,
        covariance: str = "diagonal",
        method: str = "lbfgs",
        seed: int = 0,
        train: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(eps=eps, seed=seed)
        settings: dict[str, Any] = {"n_components": n_components, "covariance": covariance, "method": method}
        try:
            self.training = LightTraining(**settings, **{"seed": seed, **(train or {})})
        except TypeError as error:
            remedy = "See interpolants.couplings.LightTraining."
            raise invalid(
                self._name, "train must hold settings of the training", str(error), remedy
            ) from None

    def _solve(self, x0: Tensor, x1: Tensor, progress: bool) -> LightResult:
        y0, y1 = x0.flatten(1), x1.flatten(1)
        there = fit_light_plan(y0, y1, eps=self.eps, settings=self.training)
        back = fit_light_plan(y1, y0, eps=self.eps, settings=self.training)
        fields = DriftFields(LightDrifts(there.plan, back.plan), self.eps)
        energy, residual = self._judge(fields, there.plan, back.plan, x0, x1)
        history = [
            {"direction": float(k), **row} for k, fit in enumerate((there, back)) for row in fit.history
        ]
        return LightResult(
            fields,
            self.eps,
            energy,
            residual,
            history,
            plan=there.plan,
            reverse_plan=back.plan,
            heldout=(there.heldout, back.heldout),
        )

    def _judge(
        self, fields: DriftFields, plan: LightPlan, reverse_plan: LightPlan, x0: Tensor, x1: Tensor
    ) -> tuple[float, float]:
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
        return energy, energy_and_residual(fields, i, straight, t, source)[1]

    def summary(self) -> dict[str, float]:
        """Numbers worth printing after `fit`."""
        done = self._solved()
        assert isinstance(done, LightResult)
        heldout = dict(zip(("heldout_loss", "heldout_loss_back"), done.heldout, strict=True))
        return {**super().summary(), **heldout}


def kinetic_energy(plan: LightPlan, x0: Tensor, x1: Tensor) -> float:
    """``2 eps E[log pi(x1|x0) - log N(x1; x0, 2 eps Id)]`` over pairs of the plan, data units squared."""
    squares = (x1 - x0).double().square().sum(1) / (2 * plan.strength)
    reference = -squares - 0.5 * plan.dim * np.log(2 * np.pi * plan.strength)
    return plan.strength * float((plan.log_prob(x1, x0).double() - reference).mean())


def _noise(seed: int, stream: str, shape: Sequence[int], like: Tensor) -> BlockNoise:
    return BlockNoise(seed, (stream,), count=len(like), shape=shape, dtype=like.dtype, device=like.device)
