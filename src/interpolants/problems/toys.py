"""Two-dimensional toys and the funnel, each with its exact density.

Angles in radians, lengths in data units. Densities are computed in float64 and cast to the type of the states;
samples come in torch's default type.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Generator, Tensor

from interpolants.foundations.checked import Checked
from interpolants.foundations.checks import floating, positive, shaped
from interpolants.foundations.kinds import Count, Positive, Real
from interpolants.problems.gaussian_mixture import GaussianMixture

_ROWS = 2048  # states whose distances to all nodes of a curve are held at once
_NODES = 8  # quadrature nodes per panel; a panel is at most one noise width long


class Toy(Checked, ABC):
    """A distribution that can be sampled and whose density is known."""

    @property
    def event_shape(self) -> tuple[int]:
        """Shape of one sample."""
        return (2,)

    @abstractmethod
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, *event_shape)``."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density in nats; ``(B, *event_shape)`` -> ``(B,)``."""
        shaped(type(self).__name__, "x", floating(type(self).__name__, "x", x), "B", *self.event_shape)
        return self._log_prob(x.double()).to(x.dtype)

    @abstractmethod
    def _log_prob(self, x: Tensor) -> Tensor: ...


class SmoothToy(Toy):
    """A toy whose density is differentiable."""

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log density by automatic differentiation, in 1/data."""
        with torch.enable_grad():
            point = floating(type(self).__name__, "x", x).detach().clone().requires_grad_(True)
            (slope,) = torch.autograd.grad(self.log_prob(point).sum(), point)
        return slope


@dataclass(frozen=True)
class Checkerboard(Toy):
    """Uniform on every other cell of a square board; the density has jumps, so there is no score."""

    cells: Annotated[int, Ge(2)] = 4
    """Cells along a side."""
    half_width: Positive = 4.0
    """The board is ``[-half_width, half_width]^2``."""

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, 2)``."""
        filled = self.filled_cells
        cell = filled[torch.randint(len(filled), (n,), generator=generator)]
        return (cell + torch.rand(n, 2, generator=generator)) * self._side - self.half_width

    def _log_prob(self, x: Tensor) -> Tensor:
        cell = torch.floor((x + self.half_width) / self._side)
        inside = ((cell >= 0) & (cell < self.cells)).all(1) & (cell.sum(1) % 2 == 0)
        level = -math.log(len(self.filled_cells) * self._side**2)
        # Two numbers would be of the default type.
        return torch.where(inside, x.new_tensor(level), -math.inf)

    @property
    def _side(self) -> float:
        return 2 * self.half_width / self.cells

    @cached_property
    def filled_cells(self) -> Tensor:
        """Column and row of every filled cell, ``(cells, 2)``."""
        cells = torch.cartesian_prod(torch.arange(self.cells), torch.arange(self.cells))
        return cells[cells.sum(1) % 2 == 0]


