"""Draws of a later state given the state now and a measurement of the later one, with exact weights.

Notation: ``x_t = alpha x0 + beta x1 + gamma z`` starts at the known point x0; E and C are mean and covariance of x1
given ``x_t``; ``y = H(x1) + r`` with Gaussian r of covariance R; dashes mark the next time. The chain without a
measurement is the Foellmer process of the path, in the form that is exact at any number of steps if x1 given x0 is
Gaussian:

* ``x' = alpha' x0 + k (x - alpha x0) + c x1 + kappa z`` with x1 ~ N(E, C), ``k = (beta/gamma^2)(gamma'^2/beta')``,
  ``c = beta' - k beta`` and ``kappa^2 = gamma'^2 - k^2 gamma^2``.

The measurement changes the distribution of x1 in this step to that given y, by Kalman's formula with ``J = dH/dx`` at
E. The look-covariance_y is ``h(t, x) = N(y; H(E), J C J^T + R)``, and a particle gains

* ``h(t', x') / N(y; H(E) + J (E~ - E), J C~ J^T + R)`` per step, where E~ and C~ are mean and covariance of x1 given
  both x and x' in that step,

which is 1 if all is Gaussian. For every other H and every other distribution the weights are exact for the chain. C is
diagonal here: ``C = q^2 gamma^2 / (gamma^2 + beta^2 q^2)`` with q the standard deviation of x1 given x0 per entry.

Source: Doucet, Godsill & Andrieu (2000) for the optimal proposal; Wu et al. (2023), arXiv:2306.17775, for weights along
the steps. The chain and its weights are derived here. With R alone in place of ``J C J^T + R``, the rule of Chen et al.
(2025), arXiv:2501.16642, the answer is too near y and too narrow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.dynamics.sample_from_point import start_grid
from interpolants.fields.point_source_fields import PointSourceFields, start_at
from interpolants.foundations.errors import DivergedError, invalid
from interpolants.foundations.randomness import BlockNoise
from interpolants.foundations.types import Condition
from interpolants.paths.path import SpatiallyLinearPath


@dataclass(frozen=True)
class GaussianMeasurement:
    """One measurement ``y = H(x1) + r`` with independent Gaussian noise.

    Attributes:
        function: H, ``(N, D) -> (N, M)`` in float64, differentiable.
        y: What was measured, ``(M,)`` float64.
        std: Standard deviation of the noise of each entry, ``(M,)``, > 0.
        jacobian: ``dH/dx``, ``(M, D)``, of a linear or affine H. None for a nonlinear H: its slope is computed
            at each state, with one backward pass per entry of y.
    """

    function: Callable[[Tensor], Tensor]
    y: Tensor
    std: Tensor
    jacobian: Tensor | None = None

    def at(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values ``(N, M)`` and slopes ``(1, M, D)`` or ``(N, M, D)`` at states ``(N, D)``."""
        if self.jacobian is not None:
            return self.function(x), self.jacobian[None]
        with torch.enable_grad():
            point = x.detach().requires_grad_(True)
            values = self.function(point)
            slopes = [
                torch.autograd.grad(values[:, m].sum(), point, retain_graph=True)[0]
                for m in range(values.shape[1])
            ]
        return values.detach(), torch.stack(slopes, 1)

    def log_prob(self, values: Tensor) -> Tensor:
        """Log density of y given noise-free values ``(N, M)``, ``(N,)`` in nats."""
        return log_normal(self.y - values, torch.diag(self.std.square())[None])


@dataclass(frozen=True)
class GuidedDraws:
    """States later, their weights, and what was expected of the measurement before it was used.

    Attributes:
        x: ``(N, *D)`` in the units of the fields.
        log_weights: ``(N,)`` float64; the mean of their exponentials estimates the density of y without bias.
        expected: Mean of H(x1) given the state now, ``(N, M)`` float64.
        variance: Variance of y given the state now, ``(1, M)`` or ``(N, M)``.
    """

    x: Tensor
    log_weights: Tensor
    expected: Tensor
    variance: Tensor


