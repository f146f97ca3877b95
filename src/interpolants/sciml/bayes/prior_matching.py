"""Fit a prior over weights so that the network's functions look like those of a Gaussian process.

Both are compared at M places as distributions over R^M, by the distance of Wasserstein: of a critic, or of sorted
projections (sliced), which is exact for the draws at hand and needs no critic.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.nets.perceptron import Perceptron
from interpolants.objectives.critic import fit_critic
from interpolants.sciml.bayes.nets.weight_vectors import WeightVectors
from interpolants.sciml.bayes.target_process import draw_functions, squared_exponential
from interpolants.sciml.bayes.weight_priors import GaussianPrior

# Share of places that are rows of the data; projections of the sliced distance; units of the critic, its rate.
_ROWS, _PROJECTIONS, _UNITS, _CRITIC_LR = 0.7, 128, 200, 0.02


@dataclass(frozen=True)
class Places:
    """Places at which functions are compared: rows of the data, and uniform points of the box that holds them.

    Attributes:
        x: Rows ``(N, D)``, standardised.
        count: Number M of places.
    """

    x: Tensor
    count: int

    def draw(self, generator: Generator) -> Tensor:
        """``(M, D)``, drawn anew for each step."""
        known = math.ceil(_ROWS * self.count)
        rows = self.x[torch.randint(len(self.x), (known,), generator=generator)]
        low, high = self.x.amin(0), self.x.amax(0)
        inside = torch.rand(self.count - known, self.x.shape[1], dtype=self.x.dtype, generator=generator)
        return torch.cat([rows, low + (high - low) * inside])


@dataclass(frozen=True)
class Target:
    """The process: a squared exponential covariance."""

    lengthscale: float | Tensor
    amplitude: float

    def covariance(self, x: Tensor) -> Tensor:
        """``(M, M)``."""
        return squared_exponential(x, x, self.lengthscale, self.amplitude)


def sliced_distance(f: Tensor, g: Tensor, generator: Generator) -> Tensor:
    """Mean over directions of ``W1`` of two samples ``(n, M)``, times ``sqrt(M)``: of their sorted projections."""
    direction = torch.randn(f.shape[1], _PROJECTIONS, dtype=f.dtype, generator=generator)
    direction = direction / direction.norm(dim=0)
    apart = (f @ direction).sort(0).values - (g @ direction).sort(0).values
    found: Tensor = apart.abs().mean() * f.shape[1] ** 0.5
    return found


@dataclass
class Matching(Checked):
    """One fit of a prior; a step moves it in place."""

    net: WeightVectors
    """The network."""
    prior: GaussianPrior
    """What is fitted."""
    target: Target
    """The process."""
    places: Places
    """Where they are compared."""
    functions: int
    """Draws of each, N_s."""
    optimizer: Any
    """Of the prior's parameters."""
    distance: Literal["sliced", "critic"] = "sliced"
    """Of sorted projections, or of a critic."""
    critic_steps: int = 60
    """Steps of a critic, which begins anew in each step."""

    def step(self, k: int, generator: Generator) -> dict[str, float]:
        """One step; the distance before it."""
        x = self.places.draw(generator)
        covariance = self.target.covariance(x)
        if self.distance == "sliced":
            f, g = self._pair(x, covariance, generator)
            loss = sliced_distance(f, g, generator)
        else:
            loss = self._by_critic(x, covariance, generator)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {"distance": float(loss.detach())}

    def _pair(self, x: Tensor, covariance: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        f = self.net(self.prior.draw(self.functions, generator), x)[..., 0]
        return f, draw_functions(covariance, self.functions, generator)

    def _by_critic(self, x: Tensor, covariance: Tensor, generator: Generator) -> Tensor:
        seed = int(torch.randint(2**31, (), generator=generator))
        critic = Perceptron(len(x), 1, (_UNITS, _UNITS), activation="softplus", seed=seed)

        def draw(generator: Generator) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                f, g = self._pair(x, covariance, generator)
            return f.float(), g.float()

        optimizer = torch.optim.Adagrad(critic.parameters(), _CRITIC_LR)
        fit_critic(critic, draw, optimizer, self.critic_steps, generator, stop=0.1)
        critic.requires_grad_(False)
        f, g = self._pair(x, covariance, generator)
        gap: Tensor = critic(f.float()).mean() - critic(g.float()).mean()
        return gap.double()


def covariance_gap(
    net: WeightVectors, prior: GaussianPrior, target: Target, x: Tensor, generator: Generator
) -> float:
    """``|C - K| / |K|`` in Frobenius norm at places ``x``, C the covariance of 4,000 functions of the network."""
    with torch.no_grad():
        f = net(prior.draw(4000, generator), x)[..., 0]
    found, wanted = f.T @ f / len(f), target.covariance(x)
    return float((found - wanted).norm() / wanted.norm())
