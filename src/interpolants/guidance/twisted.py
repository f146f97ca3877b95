"""Twisted SMC: posterior samples for any measurement by particles that look ahead to it.

Letters: ``psi_t(x) = N(y; H(e1), (noise^2 + r^2) Id)`` the look-ahead, with ``e1 = E[x1|x_t = x]`` and r the spread of
x1 given x_t; K the Euler-Maruyama step of the unconditional SDE, K' that of the proposal, whose drift has
``2 eps grad log psi`` added; h the step.

A step from x to x' multiplies the weight by ``K(x'|x) psi_t'(x') / (K'(x'|x) psi_t(x))``, and psi_1 is the likelihood
itself: the product of all factors turns the distribution of the proposal into the distribution of the unconditional
chain times the likelihood, whatever psi_t is in between. More particles therefore lead to the exact posterior of the
chain, and the mean weight to the evidence; a better look-ahead only spares particles.
"""

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from interpolants.dynamics.grids import spacing_for
from interpolants.dynamics.grids import time_grid as make_grid
from interpolants.dynamics.noise import NoiseTable, ReverseNoise
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import positive, whole
from interpolants.foundations.derivatives import value_and_gradient
from interpolants.foundations.ops import sum_event
from interpolants.guidance.particles import START_STREAM, ParticleNoise, WeightedSamples, collect
from interpolants.operators.measurement import Operator, as_operator, check_measurement
from interpolants.paths.from_gaussian import gaussian_path
from interpolants.solvers.euler_maruyama import EulerMaruyama
from interpolants.solvers.resampling import Resampler, Systematic
from interpolants.solvers.weighted import Node, Step, integrate_weighted, kernel_log_ratio


@dataclass
class _Ahead(Node):
    """A particle's place: ``drift`` of the proposal, ``model`` the unconditional one, ``log_psi`` the look-ahead."""

    model: Tensor | None = None
    log_psi: Tensor | None = None