def guided_bridge(
    fields: PointSourceFields,
    x0: Tensor,
    measurement: GaussianMeasurement,
    std: Tensor,
    *,
    n_steps: int = 50,
    seed: int = 0,
    cond: Condition = None,
) -> GuidedDraws:
    """Draw one later state for each row of ``x0``, guided by a measurement of the later state.

    Args:
        fields: Fields of the process that starts from a point.
        x0: States now, ``(N, *D)``.
        measurement: Measurement of the later state; its H takes flattened states in the units of the fields.
        std: Standard deviation of the later state given the state now, for each entry ``(D,)``, > 0; one for all
            rows. A wrong one costs effective particles, and a bias that falls as one over the number of steps: half as
            wide again shifts the log evidence of a scalar Gaussian by .20 at 5 steps and .015 at 50.
        n_steps: Steps, >= 2.
        seed: Seed of the noise; row i has the same noise whatever the number of rows.
        cond: What else is known of each row.

    Returns:
        States and weights. The weighted rows have the distribution of the later states given y.

    Raises:
        InvalidInputError: If the ratio of signal and noise, ``beta / gamma``, falls along the path.
        DivergedError: If states or weights became NaN or infinite.
    """
    rows, dtype = len(x0), x0.dtype
    grid = torch.from_numpy(start_grid(fields.path, n_steps))
    start, q = x0.double().flatten(1), std.double().flatten()
    width = start.shape[1]
    noise = BlockNoise(
        seed, ("guided bridge",), count=rows, shape=(2 * width + len(measurement.y),), dtype=torch.float64
    )
    inputs = start_at(x0, cond)

    def mean(x: Tensor, t: Tensor) -> Tensor:
        state = x.to(dtype).reshape(x0.shape)
        return fields.evaluate(state, t.to(x0), ("denoised",), inputs)["denoised"].double().flatten(1)

    noise_covariance = torch.diag(measurement.std.square())[None]
    alpha, beta, squared = _coefficients(fields.path, torch.cat([grid.new_zeros(1), grid]))
    with torch.no_grad():
        x, variance_x1 = start, q.square()
        # Soon after the start the state is still x0, and this is the mean of x1 given x0.
        guess = mean(float(alpha[1]) * start, grid[0])
        values, slope = measurement.at(guess)
        covariance_y = _spread_through(slope, variance_x1) + noise_covariance
        log_weights = log_normal(measurement.y - values, covariance_y)
        expected, variance = values, covariance_y.diagonal(dim1=1, dim2=2)
        for step in range(len(grid)):
            k, c, kappa2 = _step(beta, squared, step)
            normal = noise.normal()
            xi, zeta, eta = normal[:, :width], normal[:, width : 2 * width], normal[:, 2 * width :]
            # x1 given y in this step, by a draw without y that is corrected (Matheron's rule).
            deviation = variance_x1.sqrt() * xi
            wrong = measurement.y - values - _through(slope, deviation) - measurement.std * eta
            pull = torch.cholesky_solve(wrong[..., None], torch.linalg.cholesky(covariance_y))
            later = guess + deviation + variance_x1 * (slope.mT @ pull)[..., 0]
            base = alpha[step + 1] * start + k * (x - alpha[step] * start)
            x = base + c * later + math.sqrt(kappa2) * zeta
            # What x' says of x1, if this step had been taken without y.
            total = variance_x1 * c * c + kappa2
            shift = variance_x1 * c / total * (x - base - c * guess)
            variance_x1 = variance_x1 * kappa2 / total
            before = log_normal(
                measurement.y - values - _through(slope, shift),
                _spread_through(slope, variance_x1) + noise_covariance,
            )
            if step + 1 == len(grid):
                after = measurement.log_prob(measurement.function(x))
            else:
                guess = mean(x, grid[step])
                values, slope = measurement.at(guess)
                covariance_y = _spread_through(slope, variance_x1) + noise_covariance
                after = log_normal(measurement.y - values, covariance_y)
            log_weights = log_weights + after - before
    if not bool(torch.isfinite(x).all()) or bool(log_weights.isnan().any()):
        remedy = "Check H near the states that the model forecasts, or use method='bootstrap'."
        raise DivergedError(f"guided_bridge: states or weights became NaN or infinite. {remedy}")
    return GuidedDraws(x.to(dtype).reshape(x0.shape), log_weights, expected, variance)


def _coefficients(path: SpatiallyLinearPath, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``alpha``, ``beta`` and ``gamma^2`` at the times, float64."""
    alpha, beta, gamma = path.alpha(times), path.beta(times), path.envelope.gamma(times)
    if bool(((beta[1:-1] / gamma[1:-1]).diff() < 0).any()):
        rule = "beta / gamma must grow along the path"
        raise invalid("guided_bridge", rule, type(path).__name__, "Use the Diffusive path.")
    return alpha, beta, gamma.square()


def _step(beta: Tensor, squared: Tensor, step: int) -> tuple[float, float, float]:
    """k, c and kappa^2 of a step; at the start x is x0, and k multiplies zero."""
    k = 0.0 if step == 0 else float(beta[step] / squared[step] * squared[step + 1] / beta[step + 1])
    kappa2 = float(squared[step + 1] - k * k * squared[step])
    return k, float(beta[step + 1] - k * beta[step]), max(kappa2, 0.0)


def _through(slope: Tensor, x: Tensor) -> Tensor:
    """J x, ``(N, M)``."""
    values: Tensor = (slope @ x[..., None])[..., 0]
    return values


def _spread_through(slope: Tensor, variance: Tensor) -> Tensor:
    """``J C J^T`` of a diagonal C ``(D,)``."""
    covariance: Tensor = (slope * variance) @ slope.mT
    return covariance


def log_normal(residual: Tensor, covariance: Tensor) -> Tensor:
    """Log densities of ``N(0, covariance)`` at residuals ``(N, M)``, ``(N,)`` in nats; covariance ``(1|N, M, M)``."""
    factor = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(factor, residual[..., None], upper=False)[..., 0]
    log_volume = factor.diagonal(dim1=1, dim2=2).log().sum(1)
    log_prob: Tensor = (
        -0.5 * white.square().sum(1) - log_volume - 0.5 * residual.shape[1] * math.log(2 * math.pi)
    )
    return log_prob
