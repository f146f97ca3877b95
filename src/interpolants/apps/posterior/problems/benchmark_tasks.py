"""Simulators of the sbibm benchmark with likelihoods that can be evaluated, and posteriors by annealed particles.

Differential equations are integrated by the Runge-Kutta method of order 4 with fixed steps, where sbibm uses Julia.

Source: Lueckmann et al. (2021), arXiv:2101.04653, appendix T.
"""

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from typing_extensions import override

from interpolants.apps.posterior.priors import Box, LogNormal, Prior
from interpolants.apps.posterior.problems.simulators import Simulator

# Effective fraction of particles at each temperature, Metropolis steps there and at the last one.
_ESS, _MOVES, _LAST_MOVES = 0.8, 8, 60
_FEWEST = 2000


class GaussianMixtureMean(Simulator):
    """Common mean of two normal distributions with standard deviations 1 and 0.1, in equal parts.

    Two parameters are uniform in [-10, 10]^2; the posterior is the same mixture around x, cut to this box.
    """

    def __init__(self) -> None:
        self.prior = Box([-10.0, -10.0], [10.0, 10.0])

    @override
    def simulate(self, theta: Tensor, *, generator: Generator | None = None) -> Tensor:
        first = torch.rand(len(theta), 1, generator=generator, dtype=torch.float64) < 0.5
        noise = torch.randn(theta.shape, generator=generator, dtype=torch.float64)
        return theta.double() + torch.where(first, 1.0, 0.1) * noise

    @override
    def posterior_sample(self, x: Tensor, n: int, *, generator: Generator | None = None) -> Tensor:
        accepted: list[Tensor] = []
        while sum(map(len, accepted)) < n:
            theta = self.simulate(x.double().expand(4 * n, -1), generator=generator)
            accepted.append(theta[self.prior.inside(theta)])
        return torch.cat(accepted)[:n]


