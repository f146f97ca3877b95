"""Parallel tempering: chains at several temperatures that exchange their states.

Notation: ``pi_b(x) ~ N(x; 0, s^2 I)^(1 - b) f(x)^b`` tempered densities at inverse temperatures
``0 = b_1 < ... < b_R = 1``, ``d = log f - log N`` log ratio, G independent ladders of R replicas.

Neighbours i and i + 1 exchange their states with probability ``min(1, exp((b_{i+1} - b_i) (d_i - d_{i+1})))``, which
keeps the product of all densities. The state at b = 0 is a new draw from the Gaussian at every step, so a state that
climbs the ladder brings the chain at b = 1 to another mode. Bennett's estimate gives the ratio of the constants of two
neighbours from the log ratios at both; their sum is ``log Z``, ``Z = int f``. The mean of d rises with b, so the sums
of ``(b_{i+1} - b_i) E d`` at the lower and at the upper ends bound log Z.

Source: Geyer (1991), Computing Science and Statistics 23, 156; pairs in turns and temperatures of equal rejection:
Syed et al. (2022), arXiv:1905.02939.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Interval
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import positive, whole
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.kinds import Count
from interpolants.foundations.tell import FitWarning, tell
from interpolants.likelihood.bennett import LITTLE_OVERLAP, bennett
from interpolants.sciml.bayes.mcmc.convergence import MOST_R_HAT, effective_sample_size, split_r_hat
from interpolants.sciml.bayes.mcmc.hmc import HMC
from interpolants.sciml.bayes.mcmc.tempering import (
    FEWEST_POPULATIONS,
    SIGN,
    Evidence,
    LogDensity,
    TemperedDensity,
    checked_temperatures,
)

_RATE = 0.5  # change of the log step per unit of acceptance above the target, in the first proposals
_FIRST_ROUND = 8  # steps of the first round of the warm-up; each round is twice as long
_SHRINKAGE = 5  # draws of the former mass matrix that a round's variance is averaged with


@dataclass(frozen=True, kw_only=True)
class Ladder(Checked):
    """Settings of the chains and of their warm-up.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    leaps: Count = 8
    """Largest number of leapfrog steps of a proposal."""
    target: Annotated[float, Interval(gt=0, lt=1)] = 0.8
    """Mean acceptance probability at which the warm-up aims."""
    warm_up: Annotated[int, Interval(ge=20)] = 500
    """Number of steps of the warm-up."""


@dataclass(frozen=True)
class Replicas:
    """Draws of parallel tempering.

    Attributes:
        draws: Draws of the density, ``(G, draws, P)``.
        log_z: Log Z of each ladder, ``(G,)``.
        bounds: Mean lower and upper bound of log Z. They hold for chains that have converged.
        temperatures: Inverse temperatures from 0 to 1, ``(R,)``.
        exchanged: Mean probability of an exchange between neighbours, ``(R - 1,)``.
        acceptance: Mean acceptance probability of the proposals at each temperature above 0, ``(R - 1,)``.
        restarts: Number of states that climbed from b = 0 to b = 1 after the warm-up, of each ladder, ``(G,)``.
        ess: Effective number of independent log ratios of all ladders together at each temperature, ``(R,)``.
        gradients: Gradients of the log density in each ladder, with those of the warm-up.
    """

    draws: Tensor
    log_z: Tensor
    bounds: tuple[float, float]
    temperatures: Tensor
    exchanged: Tensor
    acceptance: Tensor
    restarts: Tensor
    ess: Tensor
    gradients: int

    @property
    def r_hat(self) -> Tensor:
        """Split R-hat of each coordinate, ``(P,)``."""
        return split_r_hat(self.draws)

    @property
    def effective_samples(self) -> Tensor:
        """Effective sample size of each coordinate, ``(P,)``."""
        return effective_sample_size(self.draws)

    def evidence(self) -> Evidence:
        """Return log Z with its standard error.

        The error does not cover modes that no chain has visited.

        Warns:
            FitWarning: If there are fewer than 30 effective draws at a temperature; the error is NaN then.
        """
        return Evidence.of(self.log_z, float(self.ess.min()), lower_bound=self.bounds[0])


