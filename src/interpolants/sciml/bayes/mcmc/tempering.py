"""Tempered sequential Monte Carlo: samples and the normalising constant of an unnormalised log density.

Notation: ``pi_b(x) ~ N(x; 0, s^2 I)^(1 - b) f(x)^b`` tempered densities at inverse temperatures b from 0 to 1,
``d = log f - log N`` log ratio, G populations of m particles, ``log w`` log weights.

The increments ``(b' - b) d`` of the log weights give ``Z = int f`` with the constant of the Gaussian included. With
fixed temperatures the estimate of Z of a population has no bias, hence the mean of its logarithm is a lower bound of
log Z. Temperatures chosen from the particles add a bias of order 1/m.

Source: Neal (2001), arXiv:physics/9803008; Del Moral, Doucet & Jasra (2006), arXiv:cond-mat/0212648; adaptive
temperatures: Beskos et al. (2016), arXiv:1306.6462.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Self

import torch
from annotated_types import Interval
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import number, positive, whole
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.kinds import Count, Share
from interpolants.foundations.tell import FitWarning, tell
from interpolants.sciml.bayes.mcmc.hmc import HMC
from interpolants.solvers.resampling import Systematic, effective_size

LogDensity = Callable[[Tensor], Tensor]
# An interval from fewer effective particles, or a spread from fewer populations, would be too narrow.
FEWEST_PARTICLES, FEWEST_POPULATIONS = 30, 4
_RATE = 0.5  # change of the log step per unit of acceptance above the target
_HALVINGS = 50
_EXTRA = 4  # rounds of moves at temperature 1 that check whether the particles spread further
SIGN = "Check the sign: the function must return the log density, minus the energy, and its integral must be finite."


@dataclass(frozen=True)
class Evidence:
    """Log normalising constant of a density, in nats.

    Attributes:
        log_z: Logarithm of the mean of the populations' estimates of Z.
        error: Standard error from the spread of the populations; NaN below 30 effective particles.
        lower_bound: Mean of the populations' log Z, in expectation at most log Z.
        ess: Smallest effective number of particles over the temperatures, of all populations together.
        populations: Log Z of each population, ``(G,)``.
    """

    log_z: float
    error: float
    lower_bound: float
    ess: float
    populations: Tensor

    @classmethod
    def of(cls, log_z: Tensor, ess: float, *, lower_bound: float | None = None) -> Self:
        """Return the evidence of populations with ``log_z (G,)`` and together ``ess`` effective particles.

        Args:
            log_z: Log Z of each population, ``(G,)``.
            ess: Smallest effective number of particles.
            lower_bound: Lower bound. Default: the mean of ``log_z``.

        Warns:
            FitWarning: If there are fewer than 30 effective particles; the error is NaN then.
        """
        mean = torch.logsumexp(log_z, 0) - math.log(len(log_z))
        error = float((log_z - mean).exp().std() / math.sqrt(len(log_z)))
        if ess < FEWEST_PARTICLES:
            message = (
                f"evidence: {ess:.3g} effective particles, fewer than {FEWEST_PARTICLES}; log Z is probably "
            )
            message += (
                "too small, and its error is not reported. Use more temperatures, particles, draws or moves."
            )
            tell(FitWarning, message)
            error = math.nan
        bound = float(log_z.mean()) if lower_bound is None else lower_bound
        return cls(float(mean), error, bound, ess, log_z)


@dataclass(frozen=True)
class TemperedParticles:
    """Weighted particles of a density, in independent populations.

    Attributes:
        x: Particles, ``(G, m, P)``.
        log_weights: Log weights, ``(G, m)``, in units in which their mean weight in a population estimates Z.
        log_z: Log Z of each population, ``(G,)``.
        temperatures: Inverse temperatures of each population, ``(K + 1, G)``, from 0 to 1.
        ess: Effective number of particles of all populations after each temperature, ``(K,)``.
        acceptance: Mean acceptance probability at each temperature, ``(K,)``.
        gradients: Gradients of the log density per particle.
    """

    x: Tensor
    log_weights: Tensor
    log_z: Tensor
    temperatures: Tensor
    ess: Tensor
    acceptance: Tensor
    gradients: int

    @property
    def weights(self) -> Tensor:
        """Weights of the particles with sum 1 over all populations, ``(G, m)``."""
        weights: Tensor = self.log_weights.reshape(-1).softmax(0).reshape(self.log_weights.shape)
        return weights

    def mean(self, values: Tensor) -> Tensor:
        """Weighted mean of ``values (G, m, ...)`` over all particles, ``(...)``."""
        mean: Tensor = torch.tensordot(self.weights.to(values.dtype), values, dims=2)
        return mean

    def evidence(self) -> Evidence:
        """Return log Z with its standard error.

        The error does not cover modes that no particle has visited.

        Warns:
            FitWarning: If there are fewer than 30 effective particles; the error is NaN then.
        """
        return Evidence.of(self.log_z, float(self.ess.min()))


def tempered_smc(
    log_density: LogDensity,
    size: int,
    generator: Generator,
    *,
    scale: float = 1.0,
    particles: int = 256,
    populations: int = 4,
    temperatures: Sequence[float] | float = 0.9,
    options: "Moves | None" = None,
) -> TemperedParticles:
    """Draw weighted particles of a density, and estimate its normalising constant.

    Each population starts from ``N(0, scale^2 I)``. At every temperature its particles are weighted, resampled if their
    effective number falls below half, and moved by Hamiltonian Monte Carlo with the mass matrix of the population.

    Args:
        log_density: Log density in nats up to a constant, ``(N, P) -> (N,)``, differentiable. Its domain is all of R^P.
        size: Dimension P.
        generator: Source of all randomness, on the CPU.
        scale: Standard deviation of the starting Gaussian, which should cover all modes.
        particles: Number of particles of a population, at least 16.
        populations: Number of independent populations, at least 4.
        temperatures: Increasing inverse temperatures from 0 to 1, or the effective share of the particles that each
            adaptive step keeps.
        options: Settings of the moves. Default: `Moves()`.

    Raises:
        InvalidInputError: If a number is out of range, or the log density has another shape, has no gradient, or is
            not finite at a starting particle.
        DivergedError: If the temperatures do not reach 1 or the log density becomes plus infinity: the integral of the
            density is infinite, or the function is the energy and not the log density.

    Warns:
        FitWarning: If more moves at temperature 1 widen the particles in every population. A density whose integral
            diverges slowly, such as ``1 / |x|``, may pass.
    """
    caller, moves = "tempered_smc", options or Moves()
    whole(caller, "particles", particles, at_least=16)
    whole(caller, "populations", populations, at_least=FEWEST_POPULATIONS)
    whole(caller, "size", size, at_least=1)
    if isinstance(temperatures, float | int):
        schedule: list[float] | float = number(caller, "temperatures", temperatures, above=0, below=1)
    else:
        schedule = checked_temperatures(caller, temperatures)
    density = TemperedDensity(log_density, positive(caller, "scale", scale), size, caller)
    x = torch.randn(populations, particles, size, dtype=torch.float64, generator=generator) * density.scale
    density.check(x.flatten(0, 1))
    return _Sampler(density, moves, generator, schedule).run(x)


def annealed_importance(
    log_density: LogDensity,
    size: int,
    generator: Generator,
    *,
    temperatures: Sequence[float],
    scale: float = 1.0,
    particles: int = 256,
    populations: int = 4,
    options: "Moves | None" = None,
) -> TemperedParticles:
    """Anneal independent particles through fixed temperatures, without resampling.

    Args:
        log_density: Log density in nats up to a constant, ``(N, P) -> (N,)``, differentiable.
        size: Dimension P.
        generator: Source of all randomness, on the CPU.
        temperatures: Increasing inverse temperatures from 0 to 1.
        scale: Standard deviation of the starting Gaussian.
        particles: Number of particles of a population, at least 16.
        populations: Number of independent populations, at least 4.
        options: Settings of the moves; its ``resample_below`` is replaced by 0.

    Raises:
        InvalidInputError: If a number is out of range, or the log density has another shape, has no gradient, or is
            not finite at a starting particle.
        DivergedError: If the log density becomes plus infinity.
    """
    moves = options or Moves()
    fixed = Moves(leaps=moves.leaps, proposals=moves.proposals, target=moves.target, resample_below=0.0)
    if isinstance(temperatures, float | int):
        rule = "temperatures must be a sequence from 0 to 1"
        raise invalid(
            "annealed_importance",
            rule,
            temperatures,
            "For example, pass `torch.linspace(0, 1, 50).tolist()`.",
        )
    return tempered_smc(
        log_density,
        size,
        generator,
        scale=scale,
        particles=particles,
        populations=populations,
        temperatures=temperatures,
        options=fixed,
    )


@dataclass(frozen=True, kw_only=True)
class Moves(Checked):
    """Settings of the moves between two temperatures.

    Raises:
        InvalidInputError: If a setting is out of range.
    """

    leaps: Count = 8
    """Largest number of leapfrog steps of a proposal."""
    proposals: Count = 2
    """Number of proposals at each temperature."""
    target: Annotated[float, Interval(gt=0, lt=1)] = 0.8
    """Mean acceptance probability at which the step is aimed."""
    resample_below: Share = 0.5
    """Effective share of the particles of a population below which it is resampled; 0 never resamples."""
    most_temperatures: Count = 400
    """Number of adaptive temperatures after which the density is refused."""


def checked_temperatures(caller: str, temperatures: Sequence[float]) -> list[float]:
    """Return inverse temperatures as a list.

    Raises:
        InvalidInputError: If they do not rise strictly from 0 to 1.
    """
    values = [float(b) for b in temperatures]
    rising = all(a < b for a, b in pairwise(values))
    if len(values) < 2 or values[0] != 0 or values[-1] != 1 or not rising:
        raise invalid(caller, "temperatures must be strictly increasing from 0 to 1", values)
    return values


class TemperedDensity:
    """Log density, log ratio to the starting Gaussian, and potential at an inverse temperature."""

    def __init__(self, log_density: LogDensity, scale: float, size: int, caller: str) -> None:
        self.log_density, self.scale, self.size, self.caller = log_density, scale, size, caller
        self.gradients = 0

    def base(self, x: Tensor) -> Tensor:
        """Log density of the starting Gaussian."""
        constant = self.size * (0.5 * math.log(2 * math.pi) + math.log(self.scale))
        return -0.5 * (x / self.scale).square().sum(1) - constant

    def check(self, x: Tensor) -> None:
        """Check the shape, the gradient and the finiteness of the log density at the start."""
        leaf = x.detach().requires_grad_()
        value = self.log_density(leaf)
        if not isinstance(value, Tensor) or value.shape != (len(x),):
            received = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            rule = f"log_density must return a tensor ({len(x)},) for states {tuple(x.shape)}"
            raise invalid(
                self.caller, rule, received, "Sum over the dimensions of a state, not over the states."
            )
        if not value.requires_grad:
            raise invalid(
                self.caller, "log_density must be differentiable", "no gradient", "Use torch functions."
            )
        (slope,) = torch.autograd.grad(value.sum(), leaf)
        n_invalid = int((~(value.isfinite() & slope.isfinite().all(1))).sum())
        if n_invalid:
            rule = "log_density and its gradient must be finite at the starting particles"
            remedy = "Transform a bounded domain to R^P, with its log Jacobian, or use another `scale`."
            raise invalid(self.caller, rule, f"{n_invalid} of {len(x)} that are not", remedy)

    def log_ratio(self, x: Tensor) -> Tensor:
        """Log density minus that of the starting Gaussian, ``(N,)``."""
        with torch.no_grad():
            return self.log_density(x).double() - self.base(x)

    def potential(self, b: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Potential of the tempered density, with ``b (N,)`` of each particle."""

        def value_and_gradient(x: Tensor) -> tuple[Tensor, Tensor]:
            self.gradients += 1
            leaf = x.detach().requires_grad_()
            with torch.enable_grad():
                log_f = self.log_density(leaf).double()
                value = -(b * log_f + (1 - b) * self.base(leaf))
                (slope,) = torch.autograd.grad(value.sum(), leaf)
            if bool((log_f == math.inf).any()):
                raise DivergedError(f"{self.caller}: log_density became plus infinity. {SIGN}")
            return value.detach(), slope

        return value_and_gradient


