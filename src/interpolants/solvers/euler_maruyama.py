"""The Euler-Maruyama scheme."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.solvers.fixed import Velocity
from interpolants.solvers.sde import SdeSolver, Strength, add_noise


@dataclass(frozen=True)
class EulerMaruyama(SdeSolver):
    """Euler-Maruyama, ``X_new = X + f(X, t) dt + g(t) dW``; one evaluation per step.

    Strong and weak order 1 with additive noise: what it leaves out, ``int (g(r) - g(t)) dW``, has mean zero
    and size ``h^(3/2)``.

    Source: Maruyama (1955); Kloeden & Platen, Numerical Solution of Stochastic Differential Equations, 10.2.
    """

    name: ClassVar[str] = "euler_maruyama"
    strong_order: ClassVar[float] = 1.0
    weak_order: ClassVar[float] = 1.0
    c: ClassVar[tuple[float, ...]] = (0.0,)
    b: ClassVar[tuple[float, ...]] = (1.0,)

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
        return add_noise(torch.add(x, f(x, clock[0]), alpha=dt), dw, g0)
