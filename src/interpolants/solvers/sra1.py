"""Rossler's scheme SRA1, strong order 1.5 for additive noise."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from interpolants.solvers.fixed import Velocity
from interpolants.solvers.sde import SdeSolver, Strength, add_noise


@dataclass(frozen=True)
class SRA1(SdeSolver):
    """Stochastic Runge-Kutta for additive noise; two evaluations per step, one more normal draw.

    With ``J = (1/h) int (W_r - W_t) dr = dW/2 + H`` over the step, H the space-time Levy area,
    ``Y = X + 3/4 f(X, t) dt + 3/2 g1 J`` and
    ``X_new = X + (f(X, t) + 2 f(Y, t + 3/4 dt)) dt/3 + g0 J + g1 (dW - J)``.

    The noise term is ``int g dW`` for ``g`` linear in time. Strong order 1.5 (2 if the
    drift is linear in x), weak order 2.

    Source: Rossler (2010), SIAM J. Numer. Anal. 48, 922-952, scheme SRA1; his I_(1,0) is ``h J``.
    """

    name: ClassVar[str] = "sra1"
    strong_order: ClassVar[float] = 1.5
    weak_order: ClassVar[float] = 2.0
    c: ClassVar[tuple[float, ...]] = (0.0, 0.75)
    b: ClassVar[tuple[float, ...]] = (1 / 3, 2 / 3)
    levy_area: ClassVar[bool] = True

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
        assert area is not None  # the driver refuses noise without it
        mean = area.add_(dw, alpha=0.5)
        k0 = f(x, clock[0])
        k1 = f(add_noise(torch.add(x, k0, alpha=0.75 * dt), mean, 1.5 * g1), clock[1])
        drifted = torch.add(x, k0, alpha=dt / 3).add_(k1, alpha=2 * dt / 3)
        return add_noise(add_noise(drifted, mean, g0 - g1), dw, g1)
