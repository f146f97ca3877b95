"""Distributions on surfaces of known dimension in a larger space."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.errors import invalid
from interpolants.foundations.kinds import Positive
from interpolants.problems.gaussian_mixture import GaussianMixture


def axes(ambient: int, seed: int) -> Tensor:
    """An orthogonal matrix ``(ambient, ambient)``, uniformly random, float64."""
    draws = torch.randn(ambient, ambient, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(draws)
    turned: Tensor = q * r.diagonal().sign()
    return turned


@dataclass(frozen=True)
class SwissRollSheet(Checked):
    """A rolled-up sheet: two-dimensional, curved, without noise, turned at random in a space of more dimensions.

    ``(u cos u, h, u sin u) / scale`` with u spread so that the sheet is covered evenly along the spiral, h uniform.
    """

    ambient: Annotated[int, Ge(3)] = 5
    """Dimensions of the space."""
    turns: Positive = 1.5
    """Turns of the spiral; it starts after ``3/4`` of one."""
    scale: Positive = 7.5
    """Divisor of all lengths; 7.5 gives entries of about unit size."""
    width: Positive = 20.0
    """Width of the sheet before scaling."""
    seed: int = 0
    """Seed of the rotation."""

    dimension = 2

    @property
    def event_shape(self) -> tuple[int]:
        """``(ambient,)``."""
        return (self.ambient,)

    @cached_property
    def axes(self) -> Tensor:
        """Rotation of the space; its first three columns span the sheet's own."""
        return axes(self.ambient, self.seed)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, ambient)``."""
        start = 1.5 * math.pi
        stop = start + 2 * math.pi * self.turns
        # arc length of the spiral grows like u^2/2
        u = (start**2 + (stop**2 - start**2) * torch.rand(n, generator=generator)).sqrt()
        h = self.width * (torch.rand(n, generator=generator) - 0.5)
        sheet = torch.stack([u * u.cos(), h, u * u.sin()], 1) / self.scale
        return sheet @ self.axes[:, :3].T.to(sheet)


def flat_sheet(
    dimension: int = 2, ambient: int = 5, *, thickness: float = 1e-6, seed: int = 0
) -> GaussianMixture:
    """A Gaussian that is standard normal on a random plane of some dimension, and of tiny width across it.

    Args:
        dimension: Dimensions of the plane, 1 to ``ambient``.
        ambient: Dimensions of the space.
        thickness: Standard deviation across the plane, in units of that within.
        seed: Seed of the plane.

    Raises:
        InvalidInputError: If the plane does not fit into the space.
    """
    if not 1 <= dimension <= ambient:
        raise invalid("flat_sheet", f"dimension must lie in 1 ... {ambient}", dimension)
    variances = torch.full((ambient,), thickness**2, dtype=torch.float64)
    variances[:dimension] = 1.0
    q = axes(ambient, seed)
    covariance = (q * variances) @ q.T
    one = torch.ones(1, dtype=torch.float64)
    return GaussianMixture(one, torch.zeros(1, ambient).double(), ((covariance + covariance.T) / 2)[None])
