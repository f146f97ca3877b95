"""Products of spaces."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from typing_extensions import override

from interpolants.foundations.asked import invalid
from interpolants.foundations.checked import Checked
from interpolants.spaces.space import Space


def _aligned(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return two sets of points with the same leading axes."""
    return x + torch.zeros_like(y), y + torch.zeros_like(x)


@dataclass(frozen=True)
class Product(Checked, Space):
    """Product of spaces: concatenated coordinates, and ``|v|^2 = sum_j (|v_j| / spread_j)^2``.

    A geodesic of the product is one in each factor, whatever the units of the factors. Densities are per unit of the
    factors' own volumes, so that they do not depend on the spreads either.

    Raises:
        InvalidInputError: If there is no factor, or one is not a space.
    """

    factors: Sequence[Space]
    """Spaces."""

    @override
    def check_settings(self) -> None:
        if not isinstance(self.factors, list | tuple) or not self.factors:
            raise invalid("factors must be a list of spaces, at least one", repr(self.factors))
        if wrong := [factor for factor in self.factors if not isinstance(factor, Space)]:
            raise invalid("factors must be spaces", repr(wrong[0]), "For example, pass Sphere(2).")
        object.__setattr__(self, "factors", tuple(self.factors))

    @override
    @property
    def dim(self) -> int:
        return sum(factor.dim for factor in self.factors)

    @override
    @property
    def size(self) -> int:
        return sum(self._sizes)

    @override
    @property
    def injectivity_radius(self) -> float:
        return min(factor.injectivity_radius / factor.rms_distance for factor in self.factors)

    @override
    @property
    def rms_distance(self) -> float:
        return math.sqrt(len(self.factors))

    @override
    @property
    def features_size(self) -> int:
        return sum(factor.features_size for factor in self.factors)

    @cached_property
    def _sizes(self) -> list[int]:
        return [factor.size for factor in self.factors]

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """Coordinates of each factor."""
        return torch.split(x, self._sizes, -1)

    def _per_factor(self, call: Callable[..., Tensor], *points: Tensor) -> list[Tensor]:
        """Return ``call(factor, *coordinates)`` of each factor."""
        return [
            call(factor, *coordinates)
            for factor, *coordinates in zip(self.factors, *(self.parts(x) for x in points), strict=True)
        ]

    def _joined(self, call: Callable[..., Tensor], *points: Tensor) -> Tensor:
        return torch.cat(self._per_factor(call, *points), -1)

    @override
    def project(self, x: Tensor) -> Tensor:
        return self._joined(lambda factor, part: factor.project(part), x)

    @override
    def tangent(self, x: Tensor, v: Tensor) -> Tensor:
        return self._joined(lambda factor, *parts: factor.tangent(*parts), x, v)

    @override
    def geodesic(self, x: Tensor, v: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        transported = [
            factor.geodesic(point, velocity, t)
            for factor, point, velocity in zip(self.factors, self.parts(x), self.parts(v), strict=True)
        ]
        return torch.cat([point for point, _ in transported], -1), torch.cat(
            [rate for _, rate in transported], -1
        )

    @override
    def log(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = _aligned(x, y)
        return self._joined(lambda factor, *parts: factor.log(*parts), x, y)

    @override
    def norm(self, v: Tensor) -> Tensor:
        lengths = self._per_factor(lambda factor, part: factor.norm(part) / factor.rms_distance, v)
        length: Tensor = torch.linalg.vector_norm(torch.stack(lengths, -1), dim=-1)
        return length

    @override
    def carry(self, x: Tensor, y: Tensor, v: Tensor) -> Tensor:
        return self._joined(lambda factor, *parts: factor.carry(*parts), x, y, v)

    @override
    def base(self, z: Tensor) -> Tensor:
        return self._joined(lambda factor, part: factor.base(part), z)

    @override
    def base_log_prob(self, x: Tensor) -> Tensor:
        return torch.stack(self._per_factor(lambda factor, part: factor.base_log_prob(part), x)).sum(0)

    @override
    def log_contraction(self, x: Tensor, x1: Tensor, t: Tensor) -> Tensor:
        x, x1 = _aligned(x, x1)
        return torch.stack(
            self._per_factor(lambda factor, *parts: factor.log_contraction(*parts, t), x, x1)
        ).sum(0)

    @override
    @property
    def spectral_gap(self) -> float:
        return min(factor.spectral_gap for factor in self.factors)

    @override
    def diffuse(self, x: Tensor, z: Tensor, tau: Tensor) -> Tensor:
        return self._joined(lambda factor, *parts: factor.diffuse(*parts, tau), x, z)

    @override
    def diffused(self, x: Tensor, x1: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
        x, x1 = _aligned(x, x1)
        pairs = [
            factor.diffused(point, start, tau)
            for factor, point, start in zip(self.factors, self.parts(x), self.parts(x1), strict=True)
        ]
        return torch.stack([ratio for ratio, _ in pairs]).sum(0), torch.cat([slope for _, slope in pairs], -1)

    @override
    def features(self, x: Tensor) -> Tensor:
        return self._joined(lambda factor, part: factor.features(part), x)

    @override
    def velocity(self, x: Tensor, output: Tensor) -> Tensor:
        outputs = torch.split(output, [factor.features_size for factor in self.factors], -1)
        triples = zip(self.factors, self.parts(x), outputs, strict=True)
        return torch.cat([factor.velocity(point, part) for factor, point, part in triples], -1)