class NoisyCurve(Toy):
    """Points spread evenly in a parameter along a curve, plus isotropic Gaussian noise.

    The density ``E_u N(x; curve(u), noise^2 Id)`` is an integral over one parameter, done by Gauss-Legendre quadrature
    on panels no longer than the noise: exact to about 1e-6 relative, and itself a Gaussian mixture.
    """

    noise: float

    @abstractmethod
    def _curve(self, u: Tensor) -> Tensor:
        """``u (n,)`` in [0, 1] -> points ``(n, 2)``."""

    @abstractmethod
    def _pieces(self) -> list[tuple[float, float, float]]:
        """Intervals of u on which the curve is smooth, with a bound on its length there."""

    @cached_property
    def mixture(self) -> GaussianMixture:
        """The quadrature as a mixture: gives score, moments, and exact fields of every bridge."""
        nodes, weights = [], []
        for start, end, length in self._pieces():
            panels = math.ceil(length / self.noise)
            unit, factor = np.polynomial.legendre.leggauss(_NODES)
            edges = torch.linspace(start, end, panels + 1, dtype=torch.float64)[:-1, None]
            width = (end - start) / panels
            nodes.append((edges + width * torch.from_numpy(unit + 1) / 2).flatten())
            weights.append((width * torch.from_numpy(factor) / 2).repeat(panels))
        places = self._curve(torch.cat(nodes))
        variances = places.new_full((places.shape[0],), self.noise**2)
        return GaussianMixture(torch.cat(weights), places, variances)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, 2)``."""
        places = self._curve(torch.rand(n, generator=generator))
        return places + self.noise * torch.randn(n, 2, generator=generator)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log density, in 1/data; ``(B, 2)`` -> ``(B, 2)``."""
        places = self.mixture.means.to(x.device)
        parts = torch.split(floating(type(self).__name__, "x", x).double(), _ROWS)
        nearest = torch.cat([self._log_joint(part).softmax(1) @ places for part in parts])
        return ((nearest - x) / self.noise**2).to(x.dtype)

    def _log_prob(self, x: Tensor) -> Tensor:
        area = 2 * math.pi * self.noise**2
        return torch.cat([self._log_joint(part).logsumexp(1) for part in torch.split(x, _ROWS)]) - math.log(
            area
        )

    def _log_joint(self, x: Tensor) -> Tensor:
        # What the mixture would answer, by one matrix product: there are hundreds of nodes.
        distribution = self.mixture.to(device=x.device)
        places = distribution.means
        apart = x.square().sum(1, keepdim=True) - 2 * x @ places.mT + places.square().sum(1)
        return distribution.weights.log() - apart / (2 * self.noise**2)


@dataclass(frozen=True)
class Moons(NoisyCurve):
    """Two interleaved half circles of equal weight, centred at the origin."""

    noise: Positive = 0.1
    """Standard deviation of the noise."""
    scale: Positive = 1.0
    """Radius of the half circles; the pair is about ``3 x 1.5`` scales wide."""

    def _curve(self, u: Tensor) -> Tensor:
        # u in [0, 1/2) runs along the upper moon, the rest along the lower.
        lower = u >= 0.5
        angle = 2 * math.pi * torch.where(lower, u - 0.5, u)
        upper_moon = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
        lower_moon = torch.stack([0.5 - angle.cos(), 0.25 - angle.sin()], 1)
        return self.scale * torch.where(lower[:, None], lower_moon, upper_moon)

    def _pieces(self) -> list[tuple[float, float, float]]:
        length = math.pi * self.scale
        return [(0.0, 0.5, length), (0.5, 1.0, length)]


@dataclass(frozen=True)
class SwissRoll(NoisyCurve):
    """A spiral of one and a half turns: radius proportional to the angle, from 1.5 pi to 4.5 pi."""

    noise: Positive = 0.1
    """Standard deviation of the noise."""
    scale: Positive = 3.0
    """Outer radius."""

    def _curve(self, u: Tensor) -> Tensor:
        angle = 1.5 * math.pi * (1 + 2 * u)
        radius = self.scale * (1 + 2 * u) / 3
        return radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)

    def _pieces(self) -> list[tuple[float, float, float]]:
        # Speed in u is at most scale (2/3 + 3 pi).
        return [(0.0, 1.0, self.scale * (2 / 3 + 3 * math.pi))]


