"""Spheres, and rotations as pairs of opposite points of the sphere in four dimensions."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor
from typing_extensions import override

from interpolants.foundations.checked import Checked
from interpolants.spaces.heat_kernel import heat_kernel, log_area, radial_transport
from interpolants.spaces.space import Space

# Points of the quadrature behind `rms_distance`; its error is below 1e-7.
_PLACES = 4001


def _length(v: Tensor) -> Tensor:
    """Euclidean norms ``(..., 1)``."""
    norms: Tensor = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return norms


class _Round(Checked, Space):
    """Unit vectors of ``R^(n+1)`` under arcs of great circles; abstract."""

    # Length of a tangent vector of Euclidean length 1.
    stretch: ClassVar[float] = 1.0
    # Largest angle between the unit vectors of two points.
    max_angle: ClassVar[float] = math.pi

    @override
    @property
    def size(self) -> int:
        return self.dim + 1

    @override
    @property
    def injectivity_radius(self) -> float:
        return self.stretch * self.max_angle

    @override
    @cached_property
    def rms_distance(self) -> float:
        angle = torch.linspace(0, self.max_angle, _PLACES, dtype=torch.float64)
        weight = angle.sin().pow(self.dim - 1)
        mean = torch.trapezoid(angle.square() * weight, angle) / torch.trapezoid(weight, angle)
        return self.stretch * math.sqrt(float(mean))

    @override
    def project(self, x: Tensor) -> Tensor:
        return x / _length(x)

    @override
    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        return v - (v * x).sum(-1, keepdim=True) * x

    @override
    def geodesic(self, x: Tensor, v: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        angle = _length(v)
        at = t * angle
        point = at.cos() * x + t * torch.sinc(at / math.pi) * v
        return self.project(point), at.cos() * v - angle * at.sin() * x

    @override
    def log(self, x: Tensor, y: Tensor) -> Tensor:
        """``a u / |u|`` with ``u = y - (x . y) x`` and ``a = atan2(|u|, x . y)``.

        An arccos would have an infinite slope at 0 and pi.
        """
        cosine = (x * y).sum(-1, keepdim=True)
        u = self.tangent(x, y - cosine * x)  # twice: the first difference leaves a rounding along x
        sine = _length(u)
        tiny = 8 * torch.finfo(u.dtype).eps
        opposite = (sine < tiny) & (cosine < 0)
        u = torch.where(opposite, self._perpendicular(x), u / sine.clamp_min(tiny))
        return torch.atan2(torch.where(opposite, 0.0, sine), cosine) * u

    def _perpendicular(self, x: Tensor) -> Tensor:
        """A unit tangent vector at ``x``: the coordinate axis that is farthest from it, projected."""
        axis = torch.zeros_like(x).scatter(-1, x.abs().argmin(-1, keepdim=True), 1.0)
        return self.project(self.tangent(x, axis))

    @override
    def norm(self, v: Tensor) -> Tensor:
        return self.stretch * _length(v)[..., 0]

    @override
    def carry(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        cosine = (x * y).sum(-1, keepdim=True)
        return v - (v * y).sum(-1, keepdim=True) / (1 + cosine) * (x + y)

    @override
    def base(self, z: Tensor) -> Tensor:
        return self.project(z)

    @property
    def log_volume(self) -> float:
        """Log of the volume of the whole space."""
        sphere = log_area(self.dim) + self.dim * math.log(self.stretch)
        return sphere - (math.log(2) if self._is_half else 0.0)

    @property
    def _is_half(self) -> bool:
        """Whether opposite unit vectors are the same point."""
        return 2 * self.max_angle == math.pi

    @override
    def base_log_prob(self, x: Tensor) -> Tensor:
        return torch.full_like(x[..., 0], -self.log_volume)

    @override
    def log_contraction(self, x: Tensor, x1: Tensor, t: Tensor) -> Tensor:
        remaining = 1 - t
        angle = self.distance(x, x1) / self.stretch
        start = angle / remaining
        # sinc(r) = sin(pi r) / (pi r) is 1 at r = 0, where the ratio of the sines is 1 / (1 - t)
        ratio = torch.sinc(start / math.pi) / torch.sinc(angle / math.pi)
        log_ratio = -self.dim * remaining.log() + torch.xlogy(self.dim - 1, ratio.clamp_min(0))
        return torch.where(start <= self.max_angle, log_ratio, -math.inf)

    @override
    @property
    def spectral_gap(self) -> float:
        # degree 1 of the harmonics; degree 2 is the first that is equal at opposite points
        eigenvalue = 2 * (self.dim + 1) if self._is_half else self.dim
        return eigenvalue / self.stretch**2

    @override
    def diffuse(self, x: Tensor, z: Tensor, tau: Tensor) -> Tensor:
        v = self.tangent(x, z)
        length = _length(v)
        std = (2 * tau[..., None]).sqrt() / self.stretch
        angle = radial_transport(self.dim, length, std, even=self._is_half)
        return self.exp(x, v * (angle / length.clamp_min(torch.finfo(v.dtype).tiny)))

    @override
    def diffused(self, x: Tensor, x1: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
        towards = self.log(x, x1)
        kernel = heat_kernel(self.dim, _length(towards)[..., 0], tau / self.stretch**2, even=self._is_half)
        # the slope is per angle squared, and a unit tangent vector has Euclidean length 1 / stretch
        return kernel.log_ratio, -kernel.slope[..., None] * towards / self.stretch**2


@dataclass(frozen=True)
class Sphere(_Round):
    """The sphere ``S^n`` of unit vectors in ``R^(n+1)``; n = 1 is the circle.

    The base is uniform. Distances are angles in radians.
    """

    n: Annotated[int, Ge(1)] = 2
    """Dimension."""

    @override
    @property
    def dim(self) -> int:
        return self.n


@dataclass(frozen=True)
class Rotations(_Round):
    """Rotations of three dimensions, ``SO(3)``, as unit quaternions ``(..., 4)``: q and -q are the same rotation.

    A distance is the angle of the rotation between two rotations, at most pi, which is twice the angle between their
    quaternions. The volume of the space in these units is ``8 pi^2``.

    Differences from Bose et al. (2024), arXiv:2310.02391: the velocity is one closed formula, on quaternions.
    """

    stretch: ClassVar[float] = 2.0
    max_angle: ClassVar[float] = math.pi / 2

    @override
    @property
    def dim(self) -> int:
        return 3

    @override
    @property
    def features_size(self) -> int:
        return 6

    @override
    def log(self, x: Tensor, y: Tensor) -> Tensor:
        return super().log(x, torch.where((x * y).sum(-1, keepdim=True) < 0, -y, y))

    @override
    def features(self, x: Tensor) -> Tensor:
        a, b, c, d = x.unbind(-1)
        first = (1 - 2 * (c * c + d * d), 2 * (b * c + a * d), 2 * (b * d - a * c))
        second = (2 * (b * c - a * d), 1 - 2 * (b * b + d * d), 2 * (c * d + a * b))
        return torch.stack((*first, *second), -1)

    @override
    def velocity(self, x: Tensor, output: Tensor) -> Tensor:
        a, b, c, d = x.unbind(-1)
        i, j, k = output[..., :3].unbind(-1)
        product = (
            -b * i - c * j - d * k,
            a * i + c * k - d * j,
            a * j + d * i - b * k,
            a * k + b * j - c * i,
        )
        return torch.stack(product, -1)
