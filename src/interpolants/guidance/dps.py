"""Diffusion posterior sampling: the reverse SDE with a gradient step towards the measurement at every step."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.dynamics.grids import spacing_for
from interpolants.dynamics.grids import time_grid as make_grid
from interpolants.dynamics.noise import NoiseTable, ReverseNoise
from interpolants.fields.protocol import Fields
from interpolants.foundations.checks import positive, whole
from interpolants.foundations.clock import number_of
from interpolants.foundations.derivatives import gradient
from interpolants.foundations.errors import DivergedError
from interpolants.foundations.ops import sum_event
from interpolants.guidance.particles import START_STREAM, ParticleNoise
from interpolants.operators.measurement import Operator, as_operator, check_measurement
from interpolants.paths.from_gaussian import gaussian_path
from interpolants.solvers.euler_maruyama import EulerMaruyama
from interpolants.solvers.sde import integrate_sde

_TINY = 1e-12  # under the root, so that a perfect fit has a gradient


class DPS:
    """Restore x1 from ``y = H(x1)``: ``x <- step of the SDE - zeta grad_x |y - H(E[x1|x])|`` at every step.

    The push does not depend on the number of steps, so n_steps and zeta go together. A baseline: its samples are not
    those of the posterior (``TwistedSMC`` has them), and their mean error depends on zeta.

    Args:
        fields: Velocity and score (or noise) on a one-sided path with a Gaussian base.
        operator: H: an ``Operator``, a matrix, or any differentiable function.
        zeta: Length of a push, in data units, > 0.
        n_steps: Number of steps.
        time_grid: Spacing of the steps, as for ``dynamics.sample``.

    Raises:
        InvalidInputError: If the path is another, or a setting breaks its rule.

    Source: Chung et al. (2023), arXiv:2209.14687, algorithm 1, with Euler-Maruyama steps.
    """

    def __init__(
        self,
        fields: Fields,
        operator: Operator | Tensor | Callable[[Tensor], Tensor],
        *,
        zeta: float = 1.0,
        n_steps: int = 1000,
        time_grid: Any = "uniform",
    ) -> None:
        positive("DPS", "zeta", zeta)
        self.fields = fields
        self.path, self.base = gaussian_path("DPS", fields.path)
        self.operator, self.zeta = as_operator("DPS", operator), float(zeta)
        self.grid = make_grid(n_steps, spacing_for(self.path, n_steps, time_grid))

    def restore(self, y: Tensor, *, event_shape: Any = None, seed: int = 0, first_index: int = 0) -> Tensor:
        """One answer for each measurement ``y (B, *M)``: ``(B, *D)``.

        Args:
            y: Measurements.
            event_shape: Shape of a state, where the base leaves it open.
            seed: Seed of start and noise, which belong to the index of a measurement.
            first_index: Index of the first row in a larger job.

        Raises:
            InvalidInputError: If the measurements do not fit the operator.
            DivergedError: If a state left the finite numbers.
        """
        who, seed = "DPS.restore", whole("DPS.restore", "seed", seed)
        shape = self.base.event_shape if event_shape is None else tuple(event_shape)
        check_measurement(who, self.operator, y.new_zeros(1, *shape), y)
        noise, solver = ParticleNoise(seed, first_index, len(y), len(y)), EulerMaruyama()
        table = NoiseTable(ReverseNoise(), self.path, self.grid, cap=True)

        def drift(x: Tensor, t: Tensor) -> Tensor:
            quantity = self.fields.bounded_quantity
            values = self.fields.evaluate(x, t, ("velocity", quantity))
            push = gradient(lambda point: self._misfit(point, t, y), x)
            free = values["velocity"] + table.eps_score(self.fields, values[quantity], t)
            # The push is that of a whole step, divided by the length of the step that holds t.
            nodes = self.grid.astype(
                np.float64 if t.dtype == torch.float64 else np.float32
            )  # as the times are rounded
            step = int(np.searchsorted(nodes[1:-1], number_of(t), side="right"))
            drifted: Tensor = free - (self.zeta / float(self.grid[step + 1] - self.grid[step])) * push
            return drifted

        with torch.no_grad():
            z = noise.draws((START_STREAM,), shape, y.dtype, y.device).normal()
            start = float(self.path.alpha(torch.tensor(self.grid[0], dtype=torch.float64))) * self.base.color(
                z
            )
            brownian = noise.brownian(self.grid, start, solver)
            x = integrate_sde(drift, table.strength, start, self.grid, solver, brownian).x
        if not bool(torch.isfinite(x).all()):
            raise DivergedError(f"{who}: states left the finite numbers. Take a smaller zeta or more steps.")
        return x

    def _misfit(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        mean = self.fields.evaluate(x, t, ("denoised",))["denoised"]
        squared: Tensor = sum_event((y - self.operator(mean)).square())
        return (squared + _TINY).sqrt()