class LikelihoodSimulator(Simulator):
    """A simulator whose likelihood can be evaluated."""

    @abstractmethod
    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Log density or probability ``(B,)`` in nats of one observation ``(C,)`` given parameters ``(B, D)``."""

    @override
    def posterior_sample(self, x: Tensor, n: int, *, generator: Generator | None = None) -> Tensor:
        particles = annealed(
            self._region, lambda theta: self.log_likelihood(theta, x.double()), max(n, _FEWEST), generator
        )
        return particles[torch.randperm(len(particles), generator=generator)[:n]]

    @property
    def _region(self) -> Prior:
        """Prior of the particles, restricted to one part if the posterior is symmetric."""
        return self.prior


def annealed(
    prior: Prior, log_likelihood: Callable[[Tensor], Tensor], n: int, generator: Generator | None = None
) -> Tensor:
    """Draw from a posterior by annealed particles, ``(n, D)``: powers of the likelihood that grow from 0 to 1.

    Each power leaves 80 % of the particles effective. These are resampled and moved by random-walk Metropolis steps in
    the units in which the prior is a standard normal distribution.

    Args:
        prior: Distribution of independent parameters.
        log_likelihood: Log likelihood ``(B,)`` of parameters ``(B, D)``.
        n: Number of particles.
        generator: Source of the draws.

    Source: Del Moral, Doucet & Jasra (2006), J. R. Stat. Soc. B 68, 411-436.
    """

    def values(z: Tensor) -> Tensor:
        logs = log_likelihood(prior.quantiles(torch.special.ndtr(z)))
        return torch.where(logs.isfinite(), logs, -torch.inf)

    z = torch.randn(n, prior.dim, generator=generator, dtype=torch.float64)
    logs, power, scale = values(z), 0.0, 1.0
    while power < 1:
        step = _next_step(logs, 1 - power)
        power += step
        picks = torch.multinomial((step * logs).softmax(0), n, replacement=True, generator=generator)
        z, logs = z[picks], logs[picks]
        root = torch.linalg.cholesky(torch.cov(z.T).reshape(prior.dim, -1) + 1e-12 * torch.eye(prior.dim))
        for _ in range(_MOVES if power < 1 else _LAST_MOVES):
            noise = torch.randn(z.shape, generator=generator, dtype=torch.float64)
            proposal = z + scale * 2.38 / math.sqrt(prior.dim) * noise @ root.T
            proposed = values(proposal)
            gain = power * (proposed - logs) - 0.5 * (proposal.square().sum(1) - z.square().sum(1))
            taken = torch.rand(n, generator=generator, dtype=torch.float64).log() < gain
            z, logs = torch.where(taken[:, None], proposal, z), torch.where(taken, proposed, logs)
            # Steps of which about 30 % are accepted mix well.
            scale *= math.exp(float(taken.double().mean()) - 0.3)
    return prior.quantiles(torch.special.ndtr(z))


def _next_step(logs: Tensor, remaining: float) -> float:
    """Largest increase of the power, at most ``remaining``, that leaves 80 % of the particles effective."""

    def effective(step: float) -> float:
        weights = (step * logs).softmax(0)
        return float(1 / weights.square().sum() / len(logs))

    low, high = 0.0, remaining
    if effective(remaining) >= _ESS:
        return remaining
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if effective(middle) > _ESS else (low, middle)
    return high


class SLCP(LikelihoodSimulator):
    """Four draws of a two-dimensional normal distribution whose mean and covariance are five parameters.

    Parameters are uniform in [-3, 3]^5: two means, two numbers whose squares are standard deviations, and
    the inverse hyperbolic tangent of the correlation. The posterior has four modes, by the signs of the third and the
    fourth parameter.
    """

    def __init__(self) -> None:
        self.prior = Box([-3.0] * 5, [3.0] * 5)

    def _root(self, theta: Tensor) -> Tensor:
        """Cholesky factors of the covariances, ``(B, 2, 2)``."""
        first, second, rho = theta[:, 2].square(), theta[:, 3].square(), theta[:, 4].tanh()
        entries = [first.square(), rho * first * second, rho * first * second, second.square()]
        cov = torch.stack(entries, 1).reshape(-1, 2, 2)
        root: Tensor = torch.linalg.cholesky(cov + 1e-6 * torch.eye(2, dtype=torch.float64))
        return root

    @override
    def simulate(self, theta: Tensor, *, generator: Generator | None = None) -> Tensor:
        theta = theta.double()
        noise = torch.randn(len(theta), 4, 2, generator=generator, dtype=torch.float64)
        return (theta[:, None, :2] + noise @ self._root(theta).mT).flatten(1)

    @override
    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        root = self._root(theta)
        difference = x.reshape(1, 4, 2) - theta[:, None, :2]
        scaled = torch.linalg.solve_triangular(root, difference.mT, upper=False)
        log_det = root.diagonal(dim1=1, dim2=2).log().sum(1)
        logs: Tensor = -0.5 * scaled.square().sum((1, 2)) - 4 * log_det - 4 * math.log(2 * math.pi)
        return logs

    @override
    def posterior_sample(self, x: Tensor, n: int, *, generator: Generator | None = None) -> Tensor:
        theta = super().posterior_sample(x, n, generator=generator)
        theta[:, 2:4] *= 2.0 * torch.randint(2, (n, 2), generator=generator) - 1
        return theta

    @property
    @override
    def _region(self) -> Prior:
        return Box([-3.0, -3.0, 0.0, 0.0, -3.0], [3.0] * 5)


class SIR(LikelihoodSimulator):
    """Epidemic of one million people: rates of contact and recovery from ten counts of infected among 1,000.

    Rates per day are log-normal, with means of the logarithms log 0.4 and log 0.125 and standard deviations 0.5 and
    0.2. Counts are taken every 17th of 160 days, from the day with one infected on.
    """

    def __init__(self) -> None:
        self.prior = LogNormal([math.log(0.4), math.log(0.125)], [0.5, 0.2])

    def _fraction(self, theta: Tensor) -> Tensor:
        """Infected fraction at the ten days, ``(B, 10)``."""
        contact, recovery = theta.double().unbind(1)

        def rates(y: Tensor) -> Tensor:
            new = contact * y[0] * y[1]
            return torch.stack([-new, new - recovery * y[1]])

        start = torch.tensor([1 - 1e-6, 1e-6], dtype=torch.float64)[:, None].expand(2, len(theta))
        return integrated(rates, start, 9, 17.0, 17 * 2)[:, 1].T.clamp(1e-12, 1 - 1e-12)

    @override
    def simulate(self, theta: Tensor, *, generator: Generator | None = None) -> Tensor:
        fraction = self._fraction(theta)
        count = torch.full_like(fraction, 1000.0)
        return torch.binomial(count, fraction, generator=generator)

    @override
    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        fraction = self._fraction(theta)
        ways = math.lgamma(1001) - torch.lgamma(x + 1) - torch.lgamma(1001 - x)
        logs: Tensor = (ways + torch.xlogy(x, fraction) + torch.xlogy(1000 - x, 1 - fraction)).sum(1)
        return logs


class LotkaVolterraRates(LikelihoodSimulator):
    """Prey and predators: four rates from ten observations of both with log-normal noise of 0.1.

    Rates are log-normal, with means of the logarithms (-0.125, -3, -0.125, -3) and standard deviations 0.5: growth of
    the prey, its loss per predator, loss of predators, and their growth per prey. Observations are taken every 2.1 of
    20 days, from 30 prey and one predator on; ``x`` has the ten numbers of prey first.
    """

    def __init__(self) -> None:
        self.prior = LogNormal([-0.125, -3.0, -0.125, -3.0], [0.5] * 4)

    def _log_numbers(self, theta: Tensor) -> Tensor:
        """Logarithms of prey and predators, ``(B, 20)``."""
        growth, eaten, loss, gain = theta.double().unbind(1)

        def rates(y: Tensor) -> Tensor:
            prey, predators = y.exp()
            return torch.stack([growth - eaten * predators, gain * prey - loss])

        start = torch.tensor([30.0, 1.0], dtype=torch.float64).log()[:, None].expand(2, len(theta))
        logs = integrated(rates, start, 9, 2.1, 84)
        return logs.permute(2, 1, 0).flatten(1).clamp(math.log(1e-10), math.log(1e4))

    @override
    def simulate(self, theta: Tensor, *, generator: Generator | None = None) -> Tensor:
        logs = self._log_numbers(theta)
        return (logs + 0.1 * torch.randn(logs.shape, generator=generator, dtype=torch.float64)).exp()

    @override
    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        scaled = (x.log() - self._log_numbers(theta)) / 0.1
        return -(0.5 * scaled.square() + 0.5 * math.log(2 * math.pi) + math.log(0.1) + x.log()).sum(1)


def integrated(
    rates: Callable[[Tensor], Tensor], start: Tensor, count: int, interval: float, steps: int
) -> Tensor:
    """Solution of an autonomous equation at the start and after each of ``count`` intervals, ``(count + 1, ...)``.

    Args:
        rates: Time derivative of a state.
        start: First state.
        count: Number of intervals.
        interval: Length of an interval.
        steps: Runge-Kutta steps per interval.
    """
    h, y, states = interval / steps, start, [start]
    for _ in range(count):
        for _ in range(steps):
            k1 = rates(y)
            k2 = rates(y + h / 2 * k1)
            k3 = rates(y + h / 2 * k2)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + rates(y + h * k3))
        states.append(y)
    return torch.stack(states)