def parallel_tempering(
    log_density: LogDensity,
    size: int,
    generator: Generator,
    *,
    scale: float = 1.0,
    temperatures: Sequence[float] | int = 8,
    ladders: int = 4,
    draws: int = 1000,
    options: Ladder | None = None,
) -> Replicas:
    """Draw from a density by chains at several temperatures, and estimate its normalising constant.

    A step moves every chain above b = 0 by Hamiltonian Monte Carlo, replaces the state at b = 0 by a new draw, and
    exchanges neighbours, even and odd pairs in turns. The warm-up adapts the leapfrog steps and the mass matrices, and
    moves the temperatures to where all neighbours exchange equally often. All are fixed afterwards.

    Args:
        log_density: Log density in nats up to a constant, ``(N, P) -> (N,)``, differentiable. Its domain is all of R^P.
        size: Dimension P.
        generator: Source of all randomness, on the CPU.
        scale: Standard deviation of the Gaussian at b = 0, which should cover all modes.
        temperatures: Increasing inverse temperatures from 0 to 1, which stay fixed, or their number, at least 2.
        ladders: Number of independent ladders G, at least 4.
        draws: Number of steps after the warm-up, each with a draw, at least 4.
        options: Settings of the chains. Default: `Ladder()`.

    Raises:
        InvalidInputError: If a number is out of range, or the log density has another shape, has no gradient, or is
            not finite at a starting state.
        DivergedError: If the log density becomes NaN or plus infinity.

    Warns:
        FitWarning: If the largest split R-hat is above 1.1, no state of a ladder climbed from b = 0 to b = 1, or
            neighbours hardly overlap.
    """
    caller = "parallel_tempering"
    whole(caller, "ladders", ladders, at_least=FEWEST_POPULATIONS)
    whole(caller, "draws", draws, at_least=4)
    adapts = isinstance(temperatures, int)
    if isinstance(temperatures, int):
        whole(caller, "temperatures", temperatures, at_least=2)
        # Most of the way from a wide Gaussian to a narrow density lies at small b.
        b = torch.linspace(0, 1, temperatures, dtype=torch.float64).pow(3)
    else:
        b = torch.tensor(checked_temperatures(caller, temperatures), dtype=torch.float64)
    density = TemperedDensity(log_density, positive(caller, "scale", scale), size, caller)
    settings = options or Ladder()
    chains = _Chains(density, settings, generator, b, ladders)
    density.check(chains.x.flatten(0, 1))
    chains.warm_up(settings.warm_up, adapts=adapts)
    result = chains.sample(draws)
    _report(caller, result)
    return result