class TwistedSMC:
    """Weighted samples of ``x1`` given ``y = H(x1) + noise``, from unconditional fields and any differentiable H.

    ::

        made = TwistedSMC(fields, Mask(known), noise=0.1).sample(y, particles=256, seed=0, resample=True)
        made.x.reshape(len(y), 256, ...), made.log_z               # a posterior and an evidence for each row of y

    Args:
        fields: Velocity and score (or noise) on a one-sided path with a Gaussian base.
        operator: H: an ``Operator``, a matrix, or any differentiable function.
        noise: Standard deviation of the measurements' noise, > 0.
        spread: Standard deviation of x1 before anything is known, in data units: with it ``r^2`` is
            ``spread^2 alpha^2 / (alpha^2 + beta^2 spread^2)``, the spread of a Gaussian x1 given x_t. It shapes the
            look-ahead only; err on the large side, for a small one makes weights of heavy tails.
        kappa: Noise of the chain, as a multiple of the reversed noising process; > 0.
        resampler: Scheme and threshold.
        n_steps: Number of steps.
        time_grid: Spacing of the steps, as for ``dynamics.sample``.

    Raises:
        InvalidInputError: If the path is another, or a setting breaks its rule.

    Source: Wu et al. (2023), arXiv:2306.17775; the look-ahead's spread after Song et al. (2023), PiGDM.
    """

    def __init__(
        self,
        fields: Fields,
        operator: Operator | Tensor | Callable[[Tensor], Tensor],
        noise: float,
        *,
        spread: float = 1.0,
        kappa: float = 1.0,
        resampler: Resampler | None = None,
        n_steps: int = 200,
        time_grid: Any = "uniform",
    ) -> None:
        who = "TwistedSMC"
        for name, value in (("noise", noise), ("spread", spread), ("kappa", kappa)):
            positive(who, name, value)
        self.fields = fields
        self.path, self.base = gaussian_path(who, fields.path)
        self.operator, self.noise, self.spread = as_operator(who, operator), float(noise), float(spread)
        self.resampler = Systematic() if resampler is None else resampler
        self.grid = make_grid(n_steps, spacing_for(self.path, n_steps, time_grid))
        self.table = NoiseTable(ReverseNoise(kappa), self.path, self.grid, cap=True)

    def sample(
        self,
        y: Tensor,
        *,
        particles: int = 256,
        event_shape: Any = None,
        seed: int | None = None,
        first_group: int = 0,
        resample: bool = False,
    ) -> WeightedSamples:
        """Particles for each measurement.

        Args:
            y: Measurements, ``(B, *M)``; each has a population of its own.
            particles: Number of particles for each, >= 2.
            event_shape: Shape of a state, where the base leaves it open.
            seed: Seed of all noise; drawn afresh, and reported, when None.
            first_group: Index of the first measurement in a larger job.
            resample: Resample at the end: particles with equal weights.

        Returns:
            ``B * particles`` weighted states, B groups in the order of ``y``; ``log_z`` is the log evidence.

        Raises:
            InvalidInputError: If the measurements do not fit the operator.
            DivergedError: If states or weights left the finite numbers.
        """
        who = "TwistedSMC.sample"
        seed = secrets.randbits(31) if seed is None else whole(who, "seed", seed)
        whole(who, "particles", particles, at_least=2)
        shape = self.base.event_shape if event_shape is None else tuple(event_shape)
        check_measurement(who, self.operator, y.new_zeros(1, *shape), y)
        noise = ParticleNoise(seed, first_group, len(y), len(y) * particles)
        wanted = y.repeat_interleave(particles, 0)
        times = torch.from_numpy(self.grid.copy())
        with torch.no_grad():
            z = noise.draws((START_STREAM,), shape, y.dtype, y.device).normal()
            x = float(self.path.alpha(times[0])) * self.base.color(z)
            first = self._log_psi(x, times[0].to(x), wanted)
            population = noise.population(self.resampler, first)
            solver = EulerMaruyama()
            done = integrate_weighted(
                lambda state, t: self._node(state, t, wanted),
                x,
                self.grid,
                solver,
                self.table.strength(times).tolist(),
                noise.brownian(self.grid, x, solver),
                _twist,
                log_weights=first,
                end=lambda state: _Ahead(state, log_psi=self._log_likelihood(state, wanted, self.noise**2)),
                between=population,
            )
        return collect(
            who,
            population,
            done.node.x,
            done.log_weights,
            log_z=0.0,
            grid=self.grid,
            eps=self.table.used(times),
            nfe=done.nfe,
            seed=seed,
            resample=resample,
        )

    def _node(self, x: Tensor, t: Tensor, y: Tensor) -> _Ahead:
        quantity = self.fields.bounded_quantity
        values = self.fields.evaluate(x, t, ("velocity", quantity))
        model = values["velocity"] + self.table.eps_score(self.fields, values[quantity], t)
        log_psi, (slope,) = value_and_gradient(lambda point: self._log_psi(point, t, y), x)
        drift = model + 2 * self.table.weight(t, of_score=True) * slope
        return _Ahead(x, drift, model, log_psi)

    def _log_psi(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        mean = self.fields.evaluate(x, t, ("denoised",))["denoised"]
        alpha, beta = self.path.alpha(t), self.path.beta(t)
        scale = 1.0 if self.base.shared_scale is None else self.base.shared_scale
        squared, noise = self.spread**2, (scale * alpha).square()
        rest = squared * noise / (noise + beta.square() * squared)
        return self._log_likelihood(mean, y, self.noise**2 + rest)

    def _log_likelihood(self, x1: Tensor, y: Tensor, variance: Tensor | float) -> Tensor:
        """``log N(y; H(x1), variance Id)``, ``(B,)``."""
        size, variance = y[0].numel(), torch.as_tensor(variance).to(x1)
        misfit = sum_event((y - self.operator(x1)).square())
        return -0.5 * misfit / variance - 0.5 * size * torch.log(2 * math.pi * variance)


def _twist(at: _Ahead, after: _Ahead, step: Step) -> Tensor:
    """``log K/K' + log psi' - log psi``."""
    assert at.model is not None
    assert at.drift is not None
    assert at.log_psi is not None
    assert after.log_psi is not None
    ratio = kernel_log_ratio((at.model - at.drift) * step.dt, step.dw, step.g, step.dt)
    return ratio + after.log_psi - at.log_psi
