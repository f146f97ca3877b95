"""The stochastic Heun scheme."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.solvers.fixed import Velocity
from interpolants.solvers.sde import SdeSolver, Strength, add_noise


@dataclass(frozen=True)
class StochasticHeun(SdeSolver):
    """Trapezoidal drift, with an Euler-Maruyama guess of the end; two evaluations per step.

    ``Y = X + f(X, t) dt + g0 dW``, ``X_new = X + (f(X, t) + f(Y, t + dt)) dt/2 + (g0 + g1)/2 dW``.

    Weak order 2 with additive noise: the mean and the variance of a step are right to ``O(h^2)``. Strong
    order 1: the drift sees the mean of the noise at the ends, not over the step; the difference is ``f'``
    times the space-time Levy area, of size ``h^(3/2)`` and mean zero.

    Source: Kloeden & Platen, Numerical Solution of Stochastic Differential Equations, 15.1; as a sampler,
    Karras et al. (2022), arXiv:2206.00364. Here one noise increment drives both stages.
    """

    name: ClassVar[str] = "stochastic_heun"
    strong_order: ClassVar[float] = 1.0
    weak_order: ClassVar[float] = 2.0
    c: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    b: ClassVar[tuple[float, ...]] = (0.5, 0.5)

    def step(
        self,
        f: Velocity,
        x: Tensor,
        clock: list[Tensor],
        dt: float,
        g0: Strength,
        g1: Strength,
        dw: Tensor,
        area: Tensor | None,
    ) -> Tensor:
        """One step; see ``SdeSolver.step``."""
        k0 = f(x, clock[0])
        k1 = f(add_noise(torch.add(x, k0, alpha=dt), dw, g0), clock[1])
        drifted = torch.add(x, k0, alpha=dt / 2).add_(k1, alpha=dt / 2)
        return add_noise(drifted, dw, (g0 + g1) / 2)