class _Sampler:
    """Loop over the temperatures."""

    def __init__(
        self, density: TemperedDensity, moves: Moves, generator: Generator, schedule: list[float] | float
    ) -> None:
        self.density, self.moves, self.generator, self.schedule = density, moves, generator, schedule

    def run(self, x: Tensor) -> TemperedParticles:
        """Move the particles ``(G, m, P)`` from the Gaussian to the density."""
        shape = x.shape[:2]
        b, log_w = torch.zeros(shape[0], dtype=x.dtype), torch.zeros(shape, dtype=x.dtype)
        log_step = torch.full((shape[0],), math.log(0.5) - 0.25 * math.log(x.shape[2]), dtype=x.dtype)
        betas, sizes, acceptance = [b], [], []
        while bool((b < 1).any()):
            ratio = self.density.log_ratio(x.flatten(0, 1)).reshape(shape)
            after = self._next(b, log_w, ratio, len(betas))
            log_w = log_w + (after - b)[:, None] * ratio
            b = after
            betas.append(b)
            sizes.append(effective_size(log_w.flatten()))
            log_z = torch.logsumexp(log_w, 1) - math.log(shape[1])
            variance = _variance(x, log_w)
            x, log_w = self._resampled(x, log_w, log_z)
            x, log_step, chance = self._move(x, b, log_step, variance)
            acceptance.append(chance.mean())
        self._check_spread(x, log_w, log_step)
        return TemperedParticles(
            x,
            log_w,
            log_z,
            torch.stack(betas),
            torch.stack(sizes),
            torch.stack(acceptance),
            self.density.gradients,
        )

    def _check_spread(self, x: Tensor, log_w: Tensor, log_step: Tensor) -> None:
        """Warn if resampled particles spread further at temperature 1, as they do for an infinite integral."""
        u = torch.rand(len(x), 1, dtype=torch.float64, generator=self.generator)
        x = torch.take_along_dim(x, Systematic().ancestors(log_w.softmax(1), u)[:, :, None], 1)
        before, b = _quartile_range(x), torch.ones(len(x), dtype=x.dtype)
        for _ in range(_EXTRA):
            x, log_step, _ = self._move(x, b, log_step, _variance(x, torch.zeros_like(log_w)))
        growth = float((_quartile_range(x) / before).amin(0).amax())
        if growth > 2:
            message = f"{self.density.caller}: more moves widen the particles {growth:.3g} times in every population. "
            message += "The integral of the density may be infinite, or the particles have not settled, and log Z and "
            tell(
                FitWarning,
                message
                + f"the samples are wrong. {SIGN} Otherwise use more `proposals` or a larger `scale`.",
            )

    def _next(self, b: Tensor, log_w: Tensor, ratio: Tensor, count: int) -> Tensor:
        """Next inverse temperature of each population."""
        if not isinstance(self.schedule, float):
            return torch.full_like(b, self.schedule[count])
        if count > self.moves.most_temperatures:
            message = f"{self.density.caller}: the inverse temperature is {float(b.min()):.3g} after {count - 1} steps "
            raise DivergedError(
                message + f"and does not reach 1. {SIGN} Otherwise increase `most_temperatures`."
            )
        # The step is the largest with this conditional effective share.
        low, high = b, torch.ones_like(b)
        if_all = self._conditional_share(log_w, ratio, high - b) >= self.schedule
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            enough = self._conditional_share(log_w, ratio, middle - b) >= self.schedule
            low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
        return torch.where(if_all, torch.ones_like(b), low)

    @staticmethod
    def _conditional_share(log_w: Tensor, ratio: Tensor, step: Tensor) -> Tensor:
        """Conditional effective share, ``(sum W u)^2 / sum W u^2`` with normalised weights W and increments u."""
        log_old, log_u = log_w.log_softmax(1), step[:, None] * ratio
        return (2 * torch.logsumexp(log_old + log_u, 1) - torch.logsumexp(log_old + 2 * log_u, 1)).exp()

    def _resampled(self, x: Tensor, log_w: Tensor, log_z: Tensor) -> tuple[Tensor, Tensor]:
        """Populations below the share are resampled; their particles then weigh the mean weight."""
        low = effective_size(log_w) < self.moves.resample_below * log_w.shape[1]
        if not bool(low.any()):
            return x, log_w
        u = torch.rand(len(x), 1, dtype=torch.float64, generator=self.generator)
        parents = Systematic().ancestors(log_w.softmax(1), u)
        copies = torch.take_along_dim(x, parents[:, :, None], 1)
        x = torch.where(low[:, None, None], copies, x)
        return x, torch.where(low[:, None], log_z[:, None].expand_as(log_w), log_w)

    def _move(
        self, x: Tensor, b: Tensor, log_step: Tensor, variance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Proposals at fixed temperatures; the acceptance adapts the step of each population."""
        m = x.shape[1]
        hmc = HMC(leaps=self.moves.leaps, metric="identity")
        potential = self.density.potential(b.repeat_interleave(m))
        state = hmc.start(x.flatten(0, 1), potential)
        state["inverse_mass"] = variance.repeat_interleave(m, 0)
        for _ in range(self.moves.proposals):
            state["log_mean_step"] = log_step.repeat_interleave(m)
            state = hmc.advance(state, potential, self.generator)
            chance = state["chance"].reshape(x.shape[:2]).mean(1)
            log_step = log_step + _RATE * (chance - self.moves.target)
        return state["w"].reshape(x.shape), log_step, chance


def _variance(x: Tensor, log_w: Tensor) -> Tensor:
    """Weighted variance of the coordinates in each population, ``(G, P)``."""
    w = log_w.softmax(1)[:, :, None]
    mean = (w * x).sum(1, keepdim=True)
    variance: Tensor = (w * (x - mean).square()).sum(1)
    return variance.clamp_min(torch.finfo(x.dtype).tiny)


def _quartile_range(x: Tensor) -> Tensor:
    """Interquartile range of the coordinates in each population, ``(G, P)``."""
    levels = torch.quantile(x, torch.tensor([0.25, 0.75], dtype=x.dtype), dim=1)
    return (levels[1] - levels[0]).clamp_min(torch.finfo(x.dtype).tiny)