@dataclass(frozen=True)
class Rings(SmoothToy):
    """Concentric circles of equal weight with isotropic noise.

    A circle of radius R contributes ``exp(-(r^2 + R^2)/2 s^2) I_0(r R/s^2)/(2 pi s^2)`` at radius r.
    """

    count: Count = 3
    """Number of circles, of radii ``scale k / count`` for k = 1 ... count."""
    noise: Positive = 0.1
    """Standard deviation s of the noise."""
    scale: Positive = 3.0
    """Radius of the largest circle."""

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, 2)``."""
        ring = torch.randint(1, self.count + 1, (n,), generator=generator)
        angle = 2 * math.pi * torch.rand(n, generator=generator)
        places = (self.scale / self.count * ring)[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
        return places + self.noise * torch.randn(n, 2, generator=generator)

    def _log_prob(self, x: Tensor) -> Tensor:
        # The norm has no gradient at the origin; a hair off it has.
        r = (x.square().sum(1, keepdim=True) + 1e-300).sqrt()
        radii = self.scale / self.count * torch.arange(1, self.count + 1, dtype=x.dtype, device=x.device)
        bessel = torch.special.i0e(r * radii / self.noise**2).log()
        rings = bessel - 0.5 * ((r - radii) / self.noise).square()
        log_prob: Tensor = rings.logsumexp(1)
        return log_prob - math.log(2 * math.pi * self.noise**2 * self.count)


class EightGaussians(GaussianMixture):
    """Eight isotropic modes of equal weight, evenly on a circle about the origin.

    Args:
        radius: Radius of the circle.
        noise: Standard deviation of each mode.

    Raises:
        InvalidInputError: If one is not positive.
    """

    def __init__(self, radius: float = 4.0, noise: float = 0.5) -> None:
        _check_positive("EightGaussians", radius=radius, noise=noise)
        angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
        means = radius * torch.stack([angle.cos(), angle.sin()], 1)
        super().__init__(means.new_full((8,), 0.125), means, means.new_full((8,), noise**2))


@dataclass(frozen=True)
class Funnel(SmoothToy):
    """Neal's funnel: ``v ~ N(0, scale^2)`` first, then ``x_i | v ~ N(0, exp(v))``.

    Source: Neal (2003), Slice sampling, section 8.
    """

    dim: Annotated[int, Ge(2)] = 10
    """Dimensions with v."""
    scale: Positive = 3.0
    """Standard deviation of v, without unit."""

    @property
    def event_shape(self) -> tuple[int]:
        """``(dim,)``."""
        return (self.dim,)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, dim)``."""
        z = torch.randn(n, self.dim, generator=generator)
        v = self.scale * z[:, :1]
        return torch.cat([v, (v / 2).exp() * z[:, 1:]], 1)

    def _log_prob(self, x: Tensor) -> Tensor:
        v, rest = x[:, 0], x[:, 1:]
        neck = -0.5 * (v / self.scale).square() - math.log(self.scale)
        body = -0.5 * rest.square().sum(1) * torch.exp(-v) - 0.5 * (self.dim - 1) * v
        return neck + body - 0.5 * self.dim * math.log(2 * math.pi)


@dataclass(frozen=True)
class Pinwheel(SmoothToy):
    """Elongated Gaussian blobs around the origin, twisted by an angle that grows with the radius.

    A turn by an angle that depends on the radius alone keeps areas, so the density is that of the straight blobs at the
    point turned back: ``p(x) = mean_k N(turn(-twist r - 2 pi k/arms) x; (1, 0), diag(radial^2, tangential^2))``, at
    unit scale.
    """

    arms: Count = 5
    """Number of blobs."""
    radial: Positive = 0.3
    """Standard deviation along an arm, in units of the scale."""
    tangential: Positive = 0.1
    """Standard deviation across, in units of the scale."""
    twist: Real = 1.0
    """Angle per unit of radius."""
    scale: Positive = 2.0
    """Distance of the blobs' centres from the origin."""

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw ``(n, 2)``."""
        z = torch.randn(n, 2, generator=generator)
        blob = torch.stack([1 + self.radial * z[:, 0], self.tangential * z[:, 1]], 1)
        arm = torch.randint(self.arms, (n,), generator=generator)
        return self.scale * _turn(blob, self.twist * blob.norm(dim=1) + 2 * math.pi / self.arms * arm)

    def _log_prob(self, x: Tensor) -> Tensor:
        x = x / self.scale
        r = (x.square().sum(1) + 1e-300).sqrt()
        spread = x.new_tensor([self.radial, self.tangential])
        centre = x.new_tensor([1.0, 0.0])
        logs = []
        for arm in range(self.arms):
            z = (_turn(x, -self.twist * r - 2 * math.pi / self.arms * arm) - centre) / spread
            logs.append(-0.5 * z.square().sum(1))
        area = 2 * math.pi * self.radial * self.tangential * self.scale**2
        return torch.stack(logs).logsumexp(0) - math.log(area * self.arms)


def _turn(x: Tensor, angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], 1)


def _check_positive(who: str, **values: float) -> None:
    for name, value in values.items():
        positive(who, name, value)
