"""Stochastic gradient Langevin dynamics, for the moments of a density near a point."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import positive, whole


def langevin_moments(
    start: Tensor,
    gradient: Callable[[Tensor], Tensor],
    step: float,
    steps: int,
    *,
    burn_in: int = 0,
    noise: bool = True,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean and variance of the states of ``theta <- theta - step / 2 gradient(theta) + sqrt(step) xi``.

    The chain is near the density ``exp(-U)`` where ``step`` times the curvature of U is far below 1: for a quadratic U
    of curvature h the variance is ``1 / (h (1 - step h / 4))``. Only running sums are kept, so memory does not grow
    with the number of steps.

    Args:
        start: First state, any shape.
        gradient: Gradient of U, of the *summed* negative log density; state -> same shape.
        step: Size of a step, in squared units of the state.
        steps: Number of steps, at least 1.
        burn_in: States to leave out, fewer than ``steps``.
        noise: Add the noise; without it these are steps of gradient descent.
        generator: Source of the noise.

    Returns:
        Mean and (biased) variance of the states after burn-in; the variance of a single state is zero.

    Raises:
        InvalidInputError: If a number is out of range.

    Source: Welling & Teh (2011), Bayesian learning via stochastic gradient Langevin dynamics, ICML.
    """
    who = "langevin_moments"
    positive(who, "step", step)
    whole(who, "steps", steps, at_least=1)
    whole(who, "burn_in", burn_in, at_least=0, at_most=steps - 1)
    theta, mean, square = start, torch.zeros_like(start), torch.zeros_like(start)
    for k in range(steps):
        theta = theta - 0.5 * step * gradient(theta)
        if noise:
            xi = torch.randn(theta.shape, dtype=theta.dtype, generator=generator, device="cpu")
            theta = theta + step**0.5 * xi.to(theta.device)
        if k >= burn_in:  # Welford's sums
            apart = theta - mean
            mean = mean + apart / (k - burn_in + 1)
            square = square + apart * (theta - mean)
    return mean, square / (steps - burn_in)