class _Chains:
    """States of all replicas, and what the warm-up adapts."""

    def __init__(
        self, density: TemperedDensity, options: Ladder, generator: Generator, b: Tensor, ladders: int
    ) -> None:
        self.density, self.options, self.generator, self.b = density, options, generator, b
        self.x = self._base(ladders, len(b))  # (G, R, P)
        self.log_step = torch.full((len(b) - 1,), -1.0 - 0.25 * math.log(density.size), dtype=b.dtype)
        self.inverse_mass = torch.full((len(b) - 1, density.size), density.scale**2, dtype=b.dtype)
        self.parity = 0
        self.from_base = torch.zeros(ladders, len(b), dtype=torch.bool)  # states that have been at b = 0
        self.restarts = torch.zeros(ladders, dtype=torch.int64)

    def _base(self, *shape: int) -> Tensor:
        size = (*shape, self.density.size)
        return torch.randn(size, dtype=torch.float64, generator=self.generator) * self.density.scale

    def step(self) -> tuple[Tensor, Tensor, Tensor]:
        """Move and exchange all states.

        Returns:
            Log ratios d before the exchange ``(G, R)``, probabilities of an exchange of all neighbours ``(G, R - 1)``,
            and acceptance probabilities of the proposals ``(G, R - 1)``.
        """
        g, r = self.x.shape[:2]
        rows = self.b[1:].repeat(g)
        hmc, potential = HMC(leaps=self.options.leaps, metric="identity"), self.density.potential(rows)
        state = hmc.start(self.x[:, 1:].flatten(0, 1), potential)
        state["inverse_mass"] = self.inverse_mass.repeat(g, 1)
        state["log_mean_step"] = self.log_step.repeat(g)
        state = hmc.advance(state, potential, self.generator)
        self.x = torch.cat([self._base(g, 1), state["w"].reshape(g, r - 1, -1)], 1)
        self.from_base[:, 0] = True

        ratio = self.density.log_ratio(self.x.flatten(0, 1)).reshape(g, r)
        if bool((ratio.isnan() | (ratio == math.inf)).any()):
            raise DivergedError(f"{self.density.caller}: log_density became NaN or plus infinity. {SIGN}")
        # Where neither state has a density, exchanging them changes nothing.
        chance = (self.b.diff() * (ratio[:, :-1] - ratio[:, 1:])).clamp_max(0).exp().nan_to_num(0.0)
        accepted = torch.rand(chance.shape, dtype=chance.dtype, generator=self.generator) < chance
        accepted[:, 1 - self.parity :: 2] = False
        order = torch.arange(r).expand(g, r).clone()
        order[:, :-1] += accepted.long()
        order[:, 1:] -= accepted.long()
        self.x = torch.take_along_dim(self.x, order[:, :, None], 1)
        self.from_base = torch.take_along_dim(self.from_base, order, 1)
        self.restarts += self.from_base[:, -1]
        self.from_base[:, -1] = False
        self.parity = 1 - self.parity
        return ratio, chance, state["chance"].reshape(g, r - 1)

    def warm_up(self, steps: int, *, adapts: bool) -> None:
        """Adapt steps, mass matrices and temperatures in rounds that double; the last fifth adapts the steps alone."""
        rounds: list[int] = []
        length, last = _FIRST_ROUND, steps - steps // 5
        while sum(rounds) + 3 * length <= last:  # room for this round and for the next, twice as long
            rounds.append(length)
            length *= 2
        rounds.append(last - sum(rounds))
        for length in rounds:
            chances, states = self._adapted(length)
            n, g = states.shape[:2]
            variance = states.flatten(0, 1).var(0)
            weight = n * g / (n * g + _SHRINKAGE)
            self.inverse_mass = weight * variance + (1 - weight) * self.inverse_mass
            if adapts:
                self.b = _equal_rejection(self.b, 1 - chances.mean((0, 1)))
        self._adapted(steps - last)
        self.restarts.zero_()

    def _adapted(self, steps: int) -> tuple[Tensor, Tensor]:
        """Adapt the steps to the acceptance, and return exchange probabilities and states above b = 0."""
        chances, states = [], []
        for k in range(steps):
            _, exchange, acceptance = self.step()
            self.log_step = self.log_step + _RATE / math.sqrt(1 + k / 10) * (
                acceptance.mean(0) - self.options.target
            )
            chances.append(exchange)
            states.append(self.x[:, 1:])
        return torch.stack(chances), torch.stack(states)

    def sample(self, draws: int) -> Replicas:
        """Run the chains with fixed settings."""
        ratios, chances, acceptances, states = [], [], [], []
        for _ in range(draws):
            ratio, chance, acceptance = self.step()
            ratios.append(ratio)
            chances.append(chance)
            acceptances.append(acceptance)
            states.append(self.x[:, -1])
        ratio = torch.stack(ratios, 1)  # (G, draws, R)
        width, independent = self.b.diff(), torch.full((1,), ratio[:, :, 0].numel(), dtype=ratio.dtype)
        parts = [
            [bennett(width[i] * d[:, i], width[i] * d[:, i + 1], resamples=2) for i in range(len(width))]
            for d in ratio
        ]
        lower = float(np.mean([sum(part.lower for part in row) for row in parts]))
        upper = float(np.mean([sum(part.upper for part in row) for row in parts]))
        return Replicas(
            draws=torch.stack(states, 1),
            log_z=torch.tensor([sum(part.log_ratio for part in row) for row in parts], dtype=torch.float64),
            bounds=(lower, upper),
            temperatures=self.b,
            exchanged=torch.stack(chances).mean((0, 1)),
            acceptance=torch.stack(acceptances).mean((0, 1)),
            restarts=self.restarts.clone(),
            # The draws at b = 0 are independent, and may lie where the density is 0.
            ess=torch.cat([independent, effective_sample_size(ratio[:, :, 1:])]),
            gradients=self.density.gradients * (len(self.b) - 1),
        )


def _equal_rejection(b: Tensor, rejection: Tensor) -> Tensor:
    """Temperatures between which neighbours reject equally often, by the cumulative rejection."""
    barrier = np.concatenate([[0.0], np.cumsum(rejection.clamp_min(1e-3).numpy())])
    levels = np.linspace(0, barrier[-1], len(b))
    return torch.from_numpy(np.interp(levels, barrier, b.numpy()))


def _report(caller: str, result: Replicas) -> None:
    worst = float(result.r_hat.nan_to_num(math.inf).max())
    lowest, stuck = float(result.exchanged.min()), int((result.restarts == 0).sum())
    causes = []
    if not worst <= MOST_R_HAT:
        causes.append(f"the largest R-hat is {worst:.3g}, above {MOST_R_HAT}")
    if stuck:
        causes.append(f"in {stuck} of {len(result.restarts)} ladders no state climbed from b = 0 to b = 1")
    if lowest < LITTLE_OVERLAP:
        causes.append(f"two neighbours exchange with probability {lowest:.2g}")
    if causes:
        message = f"{caller}: {', and '.join(causes)}. Modes may be missing, and log Z may be wrong. {SIGN} Otherwise "
        tell(FitWarning, message + "use more `temperatures`, `warm_up` or `draws`, or another `scale`.")
