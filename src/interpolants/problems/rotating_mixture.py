"""Rotating point with occasional jumps: a forecasting problem whose conditional distribution has three modes."""

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from interpolants.foundations.checks import number, positive
from interpolants.foundations.errors import invalid
from interpolants.problems.transition import MixtureTransition, branch_weights


class RotatingMixture(MixtureTransition):
    """``later = R(omega + jump_k) g(now) + tau xi`` in the plane, with jump k of probability ``p_k``.

    ``g(x) = x (1 - pull + pull radius / |x|)`` draws the point back to the circle, ``R`` rotates. The distribution of
    later given now is a Gaussian mixture that turns with the state: its mean falls inside the circle, where nothing
    ever is.

    Args:
        omega: Rotation per step, in radians.
        jumps: Extra rotation of each branch, in radians.
        weights: Probability of each branch, positive, with sum 1.
        pull: How far a step draws back to the circle, in (0, 1].
        radius: Radius of the circle, in data units.
        tau: Standard deviation of the noise, in data units.

    Raises:
        InvalidInputError: If a setting is out of range, or jumps and weights differ in number.

    Source: after the multimodal jump example of Chen et al. (2024), arXiv:2403.13724; our own parameters.
    """

    def __init__(
        self,
        omega: float = 0.6,
        jumps: Sequence[float] = (0.0, 2.0, -2.0),
        weights: Sequence[float] = (0.5, 0.3, 0.2),
        *,
        pull: float = 0.5,
        radius: float = 3.0,
        tau: float = 0.3,
    ) -> None:
        self.weights, self.tau, self.dim = branch_weights("RotatingMixture", tuple(weights), tau), tau, 2
        if len(jumps) != len(self.weights):
            rule = f"jumps must have one entry per weight, {len(self.weights)}"
            raise invalid("RotatingMixture", rule, len(jumps))
        number("RotatingMixture", "pull", pull, above=0, at_most=1)
        positive("RotatingMixture", "radius", radius)
        self.pull, self.radius = pull, radius
        angle = omega + torch.tensor(tuple(jumps), dtype=torch.float64)
        cos, sin = angle.cos(), angle.sin()
        # rows (k, i): one product turns all states by all angles
        self._turn = torch.stack([cos, -sin, sin, cos], 1).reshape(-1, 2)

    def centres(self, x: Tensor) -> Tensor:
        """``R_k g(x)``: ``(B, 2)`` -> ``(B, K, 2)``."""
        length = x.norm(dim=1, keepdim=True).clamp_min(1e-12)
        drawn: Tensor = x * (1 - self.pull + self.pull * self.radius / length)
        return (drawn @ self._turn.T).reshape(len(x), -1, 2)

    def spin_up(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Points on the circle."""
        angle = 2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
        return self.radius * torch.stack([angle.cos(), angle.sin()], 1)
